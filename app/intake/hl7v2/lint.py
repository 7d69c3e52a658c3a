"""The conformance report on a message, by hl7apy. An optional opinion, never in the way of intake: it loses segments and is slow."""

from app.fhir.errors import NotSupported
from app.intake.hl7v2 import er7


def report(raw: bytes) -> list[str]:
    """Sentences on what does not conform to the structure of the message's version; empty is good.

    Raises Malformed where the bytes are no message, NotSupported where hl7apy is not installed.
    """
    try:
        from hl7apy.consts import VALIDATION_LEVEL  # type: ignore[import-untyped]
        from hl7apy.exceptions import HL7apyException  # type: ignore[import-untyped]
        from hl7apy.parser import parse_message  # type: ignore[import-untyped]
    except ImportError:
        raise NotSupported("The linter needs hl7apy, which is not installed: pip install 'csor[lint]'.") from None
    message = er7.parse(raw)
    text = "\r".join(message.separators.field.join(_plain(segment)) for segment in message.segments if segment.name)
    found = []
    try:
        parse_message(text, validation_level=VALIDATION_LEVEL.STRICT, find_groups=True)
    except HL7apyException as error:
        found.append(f"{type(error).__name__}: {error}")
    except Exception as error:  # it raises whatever comes to hand
        found.append(f"hl7apy cannot judge this message ({type(error).__name__}: {error})")
    known = {
        "MSH",
        "EVN",
        "PID",
        "PD1",
        "NK1",
        "PV1",
        "PV2",
        "AL1",
        "DG1",
        "PR1",
        "OBR",
        "OBX",
        "MRG",
        "NTE",
        "ORC",
        "MSA",
        "ERR",
    }
    others = sorted({segment.name for segment in message.segments} - known - {""})
    if others:
        found.append(f"Segments that are kept and not mapped: {', '.join(others)}")
    return found


def _plain(segment: er7.Segment) -> list[str]:
    """The fields as text, the header's separator not doubled."""
    return [segment.fields[0], *segment.fields[2:]] if segment.name in ("MSH", "FHS", "BHS") else segment.fields

"""HL7v2 data types to R4 data types. Each takes a repetition and gives a FHIR value, or None where nothing is said."""

import re
from typing import Any

from app import names
from app.intake.hl7v2.er7 import Repeat, Segment
from app.intake.hl7v2.map.tables import codes, coding_system
from app.registry.operations import plain_code

GMC = "https://fhir.hl7.org.uk/Id/gmc-number"
_SPACE = re.compile(r"\s+")


def text(value: str) -> str:
    """One line of text, as FHIR strings want it: no outer space, no control characters."""
    if value.isprintable():
        return _SPACE.sub(" ", value).strip() if "  " in value else value.strip()
    return _SPACE.sub(" ", "".join(" " if ord(char) < 32 else char for char in value)).strip()


def lines(value: str) -> str:
    """Text that may have several lines."""
    kept = "".join(char if ord(char) >= 32 or char == "\n" else " " for char in value.replace("\r\n", "\n").replace("\r", "\n"))
    return "\n".join(line.rstrip() for line in kept.split("\n")).strip()


def _some(**items: Any) -> dict[str, Any]:
    return {key: value for key, value in items.items() if value not in (None, "", [], {})}


def human_name(name: Repeat) -> dict[str, Any] | None:
    """XPN, and XCN from its second component on."""
    family, given, further, suffix, prefix = (text(name[number]) for number in range(1, 6))
    value = _some(
        use=codes("name-use").get(name[7]),
        family=family,
        given=[part for part in (given, *further.split(" ")) if part],
        prefix=[prefix] if prefix else [],
        suffix=[suffix] if suffix else [],
    )
    return value if "family" in value or "given" in value else None


def address(value: Repeat) -> dict[str, Any] | None:
    """XAD. Use is told, type is not: UK senders leave it out."""
    lines = [text(value[1]), text(value[2])]
    result = _some(
        line=[line for line in lines if line],
        city=text(value[3]),
        district=text(value[4]),
        postalCode=text(value[5]).upper(),
        country=text(value[6]),
    )
    use = codes("address-use").get(value[7])
    return {"use": use, **result} if result and use else result or None


def telecom(value: Repeat, use: str | None = None) -> dict[str, Any] | None:
    """XTN: e-mail in component 4, a number in 1, 12 or in parts."""
    system = codes("telecom-system").get(value[3])
    number = text(value[4]) if system == "email" or (not value[1] and "@" in value[4]) else ""
    if number:
        system = "email"
    else:
        number = text(value[1] or value[12] or " ".join(part for part in (value[5], value[6], value[7]) if part))
        system = "email" if "@" in number else system if system != "email" else "phone"
    if not number:
        return None
    use = codes("telecom-equipment-use").get(value[3]) or codes("telecom-use").get(value[2]) or use
    return _some(system=system or "phone", value=number, use=use)


def concept(value: Repeat, default_system: str = "") -> tuple[dict[str, Any] | None, bool]:
    """CE or CWE as a CodeableConcept, and whether each of its coding systems is known."""
    codings, known = [], True
    for at in (1, 4):
        code, display, system = text(value[at]), text(value[at + 1]), text(value[at + 2])
        if not code:
            continue
        url = coding_system(system or default_system) if system or default_system else None
        known = known and (url is not None or system.upper() in ("L", "99ZZZ") or at == 4)
        codings.append(_some(system=url, code=canonical_code(url, code), display=display))
    words = text(value[9]) or text(value[2]) or text(value[5]) or (text(value[1]) if not known else "")
    result = _some(coding=codings, text=words)
    return result or None, known


def canonical_code(system: str | None, code: str) -> str:
    """ICD-10 and OPCS-4 in capitals, with their point and without the padding X: senders write either way."""
    if system not in (names.ICD10, names.OPCS4):
        return code
    plain = plain_code(code)
    return f"{plain[:3]}.{plain[3:]}" if len(plain) > 3 else plain


def clinician(value: Repeat) -> dict[str, Any] | None:
    """XCN as a logical Reference: the number where its authority is the GMC, else the name alone."""
    family, given, prefix = text(value[2]), text(value[3]), text(value[6])
    display = " ".join(part for part in (prefix, given, family) if part)
    number = text(value[1])
    identifier = None
    if number and "GMC" in (value[9].upper(), value[13].upper()):
        identifier = {"system": GMC, "value": number.upper().removeprefix("C") if number[1:].isdigit() else number}
    return _some(identifier=identifier, display=display) or None


def coded(segment: Segment, field: int, default_system: str = "") -> tuple[dict[str, Any] | None, bool]:
    """`concept` of the first repetition of a field."""
    repeats = segment.repeats(field)
    return concept(repeats[0], default_system) if repeats else (None, True)

"""Public sample messages: not one segment is lost, and whatever happens to a message, it has a state."""

from collections.abc import Callable
from pathlib import Path

import hl7
import pytest

from app.intake.hl7v2 import er7
from app.intake.hl7v2.inbox import Inbox
from app.intake.hl7v2.mllp import Event
from app.intake.hl7v2.worker import Worker
from app.store.protocol import Store
from tests.intake.hl7v2.conftest import only, records, resources

pytestmark = pytest.mark.conformance


@pytest.fixture
def samples(csor_data: Callable[[str], Path]) -> list[Path]:
    root = csor_data("hl7v2-samples")
    found = sorted([*root.rglob("*.hl7"), *root.rglob("*.txt")])
    assert len(found) >= 70
    return found


def test_every_sample_comes_back_byte_for_byte(samples: list[Path]) -> None:
    for path in samples:
        raw = path.read_bytes()
        message = er7.parse(raw)
        assert message.encode() == raw, path.name
        assert sum(bool(segment.name) for segment in message.segments) == _segments(raw), path.name


def _segments(raw: bytes) -> int:
    """Counted without our parser: lines that begin with a segment's name."""
    lines = raw.replace(b"\r\n", b"\r").replace(b"\n", b"\r").replace(b"\xef\xbb\xbf", b"").split(b"\r")
    return sum(len(line) >= 3 and line[:3].isalnum() and line[:3].isupper() for line in lines)


def test_another_parser_reads_the_same_fields(samples: list[Path]) -> None:
    compared = 0
    for path in samples:
        text = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\r").replace("\n", "\r").strip("\r")
        theirs = [segment for segment in hl7.parse(text) if str(segment)]
        ours = [segment for segment in er7.parse(text.encode()).segments if segment.name]
        assert len(ours) == len(theirs), path.name
        for mine, other in zip(ours, theirs, strict=True):
            assert mine.name == str(other[0]), path.name
            for number in range(3 if mine.name in ("MSH", "FHS", "BHS") else 1, len(mine.fields)):
                assert mine.raw(number).strip() == str(other[number]).strip(), (path.name, mine.name, number)  # it strips lines
                compared += 1
    assert compared > 10_000


async def test_every_sample_gets_an_answer_and_a_state(samples: list[Path], inbox: Inbox, store: Store) -> None:
    verdicts = []
    for number, path in enumerate(samples):
        message = er7.parse(path.read_bytes())
        header = message.first("MSH")
        assert header is not None
        header.fields[10] = f"S{number}"  # the samples share their control ids
        answers = await inbox.accept(Event(message.encode()))
        verdicts += [(path.name, er7.parse(answer)["MSA-1"]) for answer in answers]
    await Worker(inbox).drain()
    kept = await records(store)
    assert len(kept) == len(samples)
    assert all(record.state in ("processed", "warning", "error", "rejected", "unsupported") for record in kept)
    mapped = [name for name, verdict in verdicts if verdict in ("AA", "CA")]
    assert len(mapped) > len(samples) // 2
    assert len({record.state for record in kept}) > 2
    internal = [
        record.data["problems"] for record in kept if any("mapping failed" in problem[0] for problem in record.data["problems"])
    ]
    assert internal == []


async def test_uk_examples_map_once_they_have_a_real_number(samples: list[Path], inbox: Inbox, store: Store) -> None:
    """As published they identify the child by 3333333333 alone, which is a placeholder and nobody's number."""
    for path in (path for path in samples if path.parent.name == "uk-itk"):
        raw = path.read_bytes()
        [answer] = await inbox.accept(Event(raw))
        assert er7.parse(answer)["MSA-1"] == "AE" and er7.parse(answer)["ERR-1.1"] == "PID"
        raw = raw.replace(b"3333333333^^^NHS", b"9990000018^^^NHS^NH")
        [answer] = await inbox.accept(Event(raw))
        assert er7.parse(answer)["MSA-1"] == "AA"
    patient = await only(store, "Patient")
    assert (patient["gender"], patient["birthDate"]) == ("female", "1965-12-13")
    assert patient["name"][0]["family"] == "SMITH"
    inpatient, outpatient = sorted(await resources(store, "Encounter"), key=lambda each: each["identifier"][0]["value"])
    assert (inpatient["class"]["code"], outpatient["class"]["code"]) == ("IMP", "AMB")
    assert inpatient["hospitalization"]["extension"][0]["valueCodeableConcept"]["coding"][0]["code"] == "13"
    consultants = [
        person["individual"]["display"] for person in inpatient["participant"] if person["type"][0]["coding"][0]["code"] == "PPRF"
    ]
    assert consultants == ["Dr Samuel Darwin"]
    assert [each["code"]["coding"][0]["code"] for each in await resources(store, "Condition")] == ["N39.3"]
    codes = {each["code"]["coding"][0]["code"] for each in await resources(store, "Procedure")}
    assert codes == {"ZZS.4", "U19.2"}

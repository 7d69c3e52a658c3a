"""The reference page and the maps say what the code does."""

import json
from pathlib import Path

import pytest

from app import names
from app.commands.hl7 import hl7
from app.content import MAPPINGS
from app.intake.hl7v2 import ack, desk
from app.intake.hl7v2.map.tables import table

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "reference" / "hl7v2.md").read_text()


@pytest.mark.parametrize("state", desk.STATES)
def test_every_state_is_on_the_page(state: str) -> None:
    assert f"| `{state}` |" in PAGE


@pytest.mark.parametrize("event", table("events")["events"])
def test_every_event_is_on_the_page(event: str) -> None:
    assert event in PAGE.split("## Events")[1].split("## Fields")[0]


@pytest.mark.parametrize("command", sorted(hl7.commands))
def test_every_command_is_on_the_page(command: str) -> None:
    assert f"csor hl7 {command}" in PAGE


@pytest.mark.parametrize(
    "code",
    [ack.SEGMENT_SEQUENCE, ack.REQUIRED_FIELD, ack.DATA_TYPE, ack.UNSUPPORTED_VERSION, ack.UNKNOWN_KEY, ack.INTERNAL],
)
def test_every_error_code_is_on_the_page(code: str) -> None:
    assert f" {code}" in PAGE.split("## Answers")[1].split("## States")[0]


def test_maps_are_sound_and_their_urls_are_the_ones_of_the_house() -> None:
    for path in (MAPPINGS / "hl7v2").glob("*.json"):
        assert json.loads(path.read_bytes())["about"], path.name
    systems = table("code-systems")["systems"]
    assert {systems[name] for name in ("ICD10", "OPCS4", "SCT", "LN", "UCUM", "CSOR-FACTOR", "CSOR-CONDITION")} == {
        names.ICD10,
        names.OPCS4,
        names.SNOMED,
        names.LOINC,
        names.UCUM,
        names.CHILD_FACTOR,
        names.CONDITION,
    }
    codes = table("codes")
    assert set(codes["sex"].values()) == {"male", "female", "other", "unknown"}
    assert set(codes["observation-status"].values()) <= {
        "registered", "preliminary", "final", "amended", "corrected", "cancelled", "entered-in-error", "unknown",
    }  # fmt: skip
    for name in ("discharge-destination", "discharge-method"):
        stay = table("hospital-stay")[name]
        assert set(stay["died"]) <= set(stay["codes"])

"""The operative records as products: made from their sources, whole, and honest about what they are."""

import importlib.util
import json
from typing import Any

import pytest

from app import names
from app.content import PROFILES, TERMINOLOGY
from app.fhir.validation import validate
from tests.forms.records import questionnaire

BUILD = PROFILES / "questionnaires" / "operative-record" / "build.py"
# Good Surgical Practice (Royal College of Surgeons of England), section 1.3, and where each of its items is asked.
STANDARD = {
    "date and time": "performed", "elective or emergency": "urgency", "surgeon": "surgeon", "assistant": "assistant", "anaesthetist": "anaesthetist",
    "procedure": "procedure", "incision": "incision", "operative diagnosis": "operative-diagnosis", "findings": "findings-text",
    "complications": "complication", "extra procedure": "additional-procedure", "and why": "additional-reason", "tissue": "tissue",
    "prosthesis": "implants", "with serial numbers": "implant-detail", "closure": "closure", "blood loss": "blood-loss", "antibiotics": "antibiotics",
    "thrombosis prophylaxis": "thrombosis-prophylaxis", "post-operative instructions": "instructions", "signature": "signature",
}  # fmt: skip


def items(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [found for entry in entries for found in (entry, *items(entry.get("item", [])))]


def test_the_products_are_what_the_sources_make() -> None:
    spec = importlib.util.spec_from_file_location("operative_record_build", BUILD)
    assert spec is not None
    assert spec.loader is not None
    build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)
    made = build.products()
    assert len(made) == len(names.CONDITIONS) + 1
    for path, content in made.items():
        assert path.read_bytes() == content, f"{path.name}: run {BUILD.name}"


def test_each_is_valid_and_says_that_it_is_a_demonstration(condition: str) -> None:
    form = questionnaire(condition)
    assert validate(form) == []
    assert form["url"] == names.canonical("Questionnaire", f"operative-record-{condition}")
    assert form["experimental"] is True
    assert "demonstration" in form["description"]
    assert "not public" in form["description"]


def test_every_item_of_the_surgical_standard_is_asked(condition: str) -> None:
    asked = {item["linkId"] for item in items(questionnaire(condition)["item"])}
    assert set(STANDARD.values()) <= asked
    assert "narrative" in asked


def test_severity_classes_and_factors_are_codes_of_the_terminology(condition: str) -> None:
    system = json.loads((TERMINOLOGY / "child-factor.json").read_bytes())
    concepts = {entry["code"]: entry for entry in items([{"item": c.get("concept", []), **c} for c in system["concept"]])}
    for template in questionnaire(condition)["contained"]:
        if template["resourceType"] == "Observation":
            assert template["code"]["coding"][0]["code"] in concepts
    used = [
        o["valueCoding"]["code"]
        for item in items(questionnaire(condition)["item"])
        for o in item.get("answerOption", [])
        if o["valueCoding"]["system"] == names.CHILD_FACTOR
    ]
    assert used
    for code in used:
        belongs = [p["valueCode"] for p in concepts[code]["property"] if p["code"] == "condition"]
        assert belongs == [condition], code


@pytest.mark.parametrize("limit", [30])
def test_what_must_be_answered_fits_four_minutes(condition: str, limit: int) -> None:
    required = [
        item
        for item in items(questionnaire(condition)["item"])
        if item.get("required") and item["type"] != "group" and "enableWhen" not in item
    ]
    assert len(required) <= limit

"""All 5,298 official R4 examples: every one judged rightly, kept exactly, and equal after a journey through XML."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.fhir import codec, xml
from app.fhir.files import FileItem, read_resources
from app.fhir.profiles import extensions
from app.fhir.validation import Structure, Validator, references, validate

pytestmark = pytest.mark.conformance
EXAMPLES = "hl7.fhir.r4.examples-4.0.1"

_NO_BASE = "a search parameter without its required base"
_NO_NAME = "an ImplementationGuide without its required name and status, and with a reference whose id is too long"
REALLY_INVALID = {
    "CodeSystem-v2-0550.json": "codes that end in, or are, a no-break space",
    "ImplementationGuide-fhir.json": _NO_NAME,
    "Questionnaire-qs1.json": "items without their required linkId",
    "SearchParameter-codesystem-extensions-CodeSystem-author.json": _NO_BASE,
    "SearchParameter-codesystem-extensions-CodeSystem-effective.json": _NO_BASE,
    "SearchParameter-codesystem-extensions-CodeSystem-end.json": _NO_BASE,
    "SearchParameter-codesystem-extensions-CodeSystem-keyword.json": _NO_BASE,
    "SearchParameter-codesystem-extensions-CodeSystem-workflow.json": _NO_BASE,
    "SearchParameter-questionnaireresponse-extensions-QuestionnaireResponse-item-subject.json": "an id of more than 64 characters",
    "SearchParameter-valueset-extensions-ValueSet-author.json": _NO_BASE,
    "SearchParameter-valueset-extensions-ValueSet-effective.json": _NO_BASE,
    "SearchParameter-valueset-extensions-ValueSet-end.json": _NO_BASE,
    "SearchParameter-valueset-extensions-ValueSet-keyword.json": _NO_BASE,
    "SearchParameter-valueset-extensions-ValueSet-workflow.json": _NO_BASE,
    "ig-r4.json": _NO_NAME,
}

# R4 calls both an error, and so does HL7's own validator: of fullUrl its definition says that it "SHALL NOT disagree with the id in the resource", and sdf-4 is
# published with the severity error.
_OTHER_ID = "entries whose fullUrl names another id than the resource has"
_NO_BASE_DEFINITION = "a logical model that is not abstract, without the base that rule sdf-4 asks for"
BROKEN_RULES = {
    "Bundle-10bb101f-a121-4264-a920-67be9cb82c74.json": _OTHER_ID,
    "Bundle-3a0707d3-549e-4467-b8b8-5a2ab3800efe.json": _OTHER_ID,
    "Bundle-lri-example.json": _OTHER_ID,
    "StructureDefinition-Definition.json": _NO_BASE_DEFINITION,
    "StructureDefinition-Event.json": _NO_BASE_DEFINITION,
    "StructureDefinition-FiveWs.json": _NO_BASE_DEFINITION,
    "StructureDefinition-Request.json": _NO_BASE_DEFINITION,
}


@pytest.fixture(scope="session")
def examples(csor_data: Callable[[str], Path]) -> Callable[[], Iterator[FileItem]]:
    directory = csor_data(EXAMPLES)
    return lambda: read_resources([directory])


def test_all_are_valid_but_those_that_are_not(examples: Callable[[], Iterator[FileItem]]) -> None:
    refused, count = {}, 0
    for item in examples():
        count += 1
        issues = validate(item.decode())
        if issues:
            refused[item.path.name] = [str(issue) for issue in issues[:3]]
    assert count == 5298
    assert refused.keys() == REALLY_INVALID.keys(), {name: refused[name] for name in refused.keys() - REALLY_INVALID.keys()}


def test_all_keep_the_rules_the_bindings_and_the_profiles_but_those_that_do_not(
    examples: Callable[[], Iterator[FileItem]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything judged at once, and the contexts beyond a definition are exactly those that the examples need."""
    judged, needed = extensions._misplaced, set()

    def recording(profile: Any, owner: str, names: set[str], *more: Any) -> str | None:
        needed.update((profile.url, name) for name in extensions.BEYOND_THE_CONTEXT.get(profile.url, ()) if name in names)
        return judged(profile, owner, names, *more)

    monkeypatch.setattr(extensions, "_misplaced", recording)
    validator, refused = Validator(), {}
    for item in examples():
        errors = [str(issue) for issue in validator.validate(item.decode()) if issue.severity == "error"]
        if errors:
            refused[item.path.name] = errors[:3]
    known = REALLY_INVALID.keys() | BROKEN_RULES.keys()
    assert refused.keys() == known, {name: refused[name] for name in refused.keys() - known}
    assert needed == {(url, name) for url, names in extensions.BEYOND_THE_CONTEXT.items() for name in names}


def test_references_beyond_the_table_are_exactly_those_that_the_examples_need(
    examples: Callable[[], Iterator[FileItem]], monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed = len(references.BEYOND_THE_TABLE)
    monkeypatch.setattr(references, "BEYOND_THE_TABLE", {})
    strict = Structure()
    wanted = {
        "DeviceMetric-example.json",
        "DeviceUseStatement-example.json",
        "MedicationRequest-medrx0301.json",
        "Observation-clinical-gender.json",
    }
    refused = {
        item.path.name: [issue.expression for issue in issues]
        for item in examples()
        if item.path.name.startswith(("DeviceMetric", "DeviceUse", "MedicationRequest", "Observation"))
        and (issues := strict.validate(item.decode()))
    }
    assert refused.keys() == wanted
    assert allowed == len(wanted)


def _differs(one: Any, other: Any, where: str = "") -> str:
    """Where two resources differ, digits of numbers included; narratives may be written in more than one way."""
    if type(one) is not type(other):
        return where
    if isinstance(one, dict):
        if one.keys() != other.keys():
            return f"{where}.{one.keys() ^ other.keys()}"
        return next((found for key in one if (found := _differs(one[key], other[key], f"{where}.{key}"))), "")
    if isinstance(one, list):
        if len(one) != len(other):
            return where
        return next((found for at in range(len(one)) if (found := _differs(one[at], other[at], f"{where}[{at}]"))), "")
    if where.endswith(".div"):
        return "" if one == other or xml.canonical(one) == xml.canonical(other) else where
    return "" if str(one) == str(other) else where


def test_json_keeps_every_digit(examples: Callable[[], Iterator[FileItem]]) -> None:
    for item in examples():
        value = item.decode()
        kept = json.loads(codec.encode(value), parse_float=str, parse_int=str)
        written = json.loads(item.raw, parse_float=str, parse_int=str)
        assert kept == written, item.where


def test_xml_and_back_is_equal(examples: Callable[[], Iterator[FileItem]]) -> None:
    seen = set()
    for number, item in enumerate(examples()):
        kind = item.path.name.partition("-")[0]
        if kind in seen and number % 4:  # one of each kind, and a quarter of the rest: the whole takes four times as long
            continue
        seen.add(kind)
        value = item.decode()
        assert not _differs(xml.decode(xml.encode(value)), value), item.where
    assert len(seen) > 140

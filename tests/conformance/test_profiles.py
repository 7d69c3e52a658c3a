"""HL7's own snapshots are the oracle of ours; UK Core loads and its profiles apply."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.fhir.packages import load
from app.fhir.profiles.definition import STRUCTURE
from app.fhir.profiles.library import Library
from app.fhir.validation import Validator

pytestmark = pytest.mark.conformance
PACKAGE, UK_CORE = "hl7.fhir.r4.core-4.0.1", "uk-core-r4-staging"
UK = "https://fhir.hl7.org.uk/StructureDefinition/"

# What the published snapshot says otherwise, and why ours is right. The rules that follow are the same either way.
DIFFERS = {
    "bp": "the published snapshot lists the children of value[x] itself, ours those of its slice valueQuantity; the differential says the latter",
    "catalog": "the published snapshot leaves out Composition.date, which its differential names",
    "elementdefinition-de": "the published snapshot lists children of two extensions that its differential does not walk into",
    "familymemberhistory-genetic": "the published snapshot stops at the extension, before elements that its differential does not touch",
    "provenance-relevant-history": "the published slice has a binding and a content reference that its differential takes back",
}
_VALUES = ("fixed", "pattern", "minValue", "maxValue", "maxLength")


def constraints(package: Path) -> list[dict[str, Any]]:
    """The profiles of a package that come with a snapshot."""
    read: Iterator[dict[str, Any]] = (
        json.loads(file.read_bytes()) for file in sorted(package.rglob("StructureDefinition-*.json"))
    )
    return [each for each in read if each.get("derivation") == "constraint" and "snapshot" in each]


@pytest.fixture(scope="session")
def published(csor_data: Callable[[str], Path]) -> list[dict[str, Any]]:
    return constraints(csor_data(PACKAGE))


def facts(element: dict[str, Any]) -> dict[str, Any]:
    """What a snapshot says that is a rule, in one form."""
    binding = element.get("binding", {})
    strong = binding.get("strength") in ("required", "extensible")
    types = [
        (
            str(each.get("code", "System.")),
            tuple(each.get("profile", ())),
            tuple(url for url in each.get("targetProfile", ()) if url != STRUCTURE + "Resource"),
        )
        for each in element.get("type", ())
    ]
    return {
        "min": element.get("min"),
        "max": element.get("max"),
        "type": [] if any("System." in code for code, _, _ in types) else types,
        "binding": (binding["strength"], binding.get("valueSet", "").partition("|")[0]) if strong else None,
        "values": {key: value for key, value in element.items() if key.startswith(_VALUES)},
        "content": element.get("contentReference"),
        "must support": element.get("mustSupport", False),
    }


def compared(structures: list[dict[str, Any]]) -> tuple[dict[str, list[str]], int]:
    """What differs, by the profile's id, and how many elements were compared."""
    library, differing, count = Library(), {}, 0
    for structure in structures:
        profile = library.get(structure["url"])
        assert profile is not None and profile.problems == [], structure["url"]
        ours = {id: definition for id, _, definition in profile.tree.listed()}
        theirs = {each["id"]: each for each in structure["snapshot"]["element"]}
        if ours.keys() != theirs.keys():
            differing[structure["id"]] = sorted(ours.keys() ^ theirs.keys())
            continue
        for id, element in theirs.items():
            wanted = facts(element)
            said = facts(ours[id].facts) | ({} if wanted["type"] and "." in id else {"type": wanted["type"]})
            count += 1
            if said != wanted:
                differing.setdefault(structure["id"], []).append(f"{id}: {[key for key in wanted if wanted[key] != said[key]]}")
    return differing, count


def test_snapshots_say_what_hl7s_own_say(published: list[dict[str, Any]]) -> None:
    differing, count = compared(published)
    assert differing.keys() == DIFFERS.keys(), {name: differing[name] for name in differing.keys() - DIFFERS.keys()}
    assert len(published) == 442 and count > 4900


@pytest.fixture(scope="session")
def uk_core(csor_data: Callable[[str], Path]) -> Validator:
    return Validator(packages=[csor_data(UK_CORE)])


def test_uk_core_loads_but_for_one_file_that_is_damaged(csor_data: Callable[[str], Path], uk_core: Validator) -> None:
    package = load(csor_data(UK_CORE))
    assert (len(package.structures), len(package.terminology)) == (153, 221)
    assert [problem.diagnostics.partition(":")[0].rpartition("/")[2] for problem in uk_core.problems] == [
        "CodeSystem-UKCore-EthnicCategoryScotland.xml"
    ]


def test_every_profile_of_uk_core_has_a_snapshot(uk_core: Validator) -> None:
    library = uk_core.profiles.library
    assert len(library.urls()) == 153
    made = {url: library.get(url) for url in library.urls()}
    assert {url: profile.problems for url, profile in made.items() if profile and profile.problems} == {}
    assert [url for url, profile in made.items() if profile is None] == []


def child(**more: Any) -> dict[str, Any]:
    verified = {"system": "https://fhir.hl7.org.uk/CodeSystem/UKCore-NHSNumberVerificationStatusEngland", "code": "01"}
    status = {"url": UK + "Extension-UKCore-NHSNumberVerificationStatus", "valueCodeableConcept": {"coding": [verified]}}
    return {
        "resourceType": "Patient",
        "meta": {"profile": [UK + "UKCore-Patient"]},
        "identifier": [{"extension": [status], "system": "https://fhir.nhs.uk/Id/nhs-number", "value": "9000000009"}],
        "birthDate": "2020-01-01",
        **more,
    }


def test_uk_core_patients_are_judged(uk_core: Validator) -> None:
    def errors(resource: dict[str, Any]) -> set[str | None]:
        return {issue.expression for issue in uk_core.validate(resource) if issue.severity == "error"}

    assert errors(child()) == set()
    number = child()["identifier"][0]
    assert errors(child(identifier=[number, number])) == {"Patient.identifier"}
    assert errors(child(identifier=[{"system": number["system"]}])) == {"Patient.identifier[0].value"}
    ethnic = {"url": UK + "Extension-UKCore-EthnicCategory", "valueCodeableConcept": {"text": "not stated"}}
    assert errors(child(extension=[ethnic])) == set()
    assert errors(child(extension=[ethnic, ethnic])) == {"Patient.extension"}
    assert errors(child(extension=[{**ethnic, "url": UK + "Extension-UKCore-AdmissionMethod"}])) == {"Patient.extension[0]"}
    number["extension"][0]["valueCodeableConcept"]["coding"][0]["code"] = "99"
    assert errors(child(identifier=[number])) == {"Patient.identifier[0].extension[0].value"}


def test_blood_pressure_by_r4s_own_profile() -> None:
    def coded(code: str, system: str = "http://loinc.org") -> dict[str, Any]:
        return {"coding": [{"system": system, "code": code}]}

    def part(code: str, unit: str = "mm[Hg]") -> dict[str, Any]:
        return {
            "code": coded(code),
            "valueQuantity": {"value": 60, "unit": unit, "system": "http://unitsofmeasure.org", "code": unit},
        }

    def pressure(*parts: dict[str, Any], **more: Any) -> set[str | None]:
        resource = {
            "resourceType": "Observation",
            "status": "final",
            "category": [coded("vital-signs", "http://terminology.hl7.org/CodeSystem/observation-category")],
            "code": coded("85354-9"),
            "subject": {"reference": "Patient/1"},
            "effectiveDateTime": "2020-01-01",
            "component": list(parts),
            **more,
        }
        issues = Validator().validate(resource, [STRUCTURE + "bp"])
        return {issue.expression for issue in issues if issue.severity == "error"}

    systolic, diastolic = part("8480-6"), part("8462-4")
    assert pressure(systolic, diastolic) == set()
    assert pressure(systolic, systolic) == {"Observation.component"}
    assert "Observation.component[1].value.code" in pressure(systolic, part("8462-4", "kPa"))
    assert pressure(systolic, diastolic, effectiveDateTime="2020") == {"Observation.effective"}
    assert pressure(systolic, diastolic, subject={"reference": "Group/1"}) == {"Observation.subject.reference"}
    assert pressure(systolic, diastolic, category=[{"text": "vital"}]) == {"Observation.category"}

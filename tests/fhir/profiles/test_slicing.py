"""Slicing: by value, pattern, exists, type and profile; open, closed, ordered; slices of slices."""

from typing import Any

import pytest

from tests.fhir.profiles.making import BASE, URL, element, errors, profile, sliced

A, B, C = ({"system": f"urn:{name}", "value": "1"} for name in "abc")


def patient(*identifiers: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", **({"identifier": list(identifiers)} if identifiers else {}), **more}


def observation(*components: dict[str, Any], **more: Any) -> dict[str, Any]:
    parts = {"component": list(components)} if components else {}
    return {"resourceType": "Observation", "status": "final", "code": {"text": "a"}, **parts, **more}


def part(code: str, **value: Any) -> dict[str, Any]:
    return {"code": {"coding": [{"system": "urn:c", "code": code}]}, **value}


def by_system(rules: str = "open", ordered: bool = False, **first: Any) -> dict[str, Any]:
    return profile(
        "Patient",
        sliced("Patient.identifier", ("value", "system"), rules=rules, ordered=ordered),
        element("Patient.identifier:a", **first),
        element("Patient.identifier:a.system", min=1, fixedUri="urn:a"),
        element("Patient.identifier:a.value", min=1),
        element("Patient.identifier:b", max="1"),
        element("Patient.identifier:b.system", min=1, fixedUri="urn:b"),
    )


@pytest.mark.parametrize(
    ("made", "good", "bad", "where"),
    [
        (by_system(min=1), (A, C), (B, C), "Patient.identifier"),
        (by_system(max="1"), (A, B), (A, A), "Patient.identifier"),
        (by_system(), (A, B, C), (C, {"system": "urn:a"}), "Patient.identifier[1].value"),
        (by_system(), (B,), (B, B), "Patient.identifier"),
        (by_system("closed"), (A, B), (A, C), "Patient.identifier[1]"),
        (by_system("openAtEnd"), (A, B, C), (C, A), "Patient.identifier[1]"),
        (by_system(ordered=True), (A, B), (B, A), "Patient.identifier[1]"),
    ],
)
def test_by_value(made: dict[str, Any], good: tuple[dict[str, Any], ...], bad: tuple[dict[str, Any], ...], where: str) -> None:
    assert errors(patient(*good), made) == {}
    assert list(errors(patient(*bad), made)) == [where]


def test_by_pattern_and_by_a_path_through_lists() -> None:
    for kind, path, facts in (
        ("pattern", "code", element("Observation.component:x.code", patternCodeableConcept={"coding": [{"code": "x"}]})),
        ("value", "code", element("Observation.component:x.code", patternCodeableConcept={"coding": [{"code": "x"}]})),
        ("value", "code.coding.code", element("Observation.component:x.code.coding.code", min=1, fixedCode="x")),
    ):
        made = profile(
            "Observation",
            sliced("Observation.component", (kind, path)),
            element("Observation.component:x", min=1),
            facts,
            element("Observation.component:x.value[x]", min=1),
        )
        assert errors(observation(part("y"), part("x", valueString="1")), made) == {}
        assert set(errors(observation(part("y"), part("x")), made)) == {"Observation.component[1].value"}
        assert set(errors(observation(part("y", valueString="1")), made)) == {"Observation.component"}


def test_by_two_discriminators_both_must_hold() -> None:
    made = profile(
        "Patient",
        sliced("Patient.telecom", ("value", "system"), ("value", "use")),
        element("Patient.telecom:home", max="0"),
        element("Patient.telecom:home.system", fixedCode="phone"),
        element("Patient.telecom:home.use", fixedCode="home"),
    )
    work = {"system": "phone", "use": "work", "value": "1"}
    assert errors(patient(telecom=[work]), made) == {}
    assert set(errors(patient(telecom=[work, {**work, "use": "home"}]), made)) == {"Patient.telecom"}


def test_by_a_required_binding() -> None:
    binding = {"strength": "required", "valueSet": "http://hl7.org/fhir/ValueSet/marital-status"}
    made = profile(
        "Observation",
        sliced("Observation.category", ("value", "$this")),
        element("Observation.category:status", min=1, binding=binding),
    )
    one = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-MaritalStatus", "code": "M"}]}
    other = {"coding": [{"system": "urn:x", "code": "y"}]}
    assert errors(observation(category=[other, one]), made) == {}
    assert set(errors(observation(category=[other]), made)) == {"Observation.category"}


def test_by_exists() -> None:
    made = profile(
        "Patient",
        sliced("Patient.name", ("exists", "period")),
        element("Patient.name:past", max="1"),
        element("Patient.name:past.period", min=1),
        element("Patient.name:now", min=1),
        element("Patient.name:now.period", max="0"),
    )
    old, new = {"family": "A", "period": {"end": "2020"}}, {"family": "B"}
    assert errors(patient(name=[old, new]), made) == {}
    assert set(errors(patient(name=[old]), made)) == {"Patient.name"}
    assert set(errors(patient(name=[old, old, new]), made)) == {"Patient.name"}


def test_by_type() -> None:
    made = profile(
        "Observation",
        sliced("Observation.value[x]", ("type", "$this"), rules="closed"),
        element("Observation.value[x]:valueQuantity", type=[{"code": "Quantity"}]),
        element("Observation.value[x]:valueQuantity.code", min=1),
        element("Observation.value[x]:valueString", type=[{"code": "string"}], maxLength=2),
    )
    assert errors(observation(valueQuantity={"value": 1, "system": "urn:u", "code": "kg"}), made) == {}
    assert set(errors(observation(valueQuantity={"value": 1}), made)) == {"Observation.value.code"}
    assert set(errors(observation(valueString="long"), made)) == {"Observation.value"}
    assert set(errors(observation(valueBoolean=True), made)) == {"Observation.value"}


def test_by_the_type_of_what_a_reference_leads_to() -> None:
    made = profile(
        "Observation",
        sliced("Observation.performer", ("type", "resolve()")),
        element("Observation.performer:doctor", min=1, type=[{"code": "Reference", "targetProfile": [BASE + "Practitioner"]}]),
    )
    assert errors(observation(performer=[{"reference": "Organization/1"}, {"reference": "Practitioner/1"}]), made) == {}
    assert set(errors(observation(performer=[{"reference": "Organization/1"}]), made)) == {"Observation.performer"}


def test_by_profile() -> None:
    named = profile("Patient", element("Patient.name", min=1), name="named")
    made = profile(
        "Bundle",
        sliced("Bundle.entry", ("profile", "resource")),
        element("Bundle.entry:named", min=1, max="1"),
        element("Bundle.entry:named.resource", min=1, type=[{"code": "Patient", "profile": [URL + "named"]}]),
    )

    def bundle(*resources: dict[str, Any]) -> dict[str, Any]:
        return {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": each} for each in resources]}

    good = patient(name=[{"family": "A"}])
    assert errors(bundle(patient(), good), made, named) == {}
    assert set(errors(bundle(patient()), made, named)) == {"Bundle.entry"}
    assert set(errors(bundle(good, good), made, named)) == {"Bundle.entry"}


def test_slices_of_slices() -> None:
    made = profile(
        "Patient",
        sliced("Patient.identifier", ("value", "system")),
        element("Patient.identifier:a", slicing={"discriminator": [{"type": "value", "path": "use"}], "rules": "closed"}, min=1),
        element("Patient.identifier:a.system", min=1, fixedUri="urn:a"),
        element("Patient.identifier:a/official", max="1"),
        element("Patient.identifier:a/official.use", min=1, fixedCode="official"),
        element("Patient.identifier:a/old", max="2"),
        element("Patient.identifier:a/old.use", min=1, fixedCode="old"),
        element("Patient.identifier:a/old.period", min=1),
    )
    official, old = {**A, "use": "official"}, {**A, "use": "old", "period": {"end": "2020"}}
    assert errors(patient(official, old, old, B), made) == {}
    assert set(errors(patient(official, official), made)) == {"Patient.identifier"}
    assert set(errors(patient(official, {**A, "use": "old"}), made)) == {"Patient.identifier[1].period"}
    assert set(errors(patient(official, {**A, "use": "temp"}), made)) == {"Patient.identifier[1]"}


def test_the_default_slice_takes_the_rest() -> None:
    made = profile(
        "Patient",
        sliced("Patient.identifier", ("value", "system"), rules="closed"),
        element("Patient.identifier:a"),
        element("Patient.identifier:a.system", min=1, fixedUri="urn:a"),
        element("Patient.identifier:@default"),
        element("Patient.identifier:@default.value", min=1),
    )
    assert errors(patient({"system": "urn:a"}, C), made) == {}
    assert set(errors(patient({"system": "urn:c"}), made)) == {"Patient.identifier[0].value"}


def test_rules_of_the_whole_list_hold_for_its_slices() -> None:
    made = by_system()
    made["differential"]["element"].insert(2, element("Patient.identifier.use", min=1))
    assert set(errors(patient({**A, "use": "usual"}, B), made)) == {"Patient.identifier[1].use"}


def test_a_slicing_in_words_asks_nothing() -> None:
    made = profile(
        "Patient",
        element("Patient.identifier", slicing={"description": "as people know", "rules": "closed"}),
        element("Patient.identifier:a", min=1),
    )
    assert errors(patient(B), made) == {}

"""Snapshots from differentials: what a differential says lands at its place, and what it does not say stays as the base has it."""

from typing import Any

from app.fhir.profiles.definition import Definition, base
from app.fhir.profiles.library import Library
from app.fhir.validation import Validator
from tests.fhir.profiles.making import BASE, URL, element, extension, profile, sliced


def snapshot(*structures: dict[str, Any]) -> dict[str, Definition]:
    """id -> element, of the last one."""
    made = Library(structures).get(structures[-1]["url"])
    assert made is not None and made.problems == []
    return {id: definition for id, _, definition in made.tree.listed()}


def test_a_profile_that_says_nothing_is_its_base() -> None:
    found = snapshot(profile("Patient"))
    assert list(found) == [id for id, _, _ in base("Patient").listed()]
    assert not any(each.own for each in found.values())
    assert "Patient.contact.name" in found and "Patient.name.family" not in found


def test_walking_into_a_data_type_lists_its_children() -> None:
    found = snapshot(profile("Patient", element("Patient.name.family", min=1)))
    assert [id for id in found if id.startswith("Patient.name.")] == [
        f"Patient.name.{name}" for name in ("id", "extension", "use", "text", "family", "given", "prefix", "suffix", "period")
    ]
    assert found["Patient.name.family"].facts["min"] == 1 and found["Patient.name.given"].facts["min"] == 0


def test_the_shared_tree_of_a_type_is_never_changed() -> None:
    before = [(id, dict(each.facts)) for id, _, each in base("Patient").listed()]
    snapshot(profile("Patient", element("Patient.name.family", min=1), element("Patient.contact.name", max="0")))
    assert [(id, dict(each.facts)) for id, _, each in base("Patient").listed()] == before


def test_a_slice_begins_as_its_element_and_is_not_required() -> None:
    found = snapshot(
        profile(
            "Observation",
            sliced("Observation.component", ("value", "code"), min=1),
            element("Observation.component.value[x]", min=1),
            element("Observation.component:a"),
            element("Observation.component:a.code", fixedCodeableConcept={"text": "a"}),
        )
    )
    assert found["Observation.component"].facts["min"] == 1 and found["Observation.component:a"].facts["min"] == 0
    assert found["Observation.component:a.value[x]"].facts["min"] == 1
    assert "slicing" not in found["Observation.component:a"].facts
    assert found["Observation.component:a.code"].value("fixed") == ("fixedCodeableConcept", {"text": "a"})


def test_ids_that_are_missing_follow_from_paths_and_slice_names() -> None:
    elements = [
        sliced("Patient.identifier", ("value", "system")),
        element("Patient.identifier:a", min=1),
        element("Patient.identifier:a.system", fixedUri="urn:a"),
    ]
    for each in elements:
        del each["id"]
    found = snapshot(profile("Patient", *elements))
    assert found["Patient.identifier:a.system"].value("fixed") == ("fixedUri", "urn:a")
    assert found["Patient.identifier"].facts["min"] == 0


def test_a_choice_by_its_short_name_is_a_closed_slice_of_that_type() -> None:
    found = snapshot(profile("Observation", element("Observation.valueQuantity.code", min=1)))
    assert found["Observation.value[x]"].facts["slicing"]["rules"] == "closed"
    assert found["Observation.value[x]:valueQuantity"].types() == ["Quantity"]
    assert found["Observation.value[x]:valueQuantity.code"].facts["min"] == 1


def test_an_extension_that_is_walked_into_is_that_of_its_definition() -> None:
    found = snapshot(
        extension("e"),
        profile(
            "Patient",
            element("Patient.extension:e", type=[{"code": "Extension", "profile": [URL + "e"]}]),
            element("Patient.extension:e.value[x]", fixedString="x"),
        ),
    )
    assert found["Patient.extension:e.url"].value("fixed") == ("fixedUri", URL + "e")
    assert found["Patient.extension:e.value[x]"].types() == ["string"]


def test_constraints_add_up_and_bindings_replace() -> None:
    rule = {"key": "k-1", "severity": "error", "human": "h", "expression": "true"}
    lower = profile("Patient", element("Patient.name", constraint=[rule]), name="lower")
    binding = {"strength": "required", "valueSet": "urn:v"}
    upper = profile(
        "Patient",
        element("Patient.name", constraint=[rule, {**rule, "key": "k-2"}]),
        element("Patient.maritalStatus", binding=binding),
        on=URL + "lower",
    )
    found = snapshot(lower, upper)
    assert [each["key"] for each in found["Patient.name"].facts["constraint"]] == ["k-1", "k-2"]
    assert found["Patient.maritalStatus"].facts["binding"] == binding


def test_a_structure_with_a_snapshot_only_says_the_same() -> None:
    made = profile("Patient", element("Patient.name", min=1), element("Patient.name.family", min=1))
    made["snapshot"] = made.pop("differential")
    assert snapshot(made)["Patient.name.family"].facts["min"] == 1


def test_a_maximum_that_is_none_is_told() -> None:
    made = Library([profile("Patient", element("Patient.name", max="many"), element("Patient.name.family", min=1))]).get(
        URL + "p"
    )
    assert made is not None and "no maximum" in made.problems[0]
    assert made.tree.children is not None and made.tree.children["name"].facts["max"] == "*"


def test_hostile_differentials_end() -> None:
    deep = element("Patient" + ".extension" * 200, min=1)
    wide = [element(f"Patient.extension:s{n}", max="1") for n in range(500)]
    odd: list[Any] = [5, {}, {"path": 5}, {"path": ""}, {"path": "Patient.name", "type": 5}, {"path": "Group.name", "min": 1}]
    for structure in (profile("Patient", deep), profile("Patient", *wide), profile("Patient", *odd)):
        validator = Validator(profiles=[structure])
        validator.validate({"resourceType": "Patient", "name": [{"text": "a"}]}, [structure["url"]])
    (problem,) = validator.problems
    assert "left out" in problem.diagnostics


def test_a_loop_of_bases_is_no_profile() -> None:
    one, two = profile("Patient", name="one", on=URL + "two"), profile("Patient", name="two", on=URL + "one")
    library = Library([one, two])
    assert library.get(URL + "one") is None and "builds on" in library.lacks(URL + "one")
    assert library.get(BASE + "bp") is not None

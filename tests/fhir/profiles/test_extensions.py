"""Extensions against their definitions: what they hold, where they stand, how often a profile wants them."""

from typing import Any

import pytest

from tests.fhir.profiles.making import URL, element, errors, extension, profile


def patient(**more: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", **more}


def ext(name: str = "e", **value: Any) -> dict[str, Any]:
    return {"url": URL + name, **(value or {"valueString": "x"})}


def test_the_value_is_of_the_type_that_the_definition_names() -> None:
    made = extension("e")
    assert errors(patient(extension=[ext()]), made) == {}
    assert set(errors(patient(extension=[ext(valueCode="x")]), made)) == {"Patient.extension[0].value"}
    nested = ext(extension=[{"url": "part", "valueString": "x"}])
    assert set(errors(patient(extension=[nested]), made)) == {"Patient.extension[0].value", "Patient.extension[0].extension"}


def test_a_complex_extension_has_the_parts_that_its_definition_names() -> None:
    made = extension(
        "e",
        element("Extension.extension:part", min=1, max="1"),
        element("Extension.extension:part.url", fixedUri="part"),
        element("Extension.extension:part.value[x]", min=1, type=[{"code": "integer"}]),
        element("Extension.value[x]", max="0"),
    )
    part = {"url": "part", "valueInteger": 1}
    assert errors(patient(extension=[ext(extension=[part, {"url": "more", "valueString": "x"}])]), made) == {}
    assert set(errors(patient(extension=[ext(extension=[part, part])]), made)) == {"Patient.extension[0].extension"}
    assert set(errors(patient(extension=[ext(extension=[{"url": "more", "valueString": "x"}])]), made)) == {
        "Patient.extension[0].extension"
    }
    wrong = ext(extension=[{"url": "part", "valueString": "1"}])
    assert set(errors(patient(extension=[wrong]), made)) == {"Patient.extension[0].extension[0].value"}


@pytest.mark.parametrize(
    ("context", "good", "bad", "where"),
    [
        (("element", "Patient"), {"extension": [ext()]}, {"name": [{"extension": [ext()]}]}, "Patient.name[0].extension[0]"),
        (("element", "HumanName"), {"name": [{"extension": [ext()]}]}, {"extension": [ext()]}, "Patient.extension[0]"),
        (("element", "Patient.name"), {"name": [{"extension": [ext()]}]}, {"extension": [ext()]}, "Patient.extension[0]"),
        (
            ("element", "Patient.birthDate"),
            {"birthDate": "2020", "_birthDate": {"extension": [ext()]}},
            {"gender": "male", "_gender": {"extension": [ext()]}},
            "Patient.gender.extension[0]",
        ),
        (
            ("element", "HumanName.given"),
            {"name": [{"given": ["A", "B"], "_given": [None, {"extension": [ext()]}]}]},
            {"name": [{"family": "A", "_family": {"extension": [ext()]}}]},
            "Patient.name[0].family.extension[0]",
        ),
        (
            ("element", "Patient.deceased[x]"),
            {"deceasedBoolean": True, "_deceasedBoolean": {"extension": [ext()]}},
            {"extension": [ext()]},
            "Patient.extension[0]",
        ),
        (
            ("element", "Element"),
            {"name": [{"extension": [ext()]}]},
            {"extension": [ext(valueCode="x")]},
            "Patient.extension[0].value",
        ),
        (
            ("element", "DomainResource"),
            {"extension": [ext()]},
            {"name": [{"extension": [ext()]}]},
            "Patient.name[0].extension[0]",
        ),
        (
            ("extension", URL + "outer"),
            {"extension": [ext("outer", extension=[ext()])]},
            {"extension": [ext()]},
            "Patient.extension[0]",
        ),
        (
            ("fhirpath", "Patient.name.where(use = 'official')"),
            {"name": [{"use": "official", "extension": [ext()]}]},
            {"name": [{"use": "usual", "extension": [ext()]}]},
            "Patient.name[0].extension[0]",
        ),
    ],
    ids=lambda value: value[1] if isinstance(value, tuple) else "",
)
def test_an_extension_stands_only_where_its_definition_lets_it(
    context: tuple[str, str], good: dict[str, Any], bad: dict[str, Any], where: str
) -> None:
    made = extension("e", context=[context])
    assert errors(patient(**good), made) == {}
    assert set(errors(patient(**bad), made)) == {where}


def test_the_path_of_a_context_begins_at_the_resource_that_has_it() -> None:
    made = extension("e", context=[("element", "Patient.contact.name")])
    inside = patient(id="p", contact=[{"name": {"text": "a", "extension": [ext()]}}])
    holder = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "a"},
        "contained": [inside],
        "subject": {"reference": "#p"},
    }
    assert errors(holder, made) == {}
    assert errors({"resourceType": "Bundle", "type": "collection", "entry": [{"resource": inside}]}, made) == {}


def test_a_profile_counts_the_extensions_that_it_names() -> None:
    made = profile(
        "Patient",
        element("Patient.extension:e", min=1, max="1", type=[{"code": "Extension", "profile": [URL + "e"]}]),
    )
    assert errors(patient(extension=[ext()]), made, extension("e")) == {}
    assert set(errors(patient(extension=[ext("other")]), made, extension("e"))) == {"Patient.extension"}
    assert set(errors(patient(extension=[ext(), ext()]), made, extension("e"))) == {"Patient.extension"}
    assert set(errors(patient(extension=[ext()] * 2), made)) == {"Patient.extension"}  # also where its definition is not loaded


def test_on_a_primitive_too() -> None:
    made = profile(
        "Patient", element("Patient.birthDate.extension:e", min=1, type=[{"code": "Extension", "profile": [URL + "e"]}])
    )
    assert errors(patient(), made, extension("e")) == {}
    assert set(errors(patient(birthDate="2020"), made, extension("e"))) == {"Patient.birthDate.extension"}
    assert errors(patient(birthDate="2020", _birthDate={"extension": [ext()]}), made, extension("e")) == {}


def test_an_unknown_extension_is_left_alone_and_a_profile_is_none() -> None:
    assert errors(patient(extension=[ext("nobody")])) == {}
    assert set(errors(patient(extension=[ext("p")]), profile("Patient", name="p"), url="")) == {"Patient.extension[0].url"}


def test_r4s_own_extensions_are_known() -> None:
    born = {"url": "http://hl7.org/fhir/StructureDefinition/patient-birthPlace", "valueAddress": {"text": "here"}}
    assert errors(patient(extension=[born])) == {}
    assert set(errors(patient(extension=[{"url": born["url"], "valueString": "here"}]))) == {"Patient.extension[0].value"}
    assert set(errors({"resourceType": "Group", "type": "person", "actual": True, "extension": [born]})) == {"Group.extension[0]"}

"""FHIRPath Patch beyond the given suite: ways to a place, primitives with extensions, choices, refusals, budgets."""

import copy
from typing import Any

import pytest

from app.fhir.errors import BadRequest, FHIRError, TooCostly
from app.fhir.fhirpath import FHIRPathError
from app.fhir.patch import PatchError, fhirpath_patch
from app.fhir.validation import validate

PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "name": [{"use": "official", "given": ["a", "b", "c"], "_given": [None, {"id": "g"}, None]}, {"use": "usual", "text": "n"}],
    "identifier": [{"system": "s", "value": "1"}, {"system": "t", "value": "2"}],
    "birthDate": "2020-01-01",
    "_birthDate": {"extension": [{"url": "http://x", "valueString": "e"}]},
    "deceasedBoolean": False,
    "extension": [{"url": "http://y", "valueString": "z"}],
    "contained": [{"resourceType": "Organization", "id": "o", "name": "O", "telecom": [{"value": "1"}]}],
}
NUMBERS = ("index", "source", "destination")


def operation(kind: str, path: str, **parts: Any) -> dict[str, Any]:
    made = [{"name": "type", "valueCode": kind}, {"name": "path", "valueString": path}]
    for name, value in parts.items():
        made.append(
            {
                "name": name,
                **(value if isinstance(value, dict) else {"valueInteger" if name in NUMBERS else "valueString": value}),
            }
        )
    return {"name": "operation", "part": made}


def patched(*operations: dict[str, Any]) -> dict[str, Any]:
    before = copy.deepcopy(PATIENT)
    result = fhirpath_patch(PATIENT, {"resourceType": "Parameters", "parameter": list(operations)})
    assert before == PATIENT and validate(result) == []
    return result


def refused(*operations: Any) -> FHIRError:
    before = copy.deepcopy(PATIENT)
    with pytest.raises(FHIRError) as raised:
        fhirpath_patch(PATIENT, {"resourceType": "Parameters", "parameter": list(operations)})
    assert before == PATIENT
    return raised.value


STRING = {"valueString": "new"}


@pytest.mark.parametrize(
    ("path", "there"),
    [
        ("Patient.name[1].text", ("name", 1, "text")),
        ("name[1].text", ("name", 1, "text")),
        ("$this.name.where(use = 'usual').text", ("name", 1, "text")),
        ("%resource.name.last().text", ("name", 1, "text")),
        ("Patient.name.skip(1).first().text", ("name", 1, "text")),
        ("Patient.name.tail().single().text", ("name", 1, "text")),
        ("Patient.name.take(2)[1].text", ("name", 1, "text")),
        ("Patient.name.where($index = 1).text", ("name", 1, "text")),
        ("Patient.identifier.where(system = 't' and value.exists()).value", ("identifier", 1, "value")),
        ("Patient.extension('http://y').value", ("extension", 0, "valueString")),
        ("Patient.extension.where(url = 'http://y').value.ofType(string)", ("extension", 0, "valueString")),
        ("Patient.contained.ofType(Organization).name", ("contained", 0, "name")),
        ("(Patient.contained as Organization).telecom.value", ("contained", 0, "telecom", 0, "value")),
        ("Patient.birthDate.extension('http://x').value", ("_birthDate", "extension", 0, "valueString")),
        ("Patient.name[0].given[2]", ("name", 0, "given", 2)),
        ("Patient.name[0].given.where($this = 'c')", ("name", 0, "given", 2)),
    ],
)
def test_every_way_to_a_place(path: str, there: tuple[Any, ...]) -> None:
    value: Any = patched(operation("replace", path, value=STRING))
    for step in there:
        value = value[step]
    assert value == "new"


def test_companions_of_primitives_keep_step() -> None:
    name = "Patient.name[0].given"
    deleted = patched(operation("delete", f"{name}[0]"))["name"][0]
    assert deleted["given"] == ["b", "c"] and deleted["_given"] == [{"id": "g"}, None]
    moved = patched(operation("move", name, source=1, destination=0))["name"][0]
    assert moved["given"] == ["b", "a", "c"] and moved["_given"] == [{"id": "g"}, None, None]
    inserted = patched(operation("insert", name, index=1, value=STRING))["name"][0]
    assert inserted["given"] == ["a", "new", "b", "c"] and inserted["_given"] == [None, None, {"id": "g"}, None]
    added = patched(operation("add", "Patient.name[0]", name="given", value={**STRING, "_valueString": {"id": "h"}}))["name"][0]
    assert added["given"][3] == "new" and added["_given"][3] == {"id": "h"}
    replaced = patched(operation("replace", f"{name}[1]", value=STRING))["name"][0]
    assert replaced["given"] == ["a", "new", "c"] and "_given" not in replaced
    assert "_birthDate" not in patched(operation("delete", "Patient.birthDate"))


def test_the_last_extension_of_a_primitive_leaves_its_value() -> None:
    result = patched(operation("delete", "Patient.birthDate.extension('http://x')"))
    assert result["birthDate"] == "2020-01-01" and "_birthDate" not in result


def test_a_choice_is_replaced_by_another_of_its_types() -> None:
    result = patched(operation("replace", "Patient.deceased", value={"valueDateTime": "2024-01-01"}))
    assert result["deceasedDateTime"] == "2024-01-01" and "deceasedBoolean" not in result
    again = patched(
        operation("delete", "Patient.deceased"), operation("add", "Patient", name="deceased", value={"valueBoolean": True})
    )
    assert again["deceasedBoolean"] is True


def test_parts_make_what_has_no_type_of_its_own() -> None:
    parts = [
        {"name": "relationship", "valueCodeableConcept": {"text": "aunt"}},
        {"name": "relationship", "valueCodeableConcept": {"text": "friend"}},
        {"name": "gender", "valueCode": "female"},
        {"name": "telecom", "valueContactPoint": {"system": "phone", "value": "1"}},
    ]
    [contact] = patched(operation("add", "Patient", name="contact", value={"part": parts}))["contact"]
    assert [each["text"] for each in contact["relationship"]] == ["aunt", "friend"] and contact["gender"] == "female"


def test_deleting_what_is_not_there_is_no_error_and_other_operations_are_not_so_patient() -> None:
    assert patched(operation("delete", "Patient.photo")) == PATIENT
    for kind in ("replace", "add"):
        assert isinstance(refused(operation(kind, "Patient.photo", name="title", value=STRING)), PatchError)


@pytest.mark.parametrize(
    ("given", "kind", "said"),
    [
        (operation("replace", "Patient.name.text", value={"valueInteger": 1}), BadRequest, "takes string"),
        (operation("replace", "Patient.name", value={"valueHumanName": {}}), PatchError, "2 elements"),
        (operation("add", "Patient", name="birthDate", value={"valueDate": "2021"}), BadRequest, "there already"),
        (operation("add", "Patient", name="deceased", value={"valueDateTime": "2021"}), BadRequest, "there already"),
        (operation("add", "Patient", name="frob", value=STRING), PatchError, "no element 'frob'"),
        (operation("add", "Patient.birthDate", name="x", value=STRING), PatchError, "no element"),
        (operation("add", "Patient", name="deceased", value=STRING), BadRequest, "takes boolean or dateTime"),
        (operation("add", "Patient", name="contact", value={"part": [{"name": "frob", **STRING}]}), BadRequest, "frob"),
        (operation("add", "Patient", name="contact", value={}), BadRequest, "no content"),
        (operation("insert", "Patient.identifier", index=3, value={"valueIdentifier": {"value": "x"}}), PatchError, "no place 3"),
        (operation("insert", "Patient.birthDate", index=0, value=STRING), PatchError, "no list"),
        (operation("insert", "Patient.identifier[0]", index=0, value=STRING), BadRequest, "path to a list"),
        (operation("move", "Patient.identifier", source=2, destination=0), PatchError, "no place 2"),
        (operation("delete", "Patient"), PatchError, "whole resource"),
        (operation("replace", "Patient", value={"resource": {"resourceType": "Patient"}}), PatchError, "whole resource"),
        (operation("delete", "Patient.name"), PatchError, "2 elements"),
        (operation("delete", "Patient.name.count()"), BadRequest, "computes"),
        (operation("delete", "1 + 1"), BadRequest, "computes"),
        (operation("delete", "Patient.name.first("), FHIRPathError, "expected"),
        (operation("delete", "Patient.frobnicate()"), FHIRPathError, "no function"),
        (operation("replace", "Observation.status", value=STRING), PatchError, "nothing"),
        (operation("destroy", "Patient.name"), BadRequest, "no operation 'destroy'"),
        ({"name": "operation", "part": [{"name": "type", "valueCode": "delete"}]}, BadRequest, "needs the part 'path'"),
        ({"name": "operation", "part": [{"name": "frob"}]}, BadRequest, "no part 'frob'"),
        ({"name": "operation"}, BadRequest, "parts"),
        ({"name": "other", "part": []}, BadRequest, "operation"),
        ("x", BadRequest, "operation"),
        (operation("move", "Patient.name", source=-1, destination=0), BadRequest, "from 0"),
    ],
)
def test_what_cannot_be_done_says_why_and_where(given: Any, kind: type[FHIRError], said: str) -> None:
    error = refused(operation("delete", "Patient.identifier[0]"), given)
    assert isinstance(error, kind) and said in str(error), str(error)
    assert str(error.issues[0].expression).startswith(("Parameters.parameter[1]", "Patient"))


def test_work_is_bounded_for_the_patch_as_a_whole() -> None:
    slow = operation("delete", "Patient.name.where(('a' | 'b' | 'c').repeat($this & 'x').count() > 1)")
    assert isinstance(refused(slow), TooCostly)
    large = {"valueHumanName": {"given": ["x"] * 100_000}}
    assert isinstance(refused(*[operation("add", "Patient", name="name", value=large)] * 3), TooCostly)
    assert isinstance(refused(*[operation("delete", "Patient.photo")] * 1001), TooCostly)


def test_only_parameters_and_resources() -> None:
    for resource, parameters in (({"resourceType": "Patient"}, {"resourceType": "Bundle"}), ({}, {"resourceType": "Parameters"})):
        with pytest.raises(BadRequest):
            fhirpath_patch(resource, parameters)

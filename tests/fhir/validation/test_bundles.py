"""Bundles: fullUrls that say what the resource says, references that lead to an entry of the right type."""

from typing import Any

import pytest

from app.fhir.validation import check, validate

ONE, TWO = "urn:uuid:c757873d-ec9a-4326-a141-556f43239520", "urn:uuid:c757873d-ec9a-4326-a141-556f43239521"


def bundle(kind: str, *entries: dict[str, Any]) -> dict[str, Any]:
    request = {"request": {"method": "POST", "url": "x"}} if kind == "transaction" else {}
    return {"resourceType": "Bundle", "type": kind, "entry": [{**entry, **request} for entry in entries]}


def told(resource: dict[str, Any], severity: str = "error") -> list[tuple[str, str | None]]:
    return [
        (i.code, i.expression) for i in validate(resource, invariants=True) if i.severity == severity and i.code != "invariant"
    ]


def condition(subject: str) -> dict[str, Any]:
    return {
        "fullUrl": TWO,
        "resource": {
            "resourceType": "Condition",
            "clinicalStatus": {
                "coding": [{"system": "http://terminology.hl7.org/CodeSystem/condition-clinical", "code": "active"}]
            },
            "subject": {"reference": subject},
        },
    }


PATIENT = {"fullUrl": ONE, "resource": {"resourceType": "Patient"}}


@pytest.mark.parametrize(
    ("url", "resource", "right"),
    [
        ("https://example.org/fhir/Patient/1", {"resourceType": "Patient", "id": "1"}, True),
        ("https://example.org/fhir/Patient/1", {"resourceType": "Patient"}, True),
        ("https://example.org/fhir/Patient/1", {"resourceType": "Patient", "id": "2"}, False),
        ("https://example.org/fhir/Group/1", {"resourceType": "Patient", "id": "1"}, False),
        ("https://example.org/anything", {"resourceType": "Patient", "id": "2"}, True),
        ("Patient/1", {"resourceType": "Patient", "id": "1"}, False),
        (ONE, {"resourceType": "Patient", "id": "2"}, True),
    ],
)
def test_a_full_url_agrees_with_its_resource(url: str, resource: dict[str, Any], right: bool) -> None:
    assert told(bundle("collection", {"fullUrl": url, "resource": resource})) == (
        [] if right else [("value", "Bundle.entry[0].fullUrl")]
    )


def test_a_reference_by_uuid_leads_to_an_entry() -> None:
    assert told(bundle("transaction", PATIENT, condition(ONE))) == []
    missing = bundle("transaction", condition(ONE))
    assert told(missing) == [("not-found", "Bundle.entry[0].resource.subject.reference")]
    collection = bundle("collection", condition(ONE))
    assert told(collection) == []
    assert told(collection, "warning") == [("not-found", "Bundle.entry[0].resource.subject.reference")]


def test_a_reference_by_uuid_leads_to_the_right_type() -> None:
    practitioner = {"fullUrl": ONE, "resource": {"resourceType": "Practitioner"}}
    assert told(bundle("transaction", practitioner, condition(ONE))) == [("value", "Bundle.entry[1].resource.subject.reference")]


def test_entries_that_are_no_entries_raise_nothing() -> None:
    for entry in (5, {}, [None], [5], [{"fullUrl": 5, "resource": 5}], [{"resource": {"resourceType": "Nope"}}]):
        assert validate({"resourceType": "Bundle", "type": "collection", "entry": entry}, invariants=True)


def test_a_reference_beyond_the_table_is_let_through_but_told() -> None:
    weight = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "a"},
        "performer": [{"reference": "Encounter/1"}],
    }
    assert validate(weight) == []
    (warning,) = [issue for issue in validate(weight, invariants=True) if "takes only" in issue.diagnostics]
    assert (warning.severity, warning.expression) == ("warning", "Observation.performer[0].reference")
    check(weight)
    weight["performer"] = [{"reference": "Location/1"}]
    assert [issue.severity for issue in validate(weight)] == ["error"]

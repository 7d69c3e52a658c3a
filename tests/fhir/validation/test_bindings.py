"""Bindings: a required one refuses, an extensible one warns, and text alone is never outside."""

from typing import Any

from app.fhir.errors import Issue
from app.fhir.validation import Validator

VALIDATOR = Validator()


def told(resource: dict[str, Any]) -> list[tuple[str, str | None]]:
    found: list[Issue] = VALIDATOR.validate(resource)
    return [(issue.severity, issue.expression) for issue in found if issue.code == "code-invalid"]


def patient(**more: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", **more}


def status(system: str, code: str) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code}]}


def test_an_extensible_binding_warns() -> None:
    right = "http://terminology.hl7.org/CodeSystem/v3-MaritalStatus"
    assert told(patient(maritalStatus=status(right, "M"))) == []
    assert told(patient(maritalStatus=status(right, "nope"))) == [("warning", "Patient.maritalStatus")]
    assert told(patient(maritalStatus=status("urn:x", "M"))) == [("warning", "Patient.maritalStatus")]
    assert told(patient(maritalStatus={"text": "married"})) == []


def test_a_required_binding_made_by_a_grammar_refuses() -> None:
    assert told({"resourceType": "Binary", "contentType": "text/plain"}) == []
    assert told({"resourceType": "Binary", "contentType": "plain"}) == [("error", "Binary.contentType")]
    account = {"resourceType": "Claim", "total": {"value": 1, "currency": "pounds"}}
    assert ("error", "Claim.total.currency") in told(account)


def test_required_lists_are_judged_by_structure_already() -> None:
    assert told(patient(gender="boy")) == [("error", "Patient.gender")]


def test_a_lists_items_are_named() -> None:
    organization = "http://terminology.hl7.org/CodeSystem/v2-0131"
    contact = {"name": {"text": "a"}, "relationship": [status(organization, "N"), status("urn:x", "y")]}
    assert told(patient(contact=[contact])) == [("warning", "Patient.contact[0].relationship[1]")]

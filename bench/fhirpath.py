"""What an expression costs, and what indexing a resource costs beside merely decoding it."""

from decimal import Decimal
from typing import Any

import msgspec

from app.fhir import codec
from app.fhir.fhirpath import compile
from app.fhir.search.extract import extract
from app.fhir.search.query import parse
from bench.report import Report, micros, timed

PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "p1",
    "meta": {"profile": ["http://example.org/StructureDefinition/child"]},
    "active": True,
    "identifier": [
        {
            "type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MR"}]},
            "system": "urn:mrn",
            "value": "1",
        },
        {"system": "https://fhir.nhs.uk/Id/nhs-number", "value": "0"},
    ],
    "name": [{"use": "official", "family": "Example", "given": ["Ada", "B"]}, {"use": "usual", "given": ["Addie"]}],
    "telecom": [{"system": "phone", "value": "0100"}, {"system": "email", "value": "a@example.org"}],
    "gender": "female",
    "birthDate": "2021-03-04",
    "address": [{"line": ["1 Road"], "city": "Town", "postalCode": "AB1 2CD", "country": "GB"}],
    "generalPractitioner": [{"reference": "Practitioner/1"}],
    "managingOrganization": {"reference": "Organization/1"},
}


def _coded(code: str, display: str) -> dict[str, Any]:
    return {"coding": [{"system": "http://loinc.org", "code": code, "display": display}], "text": display}


OBSERVATION: dict[str, Any] = {
    "resourceType": "Observation",
    "id": "o1",
    "status": "final",
    "category": [_coded("vital-signs", "Vital Signs")],
    "code": _coded("85354-9", "Blood pressure panel"),
    "subject": {"reference": "Patient/p1"},
    "encounter": {"reference": "Encounter/e1"},
    "effectiveDateTime": "2024-03-01T10:00:00+00:00",
    "issued": "2024-03-01T10:00:00.123+00:00",
    "component": [
        {
            "code": _coded(code, display),
            "valueQuantity": {"value": Decimal(value), "unit": "mmHg", "system": "http://unitsofmeasure.org", "code": "mm[Hg]"},
        }
        for code, display, value in (("8480-6", "Systolic blood pressure", "107"), ("8462-4", "Diastolic blood pressure", "60"))
    ],
}
EXPRESSIONS = (
    ("Patient.name.where(use='official').family", PATIENT),
    ("name.exists() or telecom.exists()", PATIENT),
    ("Patient.birthDate <= today()", PATIENT),
    ("Observation.effective.as(dateTime)", OBSERVATION),
    ("Observation.subject.where(resolve() is Patient)", OBSERVATION),
    ("component.value.ofType(Quantity).value > 100", {**OBSERVATION, "component": OBSERVATION["component"][:1]}),
)
QUERY = [("code", "http://loinc.org|8480-6"), ("date", "ge2024-01-01"), ("subject:Patient.name", "ada"), ("_sort", "-date")]


def run(report: Report) -> None:
    """The yardstick is msgspec's decoder on the same resource in the same minute."""
    for resource, least in ((PATIENT, 0.04), (OBSERVATION, 0.04)):
        raw, kind = codec.encode(resource), resource["resourceType"]
        decode = timed(lambda raw=raw: msgspec.json.decode(raw))  # type: ignore[misc]
        index = timed(lambda resource=resource: extract(resource))  # type: ignore[misc]
        report.cost(f"index entries of one {kind}", index, "msgspec decode", decode, target=least)
    for text, resource in EXPRESSIONS:
        expression = compile(text)
        report.line(text, micros(timed(lambda: expression.evaluate(resource), seconds=0.2)))  # noqa: B023 - called at once
    compile_fresh = compile.__wrapped__
    report.line(
        "compile an expression", micros(timed(lambda: compile_fresh("Patient.name.where(use='official').family"), seconds=0.2))
    )
    report.line("parse a query of four parameters", micros(timed(lambda: parse("Observation", QUERY), seconds=0.2)))

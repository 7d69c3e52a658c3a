"""Valid resources that between them use most of the shapes in JSON, for tests that bend them."""

from decimal import Decimal
from typing import Any

DIV = '<div xmlns="http://www.w3.org/1999/xhtml"><p>Text with <b>bold</b> &amp; more.</p></div>'


def patient() -> dict[str, Any]:
    """A Patient with companions, extensions, a contained resource and choices."""
    return {
        "resourceType": "Patient",
        "id": "p-1",
        "meta": {"versionId": "1", "lastUpdated": "2024-02-29T23:59:60.123+14:00", "profile": ["https://example.org/p|1.0"]},
        "text": {"status": "generated", "div": DIV},
        "contained": [{"resourceType": "Organization", "id": "gp", "name": "Practice"}],
        "extension": [
            {"url": "https://example.org/e", "extension": [{"url": "part", "valueDecimal": Decimal("1.50")}]},
            {"url": "https://example.org/d", "valueDateTime": "2020", "_valueDateTime": {"id": "x"}},
        ],
        "identifier": [{"use": "official", "system": "urn:oid:2.16.840.1", "value": "9000000009"}],
        "active": True,
        "name": [
            {
                "family": "Example",
                "given": ["Ada", None],
                "_given": [None, {"extension": [{"url": "https://example.org/unknown", "valueCode": "masked"}]}],
            }
        ],
        "telecom": [{"system": "phone", "value": "020 7946 0000", "rank": 1}],
        "gender": "female",
        "birthDate": "2020-02-29",
        "_birthDate": {"extension": [{"url": "https://example.org/time", "valueDateTime": "2020-02-29T04:05:06Z"}]},
        "deceasedBoolean": False,
        "contact": [{"relationship": [{"text": "Mother"}], "name": {"text": "The mother"}, "period": {"start": "2020"}}],
        "communication": [{"language": {"coding": [{"system": "urn:ietf:bcp:47", "code": "en"}]}, "preferred": True}],
        "generalPractitioner": [{"reference": "#gp"}, {"reference": "Practitioner/1"}],
        "link": [{"other": {"reference": "Patient/2"}, "type": "seealso"}],
    }


def observation() -> dict[str, Any]:
    """An Observation with required elements, quantities and a component."""
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "29463-7"}], "text": "Body weight"},
        "subject": {"reference": "Patient/p-1"},
        "effectiveInstant": "2024-01-01T00:00:00.000Z",
        "valueQuantity": {
            "value": Decimal("3.20"),
            "comparator": "<",
            "unit": "kg",
            "system": "http://unitsofmeasure.org",
            "code": "kg",
        },
        "component": [
            {
                "code": {"text": "part"},
                "valueSampledData": {"origin": {"value": 0}, "period": 10, "dimensions": 1, "data": "E U L"},
            }
        ],
    }


def questionnaire() -> dict[str, Any]:
    """A Questionnaire: a type that contains itself, with choices in lists."""
    return {
        "resourceType": "Questionnaire",
        "url": "https://example.org/q",
        "status": "draft",
        "subjectType": ["Patient"],
        "item": [
            {
                "linkId": "1",
                "type": "group",
                "item": [
                    {
                        "linkId": "1.1",
                        "text": "How?",
                        "type": "choice",
                        "answerOption": [{"valueCoding": {"code": "a"}, "initialSelected": True}, {"valueString": "b"}],
                        "enableWhen": [{"question": "0", "operator": "=", "answerBoolean": True}],
                    }
                ],
            }
        ],
    }


def bundle() -> dict[str, Any]:
    """A transaction with resources in it."""
    return {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {
                "fullUrl": "urn:uuid:c757873d-ec9a-4326-a141-556f43239520",
                "resource": {
                    "resourceType": "Condition",
                    "clinicalStatus": {
                        "coding": [{"system": "http://terminology.hl7.org/CodeSystem/condition-clinical", "code": "active"}]
                    },
                    "subject": {"reference": "Patient/p-1"},
                    "onsetAge": {"value": 3, "unit": "d", "system": "http://unitsofmeasure.org", "code": "d"},
                },
                "request": {"method": "POST", "url": "Condition"},
            },
            {
                "resource": {"resourceType": "Binary", "contentType": "text/plain", "data": "aGVsbG8="},
                "request": {"method": "POST", "url": "Binary"},
            },
        ],
    }


ALL = {"patient": patient, "observation": observation, "questionnaire": questionnaire, "bundle": bundle}

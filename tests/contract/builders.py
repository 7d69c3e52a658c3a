"""Small resources and plans for the contract tests. Values are made up and mean nobody."""

from typing import Any

from app.fhir.search.types import (
    DateValue,
    Match,
    Param,
    Plan,
    ReferenceValue,
    StringValue,
    TokenValue,
)
from app.security.access import Access

NORTH, SOUTH = "RA1", "RB2"
AT_NORTH = Access("north", "hospital", frozenset({NORTH}))
AT_SOUTH = Access("south", "vendor", frozenset({SOUTH}))
NATIONAL = Access("nation", "national", None)
NOBODY = Access("public", "public")
PARENT = Access("parent", "parent")

FAMILY = Param("family", "string")
IDENTIFIER = Param("identifier", "token")
GENDER = Param("gender", "token")
BIRTHDATE = Param("birthdate", "date")
SUBJECT = Param("subject", "reference", ("Patient", "Group", "Device", "Location"))
CODE = Param("code", "token")
DATE = Param("date", "date")
VALUE = Param("value-quantity", "quantity")
CODE_VALUE = Param("code-value-quantity", "composite", (), (CODE, VALUE))
DAY = 86_400_000_000


def patient(id: str, family: str = "Alpha", **more: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": id, "name": [{"family": family}], **more}


def identified(id: str, value: str, **more: Any) -> dict[str, Any]:
    return patient(id, identifier=[{"system": "urn:test", "value": value}], **more)


def observation(id: str, of: str, code: str = "a", value: Any = None, day: str | None = None) -> dict[str, Any]:
    made: dict[str, Any] = {
        "resourceType": "Observation",
        "id": id,
        "status": "final",
        "code": {"coding": [{"system": "urn:code", "code": code, "display": f"Display {code}"}]},
        "subject": {"reference": f"Patient/{of}"},
    }
    if value is not None:
        made["valueQuantity"] = {"value": value, "system": "http://unitsofmeasure.org", "code": "mg"}
    if day is not None:
        made["effectiveDateTime"] = day
    return made


def by_identifier(value: str) -> Plan:
    return Plan(("Patient",), (Match(IDENTIFIER, (TokenValue("urn:test", value),)),))


def by_family(folded: str, modifier: Any = None) -> Match:
    return Match(FAMILY, (StringValue(folded, folded.title()),), modifier)


def of_patient(id: str) -> Match:
    return Match(SUBJECT, (ReferenceValue("Patient", id),))


def on_days(prefix: Any, low: int, days: int = 1, param: Param = BIRTHDATE) -> Match:
    """`low` in days since 1970."""
    return Match(param, (DateValue(prefix, low * DAY, (low + days) * DAY),))

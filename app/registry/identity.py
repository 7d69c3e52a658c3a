"""What identifies a child and a hospital: numbers, their check, and the guards that keep one child one Patient. Pure."""

from collections.abc import Iterable
from typing import Any

from app import names
from app.fhir.errors import Conflict
from app.registry.plans import by_identifier
from app.store.protocol import Guard


class IdentityConflict(Conflict):
    """The identifiers of one child point to two, or the date of birth contradicts the number."""


def normal_nhs_number(text: str | None) -> str | None:
    """The ten digits of a valid NHS number however it was spaced, else None."""
    digits = (text or "").replace(" ", "").replace("-", "")
    return digits if valid_nhs_number(digits) else None


def valid_nhs_number(text: str) -> bool:
    """Ten digits whose last is the modulus 11 check digit. Ten equal digits pass that sum but are nobody's."""
    if len(text) != 10 or not (text.isascii() and text.isdigit()) or len(set(text)) == 1:
        return False
    check = 11 - sum(int(digit) * weight for digit, weight in zip(text, range(10, 1, -1), strict=False)) % 11
    return check % 11 == int(text[9])  # a check of 10 equals no digit


def organisation_reference(ods: str) -> str:
    """`Organization/<ods>`: hospitals are known by their public code."""
    return f"Organization/{ods.lower()}"


def organisation(ods: str, name: str | None = None) -> dict[str, Any]:
    """The Organization of one hospital, ready to put."""
    resource: dict[str, Any] = {
        "resourceType": "Organization",
        "id": ods.lower(),
        "identifier": [{"system": names.ODS_CODE, "value": ods.upper()}],
        "active": True,
        "name": name or ods.upper(),
    }
    return resource


def identifiers(patient: dict[str, Any], system: str) -> list[str]:
    """The values of a Patient's identifiers of one system that are not marked old."""
    return [
        entry["value"]
        for entry in patient.get("identifier", ())
        if entry.get("system") == system and entry.get("value") and entry.get("use") != "old"
    ]


def nhs_number(patient: dict[str, Any]) -> str | None:
    """The Patient's verified NHS number, if it has one."""
    return next(filter(valid_nhs_number, identifiers(patient, names.NHS_NUMBER)), None)


def replaced_by(patient: dict[str, Any]) -> str | None:
    """`Patient/<id>` of the record that replaced this one, if it was merged away."""
    for link in patient.get("link", ()):
        reference: str = link.get("other", {}).get("reference", "")
        if link.get("type") == "replaced-by" and reference.startswith("Patient/"):
            return reference
    return None


def identity_guards(patient: dict[str, Any], expects: Iterable[str] = ()) -> list[Guard]:
    """Guards under which a commit (as SYSTEM) cannot make a second Patient with one of these identifiers.

    `expects` are the `Patient/<id>` that already carry them.
    """
    return [
        Guard(by_identifier("Patient", (entry["system"], entry["value"])), frozenset(expects))
        for entry in patient.get("identifier", ())
        if entry.get("value") and _identifies(entry.get("system", ""))
    ]


def _identifies(system: str) -> bool:
    return system == names.NHS_NUMBER or system.startswith(names.mrn_system(""))

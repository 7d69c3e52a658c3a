"""What an EPR vendor's FHIR interface would send: one transaction for each child, conditional on what is there already."""

from typing import Any

from app import names
from app.demo.hl7 import ICD10, visit_number
from app.demo.nation import Child, Spell

ENCOUNTER_CLASS = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "IMP"}


def transaction(child: Child) -> dict[str, Any]:
    """Patient, spells and diagnosis of one child."""
    patient = "urn:uuid:00000000-0000-4000-8000-000000000001"
    subject = {"reference": patient}
    entries = [_entry("Patient", _patient(child), f"identifier={names.NHS_NUMBER}|{child.nhs_number}", patient)]
    for spell in child.spells:
        if not (spell.died and child.death_known_by == "statistics"):
            visit = f"{names.visit_system(child.hospital.ods)}|{visit_number(child, spell)}"
            entries.append(_entry("Encounter", _encounter(child, spell, subject), f"identifier={visit}"))
    diagnosis = {
        "resourceType": "Condition",
        "identifier": [{"system": f"{names.CSOR}/Id/problem/{child.hospital.ods}", "value": child.mrn}],
        "code": {"coding": [{"system": names.ICD10, "code": ICD10[child.condition]}]},
        "subject": subject,
        "recordedDate": child.spells[0].admitted.isoformat(),
    }
    problem = f"{names.CSOR}/Id/problem/{child.hospital.ods}|{child.mrn}"
    entries.append(_entry("Condition", diagnosis, f"identifier={problem}"))
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


def operative_record(number: str, response: dict[str, Any]) -> dict[str, Any]:
    """A transaction that stores one operative record, once."""
    entry = _entry("QuestionnaireResponse", response, f"identifier={names.CSOR}/Id/record|{number}")
    return {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}


def death_notice(child: Child) -> dict[str, Any]:
    """A conditional update of the Patient that says when the child died."""
    resource = _patient(child)
    if child.died:
        resource["deceasedDateTime"] = child.died.isoformat()
    return resource


def _entry(kind: str, resource: dict[str, Any], unless: str, full_url: str | None = None) -> dict[str, Any]:
    entry: dict[str, Any] = {"resource": resource, "request": {"method": "POST", "url": kind, "ifNoneExist": unless}}
    return ({"fullUrl": full_url} if full_url else {}) | entry


def _patient(child: Child) -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "identifier": [
            {"system": names.NHS_NUMBER, "value": child.nhs_number},
            {"system": names.mrn_system(child.hospital.ods), "value": child.mrn},
        ],
        "active": True,
        "name": [{"use": "official", "family": child.family, "given": [child.given]}],
        "gender": child.sex,
        "birthDate": child.born.isoformat(),
        "contact": [
            {
                "relationship": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-RoleCode", "code": "PRN"}]}],
                "telecom": [{"system": "email", "value": child.email}],
            }
        ],
    }


def _encounter(child: Child, spell: Spell, subject: dict[str, str]) -> dict[str, Any]:
    return {
        "resourceType": "Encounter",
        "identifier": [{"system": names.visit_system(child.hospital.ods), "value": visit_number(child, spell)}],
        "status": "finished",
        "class": ENCOUNTER_CLASS,
        "subject": subject,
        "period": {"start": spell.admitted.isoformat(), "end": spell.discharged.isoformat()},
    }

"""A child with one case, as the doors of the server would have stored it."""

from typing import Any

from app import names
from app.registry.encounters import ADMISSION_METHOD, ADMISSION_METHOD_CODES, DISCHARGE_METHOD, DISCHARGE_METHOD_CODES

NUMBER = "9990000018"
OTHER_NUMBER = "9990000026"


def tagged(source: str) -> dict[str, Any]:
    return {"meta": {"tag": [{"system": names.SOURCE, "code": source}]}}


def patient(id: str = "p", *, nhs: str | None = None, mrn: tuple[str, str] | None = None, **more: Any) -> dict[str, Any]:
    found = [{"system": names.NHS_NUMBER, "value": nhs}] if nhs else []
    found += [{"system": names.mrn_system(mrn[0]), "value": mrn[1]}] if mrn else []
    resource = {"resourceType": "Patient", "id": id, "active": True, "gender": "female", "birthDate": "2023-01-01", **more}
    return resource | ({"identifier": found} if found else {})


def case(
    id: str = "case", condition: str = "oesophageal-atresia", *, of: str = "p", hospital: str = "ZAA", **more: Any
) -> dict[str, Any]:
    return {
        "resourceType": "EpisodeOfCare",
        "id": id,
        "status": "active",
        "type": [{"coding": [{"system": names.CONDITION, "code": condition}]}],
        "patient": {"reference": f"Patient/{of}"},
        "managingOrganization": {"reference": f"Organization/{hospital.lower()}"},
        **more,
    }


def about(of: str = "p", stay: str | None = None) -> dict[str, Any]:
    return {"subject": {"reference": f"Patient/{of}"}} | ({"encounter": {"reference": f"Encounter/{stay}"}} if stay else {})


def procedure(
    id: str,
    day: str,
    *,
    source: str = "operative-record",
    code: str = "G07.3",
    kind: str | None = None,
    stay: str | None = None,
    of: str = "p",
) -> dict[str, Any]:
    category = {"category": {"coding": [{"system": names.OPERATION_KIND, "code": kind}]}} if kind else {}
    coding = [{"system": names.OPCS4, "code": code}]
    base = {"resourceType": "Procedure", "id": id, "status": "completed", "code": {"coding": coding}, "performedDateTime": day}
    return base | tagged(source) | category | about(of, stay)


def stay(
    id: str,
    start: str,
    end: str | None = None,
    *,
    method: str | None = None,
    out: str | None = None,
    source: str = "hl7v2",
    of: str = "p",
    hospital: str | None = None,
) -> dict[str, Any]:
    resource: dict[str, Any] = {
        "resourceType": "Encounter",
        "id": id,
        "status": "finished" if end else "in-progress",
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "IMP"},
        "period": {"start": start} | ({"end": end} if end else {}),
        **tagged(source),
        **about(of),
    }
    if hospital:
        resource["serviceProvider"] = {"reference": f"Organization/{hospital.lower()}"}
    if method:
        coded = {"coding": [{"system": ADMISSION_METHOD_CODES, "code": method}]}
        resource["hospitalization"] = {"extension": [{"url": ADMISSION_METHOD, "valueCodeableConcept": coded}]}
    if out:
        coded = {"coding": [{"system": DISCHARGE_METHOD_CODES, "code": out}]}
        resource["extension"] = [{"url": DISCHARGE_METHOD, "valueCodeableConcept": coded}]
    return resource


def diagnosis(
    id: str, code: str, *, stay: str | None = None, source: str = "hl7v2", day: str | None = None, of: str = "p"
) -> dict[str, Any]:
    coded = {"coding": [{"system": names.ICD10, "code": code}]}
    return (
        {"resourceType": "Condition", "id": id, "code": coded}
        | tagged(source)
        | about(of, stay)
        | ({"recordedDate": day} if day else {})
    )


def observation(
    id: str, system: str, code: str, day: str, *, source: str = "operative-record", of: str = "p", **value: Any
) -> dict[str, Any]:
    coded = {"coding": [{"system": system, "code": code}]}
    base = {"resourceType": "Observation", "id": id, "status": "final", "code": coded, "effectiveDateTime": day}
    return base | tagged(source) | about(of) | value

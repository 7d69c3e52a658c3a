"""One provider spell as FHIR: Encounter, Conditions, Procedures, all tagged `hes`, with ids that the same spell always gets. Pure."""

from collections.abc import Iterator
from typing import Any

from app import names
from app.ids import derived_id
from app.intake.hes.episodes import codes
from app.intake.hes.spells import Spell
from app.registry.encounters import ADMISSION_METHOD, DISCHARGE_METHOD
from app.registry.operations import classify, plain_code
from app.registry.patients import organisation_reference

TAG = {"system": names.SOURCE, "code": "hes"}
CONDITION_CATEGORY = "http://terminology.hl7.org/CodeSystem/condition-category"
ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
SUPPLEMENTARY = ("Y", "Z")  # OPCS-4 chapters of approach and site: they qualify an operation and are none


def spell_system(ods: str) -> str:
    """The identifier system of a provider's spell numbers as HES has them (not the hospital's own visit numbers)."""
    return f"{names.CSOR}/Id/hes/spell/{ods}"


def resources(spell: Spell, patient: str, anchor: str) -> list[dict[str, Any]]:
    """The resources of a spell of the child `Patient/<patient>`. `anchor` is the opaque id that the person keeps for ever."""
    encounter = derived_id("hes-spell", anchor, spell.provider, spell.admitted)
    conditions = list(_conditions(spell, patient, encounter))
    return [_encounter(spell, patient, encounter, conditions), *conditions, *_procedures(spell, patient, encounter)]


def _about(patient: str, encounter: str) -> dict[str, Any]:
    return {"subject": {"reference": f"Patient/{patient}"}, "encounter": {"reference": f"Encounter/{encounter}"}}


def _coded(column: str, code: str) -> dict[str, Any] | None:
    known = code and code not in codes()[column].get("unknown", ())
    return {"coding": [{"system": codes()[column]["system"], "code": code}]} if known else None


def _encounter(spell: Spell, patient: str, id: str, conditions: list[dict[str, Any]]) -> dict[str, Any]:
    short = spell.first.patient_class in codes()["CLASSPAT"]["short"]
    resource: dict[str, Any] = {
        "resourceType": "Encounter",
        "id": id,
        "meta": {"tag": [TAG]},
        "status": "finished" if spell.discharged else "in-progress",
        "class": {"system": ACT_CODE, "code": "SS" if short else "IMP"},
        "subject": {"reference": f"Patient/{patient}"},
        "period": {"start": spell.admitted},
        "serviceProvider": {"reference": organisation_reference(spell.provider)},
    }
    if number := spell.first_of("spell_number"):
        resource["identifier"] = [{"system": spell_system(spell.provider), "value": number}]
    if spell.discharged:
        resource["period"]["end"] = spell.discharged
    if method := _coded("DISMETH", spell.last.discharge_method):
        resource["extension"] = [{"url": DISCHARGE_METHOD, "valueCodeableConcept": method}]
    if hospitalization := _hospitalization(spell):
        resource["hospitalization"] = hospitalization
    if conditions:
        resource["diagnosis"] = [
            {"condition": {"reference": f"Condition/{condition['id']}"}, "rank": rank}
            for rank, condition in enumerate(conditions, 1)
        ]
    return resource


def _hospitalization(spell: Spell) -> dict[str, Any]:
    parts: dict[str, Any] = {}
    if method := _coded("ADMIMETH", spell.first_of("admission_method")):
        parts["extension"] = [{"url": ADMISSION_METHOD, "valueCodeableConcept": method}]
    if source := _coded("ADMISORC", spell.first_of("admission_source")):
        parts["admitSource"] = source
    if destination := _coded("DISDEST", spell.last.destination):
        parts["dischargeDisposition"] = destination
    return parts


def _conditions(spell: Spell, patient: str, encounter: str) -> Iterator[dict[str, Any]]:
    """Each diagnosis once, the first episode's first."""
    for code in dict.fromkeys(plain_code(code) for episode in spell.episodes for code in episode.diagnoses):
        yield {
            "resourceType": "Condition",
            "id": derived_id("hes-diagnosis", encounter, code),
            "meta": {"tag": [TAG]},
            "category": [{"coding": [{"system": CONDITION_CATEGORY, "code": "encounter-diagnosis"}]}],
            "code": {"coding": [{"system": names.ICD10, "code": f"{code[:3]}.{code[3:]}" if len(code) > 3 else code}]},
            **_about(patient, encounter),
            "recordedDate": spell.admitted,
        }


def _procedures(spell: Spell, patient: str, encounter: str) -> Iterator[dict[str, Any]]:
    """One Procedure for each operation code and day; an operation without a day happened at some time in its episode."""
    method = spell.first_of("admission_method") or None
    seen: dict[tuple[str, str], dict[str, Any]] = {}
    for episode in spell.episodes:
        latest: dict[str, Any] | None = None
        for code, day in episode.operations:
            if code.startswith(SUPPLEMENTARY):
                _note(latest, code)
                continue
            if (code, day) not in seen:
                seen[code, day] = latest = _procedure(code, day, patient, encounter, method)
                if not day:
                    latest["performedPeriod"] = {"start": episode.start, "end": episode.end}
            latest = seen[code, day]
    yield from seen.values()


def _procedure(code: str, day: str, patient: str, encounter: str, method: str | None) -> dict[str, Any]:
    resource: dict[str, Any] = {
        "resourceType": "Procedure",
        "id": derived_id("hes-operation", encounter, code, day),
        "meta": {"tag": [TAG]},
        "status": "completed",
        "code": {"coding": [{"system": names.OPCS4, "code": f"{code[:3]}.{code[3:]}" if len(code) > 3 else code}]},
        **_about(patient, encounter),
    }
    if day:
        resource["performedDateTime"] = day
    if kind := classify(code, admission_method=method, is_index=False, urgency=None):
        resource["category"] = {"coding": [{"system": names.OPERATION_KIND, "code": kind}]}
    return resource


def _note(procedure: dict[str, Any] | None, code: str) -> None:
    """Keep a code of approach or site with the operation that it qualifies."""
    if procedure is None:
        return
    [note] = procedure.setdefault("note", [{"text": "OPCS-4 codes of approach and site:"}])
    if code not in note["text"].split():
        note["text"] += f" {code}"

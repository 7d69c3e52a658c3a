"""What the store knows of a child that an operative record can begin with."""

from typing import Any

from app import names
from app.fhir.search.types import Match, Param, TokenValue
from app.forms import populate
from app.registry.encounters import codes
from app.registry.factors import as_observations, factors_from
from app.registry.facts import NOT_SAID, condition_of
from app.registry.operations import condition_of_diagnosis
from app.registry.operative_record.case import find_case
from app.registry.operative_record.questionnaires import questionnaire
from app.registry.plans import coded, of_patient
from app.security.access import Access
from app.store.paging import every
from app.store.protocol import Store, Stored


async def likely_condition(store: Store, access: Access, patient: str) -> str | None:
    """The one condition that the child is known to have: by a case, else by a diagnosis. None where there is none, or more than one."""
    cases = of_patient(["EpisodeOfCare"], patient)
    told = {condition_of(case.resource) async for case in every(store, access, cases)} - {None}
    if not told:
        diagnoses = of_patient(["Condition"], patient)
        found = [diagnosis.resource async for diagnosis in every(store, access, diagnoses)]
        told = {condition_of_diagnosis(code) for each in found for code in codes(each.get("code"), names.ICD10)} - {None}
    return told.pop() if len(told) == 1 else None


async def launch(store: Store, access: Access, patient: Stored, condition: str) -> dict[str, Any]:
    """The launch contexts: `patient`, `case` (empty or one), `observations` (one for each factor that is known, by the rules of the case facts),
    `encounter` if the child is in hospital once, `user` if named."""
    case = await find_case(store, patient.id, condition)
    factors = of_patient(
        ["Observation"], patient.id, coded((names.CHILD_FACTOR, None), (names.LOINC, "8339-4"), (names.LOINC, "11884-4"))
    )
    said = [each.resource async for each in every(store, access, factors) if each.resource.get("status") not in NOT_SAID]
    stays = of_patient(["Encounter"], patient.id, Match(Param("status", "token"), (TokenValue(None, "in-progress"),)))
    here = (await store.search(access, stays)).matches
    contexts: dict[str, Any] = {
        "patient": patient.resource,
        "case": [case.resource] if case else [],
        "observations": as_observations(factors_from(said, condition)),
    }
    if len(here) == 1:
        contexts["encounter"] = here[0].resource
    contexts["user"] = {
        "resourceType": "Practitioner",
        **({"name": [{"text": access.name}]} if access.name and access.role == "hospital" else {}),
    }
    return contexts


async def begin(store: Store, access: Access, patient: Stored, condition: str) -> dict[str, Any]:
    """A draft response, filled with what is known."""
    return populate(questionnaire(condition), await launch(store, access, patient, condition))

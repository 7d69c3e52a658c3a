"""The case of one child and one condition: found, or made. It is an EpisodeOfCare, at the hospital that operated first.

There is never a second case: its id is derived from the child and the condition, and a new one is written only where nothing is
(`if_version` 0), so of two hospitals that record at the same moment one is made to look again and joins the other's case. A case that was
withdrawn stays so; a new one of the same child and condition has another id.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from app import clock, names
from app.fhir.errors import Invalid, NotFound
from app.fhir.search.types import Plan
from app.forms import ItemIssue
from app.ids import derived_id
from app.registry.consumer import child_resources
from app.registry.encounters import source_of
from app.registry.facts import facts_from, patient_of
from app.registry.identity import organisation, organisation_reference
from app.registry.plans import coded, of_patient
from app.security.access import SHARED, SYSTEM, Access
from app.store.paging import every
from app.store.protocol import Guard, Put, Store, Stored, Write

VERIFICATION = "http://terminology.hl7.org/CodeSystem/condition-ver-status"
_WITHDRAWN = ("entered-in-error", "cancelled")


def plan(patient: str, condition: str) -> Plan:
    """All cases of a child for a condition."""
    return of_patient(["EpisodeOfCare"], patient, coded((names.CONDITION, condition), param="type"))


async def find_case(store: Store, patient: str, condition: str) -> Stored | None:
    """The child's case for this condition, whichever hospital's it is; the earliest where a merge of records left two."""
    return standing((await store.search(SYSTEM, plan(patient, condition))).matches)


def standing(found: Sequence[Stored]) -> Stored | None:
    """The case among all that were ever made of a child and a condition."""
    cases = [case for case in found if case.resource.get("status") not in _WITHDRAWN]
    return min(cases, key=lambda case: (str(case.resource.get("period", {}).get("start", "9")), case.id), default=None)


def case_id(patient: str, condition: str, withdrawn: Iterable[str] = ()) -> str:
    """The id that a new case gets; `withdrawn` are the ids of those before it."""
    return derived_id("case", patient, condition, *sorted(withdrawn))


def condition_id(case: str, hospital: str) -> str:
    """The id of the Condition that one hospital records for a case."""
    return derived_id("condition", case, hospital)


def condition_of_case(case: Stored | None) -> str | None:
    """The `Condition/<id>` that a case names as its diagnosis."""
    diagnoses = (case.resource.get("diagnosis") or []) if case else []
    return next((str(entry["condition"]["reference"]) for entry in diagnoses if "reference" in entry.get("condition", {})), None)


_ORGANISATION = re.compile(r"Organization/([A-Za-z0-9]{3,10})")


def _ods(reference: Any) -> str | None:
    found = _ORGANISATION.fullmatch(str(reference))
    return found[1].upper() if found else None


def hospital(access: Access, patient: Stored, response: dict[str, Any]) -> str:
    """The ODS code of the operating hospital: the response's author, the caller's own, or the child's only one.

    Raises Invalid where none of them tells.
    """
    mine = sorted(access.hospitals or ())
    theirs = sorted(patient.owners - {SHARED})
    author = _ods((response.get("author") or {}).get("reference"))
    managing = _ods((patient.resource.get("managingOrganization") or {}).get("reference"))
    for known in ([author] if author else [], mine, [managing] if managing else [], theirs):
        allowed = [code for code in known if not mine or code in mine]
        if len(allowed) == 1:
            return allowed[0]
    raise Invalid(
        issues=[
            ItemIssue(
                "error",
                "required",
                "Say which hospital operated: let the author be its Organization, or give the Patient a managingOrganization.",
                "QuestionnaireResponse.author",
                link_id="hospital",
            )
        ]
    )


async def ensure_organisation(store: Store, ods: str) -> None:
    """Store the hospital's Organization where nobody has: it is everyone's to read, so no hospital's own commit may carry it."""
    try:
        await store.read(SYSTEM, "Organization", ods.lower())
    except NotFound:
        await store.commit(SYSTEM, [Put(organisation(ods), owners=frozenset({SHARED}), unchanged_ok=True)])


async def withdrawn(
    store: Store, access: Access, condition: str, made: Sequence[str], gone: Collection[str]
) -> list[Write | Guard]:
    """What takes back the case that records made, and its diagnosis, where the withdrawal of one of them leaves no operation in it.

    `made`: `Type/id` of all that this one made, of which `gone` goes.
    """
    writes: list[Write | Guard] = []
    patients = {patient_of(each.resource) for each in await store.read_many(access, made)} - {None}
    for patient in sorted(str(each) for each in patients):
        case = standing((await store.search(access, plan(patient, condition))).matches)
        if case is None or source_of(case.resource) != "operative-record":
            continue
        rest = [each for each in await child_resources(store, patient) if f"{each['resourceType']}/{each['id']}" not in gone]
        told = [facts_from(rest, clock.today(), str(each["id"])) for each in rest if each["resourceType"] == "EpisodeOfCare"]
        if any(facts and facts.condition == condition and facts.operations for facts in told):
            continue
        diagnoses = await store.read_many(access, [condition_of_case(case) or ""])
        ours = [case, *(each for each in diagnoses if source_of(each.resource) == "operative-record")]
        writes += [Put(_in_error(each), if_version=each.version) for each in ours]
        operations = of_patient(["Procedure"], patient)
        writes.append(Guard(operations, frozenset([each.reference async for each in every(store, access, operations)])))
    return writes


def _in_error(stored: Stored) -> dict[str, Any]:
    resource = stored.resource
    if stored.type == "EpisodeOfCare":
        return {**resource, "status": "entered-in-error"}
    resource.pop("clinicalStatus", None)  # a Condition in error has none (con-5)
    return {**resource, "verificationStatus": {"coding": [{"system": VERIFICATION, "code": "entered-in-error"}]}}


def managing(ods: str) -> dict[str, Any]:
    """`EpisodeOfCare.managingOrganization`."""
    return {"reference": organisation_reference(ods), "identifier": {"system": names.ODS_CODE, "value": ods.upper()}}

"""A completed operative record becomes Procedures, Observations, a Condition and the case, in the commit that stores it.

Every id is derived from the record's own id, so sending it again, or amending it, replaces what it made and repeats nothing; what
an amendment takes away is deleted (its history stays). The same operation of the same child is not recorded twice.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from app import clock, names
from app.fhir import codec
from app.fhir.errors import BusinessRule, Conflict, Gone, Invalid, NotFound
from app.forms import Extracted, ItemIssue, resources, validate_response
from app.forms.items import first, walk
from app.ids import derived_id
from app.registry import operations
from app.registry.merging import retained
from app.registry.operative_record import case as cases
from app.registry.operative_record.questionnaires import condition_of, questionnaire
from app.registry.plans import of_patient
from app.security.access import SYSTEM, Access
from app.store.protocol import Delete, Guard, Put, Store, Stored, Write

FINAL = ("completed", "amended")
_OURS = ("Procedure", "Observation")  # what an amendment may take away again
_SOURCE = {"system": names.SOURCE, "code": "operative-record"}


async def writes_for(
    store: Store, access: Access, response: dict[str, Any], beside: Mapping[str, dict[str, Any]] = MappingProxyType({})
) -> Sequence[Write | Guard]:
    """What must be committed together with `response`, which has its id; nothing for a draft or for another questionnaire.

    `beside`: what the same transaction stores, by `Type/id`; the child may be among it.
    Raises Invalid with every issue located, BusinessRule for an amendment that changes child or condition, Conflict where the same
    operation is recorded already.
    """
    condition = condition_of(response)
    if condition is None:
        return []
    previous = await _previous(store, access, response)
    if response.get("status") == "entered-in-error":
        return await _withdrawal(store, access, condition, response)
    _validated(condition, response)
    if response.get("status") not in FINAL:
        return []
    patient = await _child(store, access, response, beside)
    _plausible(patient, response)
    _same(previous, response)
    await _not_twice(store, access, patient, condition, response)
    return await _Completion(store, access, response, condition, patient).writes()


def _validated(condition: str, response: dict[str, Any]) -> None:
    issues = [issue for issue in validate_response(questionnaire(condition), response) if issue.severity in ("error", "fatal")]
    if issues:
        raise Invalid(issues=issues)


async def _child(store: Store, access: Access, response: dict[str, Any], beside: Mapping[str, dict[str, Any]]) -> Stored:
    """The retained Patient that the response is about. Raises Invalid, also for a child of another hospital."""
    reference = str((response.get("subject") or {}).get("reference", ""))
    where = "QuestionnaireResponse.subject"
    if not reference.startswith("Patient/"):
        raise Invalid("An operative record needs the child as its subject: a reference to a Patient.", expression=where)
    id = reference.removeprefix("Patient/").split("/")[0]
    try:
        return await retained(store, await store.read(access, "Patient", id))
    except (NotFound, Gone):
        coming = beside.get(f"Patient/{id}")
        if coming is None:
            raise Invalid(f"There is no {reference[:80]} here. Store the child first.", expression=where) from None
        return Stored("Patient", id, 0, 0, codec.encode(coming), access.stamp())


def _plausible(patient: Stored, response: dict[str, Any]) -> None:
    """No operation before birth or in the future."""
    performed = first(response, "performed")
    place = next(path for path, entry in walk(response["item"]) if entry.get("linkId") == "performed")
    born = str(patient.resource.get("birthDate", ""))
    sentence = None
    if born and performed[: len(born)] < born:
        sentence = "The operation cannot be before the child’s birth."
    elif len(performed) > 10 and datetime.fromisoformat(performed) > clock.now() + timedelta(minutes=10):
        sentence = "The operation cannot be in the future."
    if sentence:
        raise Invalid(issues=[ItemIssue("error", "value", sentence, f"{place}.answer[0].value", link_id="performed")])


async def _previous(store: Store, access: Access, response: dict[str, Any]) -> dict[str, Any] | None:
    try:
        return (await store.read(access, "QuestionnaireResponse", response["id"])).resource
    except (NotFound, Gone):
        return None


def _same(previous: dict[str, Any] | None, response: dict[str, Any]) -> None:
    """An amendment stays with its child and its condition."""
    if previous is None or previous.get("status") not in FINAL:
        return
    if condition_of(previous) != condition_of(response):
        raise BusinessRule(
            "An amendment cannot turn a record into one of another condition.", expression="QuestionnaireResponse.questionnaire"
        )
    if (previous.get("subject") or {}).get("reference") != (response.get("subject") or {}).get("reference"):
        raise BusinessRule(
            "An amendment cannot move a record to another child. Mark this one entered-in-error and complete a new one.",
            expression="QuestionnaireResponse.subject",
        )


async def _not_twice(store: Store, access: Access, patient: Stored, condition: str, response: dict[str, Any]) -> None:
    plan = of_patient(["QuestionnaireResponse"], patient.id, param="subject")
    for stored in (await store.search(access, plan)).matches:
        other = stored.resource
        if stored.id == response["id"] or other.get("status") not in FINAL or condition_of(other) != condition:
            continue
        if _moment(first(other, "performed")) == _moment(first(response, "performed")):
            raise Conflict(f"This operation is recorded already, as {stored.reference}. Amend that record instead.")


def _moment(text: str) -> datetime | str:
    return datetime.fromisoformat(text) if len(text) > 10 else text


class _Completion:
    """One record with all that is known of its child, on its way to writes."""

    def __init__(self, store: Store, access: Access, response: dict[str, Any], condition: str, patient: Stored) -> None:
        self.store, self.access, self.condition, self.patient = store, access, condition, patient
        self.response = {**response, "subject": {"reference": patient.reference}}
        self.hospital = cases.hospital(access, patient, response)
        self.owners = frozenset({self.hospital})

    async def writes(self) -> list[Write | Guard]:
        await cases.ensure_organisation(self.store, self.hospital)
        made = resources(questionnaire(self.condition), self.response)
        plan = cases.plan(self.patient.id, self.condition)
        ever = (await self.store.search(SYSTEM, plan)).matches
        found = cases.standing(ever)
        case = found.id if found else cases.case_id(self.patient.id, self.condition, (each.id for each in ever))
        diagnosis = cases.condition_of_case(found)
        there = {source for source, known in (("case", found), ("condition", diagnosis)) if known}
        diagnosis = diagnosis or f"Condition/{cases.condition_id(case, self.hospital)}"
        links = {each.full_url: self.reference(each, f"EpisodeOfCare/{case}", diagnosis) for each in made}
        puts = [self.put(each, links, new=found is None) for each in made if each.source not in there]
        before = await targets_of(self.store, self.access, self.response["id"])
        now = [f"{put.resource['resourceType']}/{put.resource['id']}" for put in puts]
        kept = [target for target in before if target.partition("/")[0] not in _OURS]
        gone = [_deleted(target) for target in before if target not in (*kept, *now)]
        provenance = Put(
            self.provenance([*kept, *(target for target in now if target not in kept)]), owners=self.owners, unchanged_ok=True
        )
        seen = (await self.store.search(self.access, plan)).matches if ever else []  # a guard is judged by what the caller sees
        guards = [] if found else [Guard(plan, frozenset(each.reference for each in seen))]
        return [
            *puts,
            *self.moved(found),
            *gone,
            provenance,
            *guards,
        ]

    def reference(self, each: Extracted, case: str, diagnosis: str) -> str:
        """Where an extracted resource goes: `Type/id`."""
        if each.source in ("case", "condition"):
            return case if each.source == "case" else diagnosis
        codings = each.resource.get("code", {}).get("coding") or [{}]
        code = str(codings[0].get("code", "")) if each.source == "additional" else ""
        return f"{each.resource['resourceType']}/{derived_id('operative-record', self.response['id'], each.source, code)}"

    def put(self, each: Extracted, links: dict[str, str], *, new: bool) -> Put:
        resource = _relinked(each.resource, links)
        resource["id"] = links[each.full_url].partition("/")[2]
        resource["meta"] = {"tag": [_SOURCE]}
        if each.source == "case":
            resource["identifier"] = [{"system": names.CASE_IDENTIFIER, "value": resource["id"]}]
            resource["managingOrganization"] = cases.managing(self.hospital)
        if resource["resourceType"] == "Procedure" and (kind := self.kind(resource)):
            resource["category"] = {"coding": [{"system": names.OPERATION_KIND, "code": kind}]}
        first_of_case = new and each.source in ("case", "condition")
        return Put(resource, if_version=0 if first_of_case else None, owners=self.owners, unchanged_ok=not first_of_case)

    def kind(self, procedure: dict[str, Any]) -> str | None:
        """Major or minor by the table (for another procedure: as the surgeon says), planned or emergency as the surgeon says."""
        urgency = str(first(self.response, "urgency")["code"])
        code = next((c["code"] for c in procedure.get("code", {}).get("coding") or () if c.get("system") == names.OPCS4), None)
        if code is None:
            return f"{first(self.response, 'procedure-size')['code']}-{urgency}"
        index = first(self.response, "first-operation") is True
        return operations.classify(code, admission_method=None, is_index=index, urgency=urgency, condition=self.condition)

    def moved(self, found: Stored | None) -> list[Write]:
        """The case's beginning, where an earlier operation is recorded after a later one."""
        performed = first(self.response, "performed")
        if found is None or not found.owners & self.owners:
            return []
        episode = found.resource
        start = str((episode.get("period") or {}).get("start", ""))
        if start and start[:10] <= performed[:10]:
            return []
        return [Put({**episode, "period": {**(episode.get("period") or {}), "start": performed}}, if_version=found.version)]

    def provenance(self, targets: Sequence[str]) -> dict[str, Any]:
        return {
            "resourceType": "Provenance",
            "id": provenance_id(self.response["id"]),
            "meta": {"tag": [_SOURCE]},
            "target": [{"reference": target} for target in targets],
            "recorded": self.response.get("authored") or clock.instant(clock.micros()),
            "activity": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-DataOperation", "code": "CREATE"}]},
            "agent": [{"who": self.response.get("author") or {"display": self.access.role}}],
            "entity": [{"role": "source", "what": {"reference": f"QuestionnaireResponse/{self.response['id']}"}}],
        }


def _relinked(value: Any, links: dict[str, str]) -> Any:
    """A copy of `value` whose references to full URLs name what they became."""
    if isinstance(value, dict):
        return {
            key: links.get(entry, entry) if key == "reference" and isinstance(entry, str) else _relinked(entry, links)
            for key, entry in value.items()
        }
    return [_relinked(entry, links) for entry in value] if isinstance(value, list) else value


def provenance_id(response: str) -> str:
    """The Provenance that names what a record made."""
    return derived_id("operative-record", response, "provenance")


async def targets_of(store: Store, access: Access, response: str) -> list[str]:
    """`Type/id` of all that a record made the last time; nothing for one that has made nothing."""
    try:
        provenance = (await store.read(access, "Provenance", provenance_id(response))).resource
    except (NotFound, Gone):
        return []
    return [str(target["reference"]) for target in provenance.get("target", ())]


async def _withdrawal(store: Store, access: Access, condition: str, response: dict[str, Any]) -> list[Write | Guard]:
    """A record that should never have been: what it made goes. The case stays where it has other operations."""
    made = await targets_of(store, access, response["id"])
    gone = [target for target in made if target.partition("/")[0] in _OURS]
    return [*map(_deleted, gone), *await cases.withdrawn(store, access, condition, made, gone)]


def _deleted(target: str) -> Delete:
    type_, _, id_ = target.partition("/")
    return Delete(type_, id_)

"""Case facts kept up to date from the change feed, as records that can be made again from the resources at any time.

Record kind `case-facts`: key the case id, owner the operating hospital, tag the condition, state `open` or `horizon`, body CaseFacts.
Whatever of a child changes, all cases of that child are told anew, once a batch.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterable, Sequence
from itertools import chain, islice
from typing import TypeVar

import msgspec

from app import clock, names
from app.fhir.errors import NotFound
from app.outcomes.case_facts import CaseFacts
from app.registry.facts import at_day, facts_from, patient_of
from app.registry.plans import coded, of_patient, of_patients
from app.security.access import SYSTEM, Access
from app.store.consumer import Consumer
from app.store.paging import every
from app.store.protocol import Change, DeleteRecord, PutRecord, Record, Store, Write

KIND = "case-facts"
TOUCHED_BY = frozenset(("Patient", "EpisodeOfCare", "Procedure", "Condition", "Encounter", "Observation"))
TOGETHER = 50  # patients a search
AT_ONCE = 10  # questions to the store that wait for each other's answers together
HISTORY = ("EpisodeOfCare", "Procedure", "Condition", "Encounter")
# Of Observations only what the facts are made of: a child's laboratory results may be thousands.
TOLD_BY_OBSERVATION = coded((names.CHILD_FACTOR, None), (names.OUTCOME, None), (names.LOINC, "11884-4"), (names.LOINC, "8339-4"))

T = TypeVar("T")
_decoder = msgspec.json.Decoder(CaseFacts)


async def child_resources(store: Store, patient: str) -> list[dict[str, object]]:
    """All of one child's resources that facts are made of, the Patient first. Empty where there is no such Patient."""
    patients = await store.read_many(SYSTEM, [f"Patient/{patient}"])
    if not patients:
        return []
    history = [stored.resource async for stored in every(store, SYSTEM, of_patient(HISTORY, patient))]
    observations = of_patient(("Observation",), patient, TOLD_BY_OBSERVATION)
    return [patients[0].resource, *history, *[stored.resource async for stored in every(store, SYSTEM, observations)]]


async def case_facts(store: Store, case: str) -> CaseFacts:
    """The facts of one case, made now from the resources. Raises NotFound where there is no such case, or nothing to tell yet."""
    episode = (await store.read(SYSTEM, "EpisodeOfCare", case)).resource
    patient = patient_of(episode)
    facts = facts_from(await child_resources(store, patient), clock.today(), case) if patient else None
    if facts is None:
        raise NotFound("There is no case with this id.")
    return facts


async def all_case_facts(store: Store, access: Access, hospital: str | None = None) -> AsyncIterator[CaseFacts]:
    """The facts of all cases that `access` may see, of one hospital or all, as of today, in the order of case ids."""
    after, today = None, clock.today()
    while True:
        records = await store.find_records(access, KIND, owner=hospital, after=after, limit=1000)
        for record in records:
            yield at_day(_decoder.decode(record.body), today)
        if len(records) < 1000:
            return
        after = records[-1].key


class CaseFactsConsumer(Consumer):
    """Consumer `case-facts`."""

    name = "case-facts"

    async def handle(self, changes: list[Change]) -> Sequence[Write]:
        """Facts of every case of every child whom the changes touch; a case that is not told any more goes."""
        today = clock.today()
        cases = await self._cases(await self._touched(change for change in changes if change.type in TOUCHED_BY))
        named = chain((change.id for change in changes if change.type == "EpisodeOfCare"), *cases.values())
        writes: dict[str, Write] = {case: DeleteRecord(KIND, case) for case in named}
        for resources in await _asked(child_resources(self.store, patient) for patient in cases):
            for episode in resources:
                if episode["resourceType"] == "EpisodeOfCare":
                    case = str(episode["id"])
                    facts = facts_from(resources, today, case)
                    writes[case] = PutRecord(_record(facts)) if facts else DeleteRecord(KIND, case)
        return list(writes.values())

    async def _cases(self, patients: Sequence[str]) -> dict[str, list[str]]:
        """The cases of those Patients who have one at all: a hospital's other patients may have thousands of resources."""
        found: dict[str, list[str]] = {}
        for start in range(0, len(patients), TOGETHER):
            async for stored in every(self.store, SYSTEM, of_patients(("EpisodeOfCare",), patients[start : start + TOGETHER])):
                if patient := patient_of(stored.resource):
                    found.setdefault(patient, []).append(stored.id)
        return found

    async def _touched(self, changes: Iterable[Change]) -> list[str]:
        """Patients whom the changes are or were about: a merge or a correction moves resources from one child to another."""
        patients: dict[str, None] = {}
        wanted: dict[str, None] = {}
        before: list[tuple[str, str, int]] = []
        for change in changes:
            if change.type == "Patient":
                patients[change.id] = None
                continue
            wanted[f"{change.type}/{change.id}"] = None
            if change.action != "create" and change.version > 1:
                before.append((change.type, change.id, change.version - 1))
        for stored in await _asked(self.store.vread(SYSTEM, *one) for one in before):
            if not stored.deleted and (patient := patient_of(stored.resource)):
                patients[patient] = None
        for stored in await self.store.read_many(SYSTEM, list(wanted)):
            if patient := patient_of(stored.resource):
                patients[patient] = None
        return list(patients)


async def _asked(questions: Iterable[Awaitable[T]]) -> list[T]:
    """The answers in order, `AT_ONCE` questions at a time: a store elsewhere answers as late for one as for ten."""
    answers: list[T] = []
    waiting = iter(questions)
    while together := list(islice(waiting, AT_ONCE)):
        answers += await asyncio.gather(*together)
    return answers


def _record(facts: CaseFacts) -> Record:
    state = "horizon" if facts.horizon_reached else "open"
    return Record(KIND, facts.case, msgspec.json.encode(facts), state=state, tag=facts.condition, owner=facts.hospital)

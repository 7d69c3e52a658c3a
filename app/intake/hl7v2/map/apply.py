"""From slots to writes: join what a message says with what is known, and write what changed.

`plan` reads the store and commits nothing of the message itself; the inbox commits its writes together with the message's
state, so a message is either wholly applied or not at all. Only a merge's own steps, and sharing a child with a
second hospital, are committed before: each can be done again without harm.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from app import ids, names
from app.fhir import codec, validation
from app.fhir.errors import NotFound
from app.intake.hl7v2.map import clinical, encounter, observation, patient
from app.intake.hl7v2.map.context import Context
from app.intake.hl7v2.map.familiar import Familiar
from app.intake.hl7v2.map.patient import Identity
from app.intake.hl7v2.map.reading import Reading, Said
from app.intake.hl7v2.map.slots import SNAPSHOT, Build, Slots, join, rebuild
from app.registry import patients
from app.security.access import SHARED, SYSTEM, Access
from app.store.protocol import Guard, Put, PutRecord, Record, Store, Stored, Write

MARK = "hl7v2-mark"
TAG = {"system": names.SOURCE, "code": "hl7v2"}
SKELETONS: dict[str, Callable[[Context], dict[str, Any]]] = {
    "Encounter": encounter.skeleton,
    "Condition": lambda _: clinical.condition_skeleton(),
    "Procedure": lambda _: clinical.procedure_skeleton(),
    "Observation": lambda _: observation.skeleton(),
}
BUILDERS: dict[str, Mapping[str, Build]] = {
    "Encounter": encounter.BUILDERS,
    "Condition": clinical.CONDITION,
    "Procedure": clinical.PROCEDURE,
    "Observation": observation.BUILDERS,
}


@dataclass
class Planned:
    """What to commit as SYSTEM, and the resources that it is about."""

    writes: list[Write] = field(default_factory=list)
    guards: list[Guard] = field(default_factory=list)
    references: list[str] = field(default_factory=list)


@dataclass
class Mark:
    """The slots of one resource, and the merged-away Patients whose slots are in them."""

    reference: str
    slots: Slots = field(default_factory=dict)
    folded: list[str] = field(default_factory=list)
    revision: int = 0

    def write(self) -> PutRecord:
        body = codec.encode({"slots": self.slots, "folded": self.folded})
        return PutRecord(Record(MARK, self.reference, body=body), if_revision=self.revision)


async def mark(store: Store, reference: str) -> Mark:
    """The mark of `Type/id`; an empty one where no message spoke of it yet."""
    record = await store.get_record(SYSTEM, MARK, reference)
    if record is None:
        return Mark(reference)
    data = record.data
    return Mark(reference, {name: (slot[0], slot[1]) for name, slot in data["slots"].items()}, data["folded"], record.revision)


def hospital(ods: str) -> Access:
    """Intake on behalf of one hospital."""
    return Access("hl7v2", "system", frozenset([ods]))


async def plan(store: Store, reading: Reading, key: str, familiar: Familiar | None = None) -> Planned:
    """Everything that the message changes. Raises what the registry raises, and Invalid where a resource would not be valid R4.

    `key` is the message's own opaque key.
    """
    planned = Planned()
    ods = reading.context.ods
    await _merges(store, reading)
    child = await find(store, ods, reading.who, reading.birth_date, familiar)
    patient_id = await _patient(store, reading, child, planned, key)
    found = await store.read_many(SYSTEM, [f"{said.type}/{said.id}" for said in reading.said])
    known = {stored.reference: stored for stored in found}
    for said in reading.said:
        await _resource(store, reading, said, known.get(f"{said.type}/{said.id}"), patient_id, planned, key)
    return planned


async def ensure_hospital(store: Store, ods: str, name: str | None = None) -> None:
    """Make the hospital's Organization if nobody has."""
    if not await store.read_many(SYSTEM, [patients.organisation_reference(ods)]):
        await store.commit(SYSTEM, [Put(patients.organisation(ods, name), owners=frozenset([SHARED]), unchanged_ok=True)])


async def find(store: Store, ods: str, who: Identity, birth_date: str | None, familiar: Familiar | None = None) -> Stored | None:
    """The child of the message, by each of its record numbers in turn and by the NHS number."""
    if familiar is not None and (child := await familiar.find(store, ods, who)) is not None:
        return child
    access = hospital(ods)
    mrns: list[tuple[str, str] | None] = [*who.mrns] or [None]
    for mrn in mrns:
        child = await patients.find_child(store, access, nhs_number=who.nhs_number, mrn=mrn, birth_date=birth_date)
        if child is not None:
            if familiar is not None:
                familiar.remember(ods, who, child)
            return child
    return None


async def _merges(store: Store, reading: Reading) -> None:
    access = hospital(reading.context.ods)
    for kept_who, gone_who in reading.merges:
        if kept_who.mrns and gone_who.mrns:
            gone_who.nhs_number = None  # the hospital's own numbers say which two records are meant
        kept = await _found_or_made(store, access, reading, kept_who)
        gone = await _found_or_made(store, access, reading, gone_who)
        await patients.merge(store, access, kept, gone)
        for mrn in gone_who.mrns:
            identifier = {"use": "old", "system": names.mrn_system(mrn[0]), "value": mrn[1]}
            reading.patient[f"identifier/{identifier['system']}|{mrn[1]}"] = (reading.context.stamp(SNAPSHOT), identifier)


async def _found_or_made(store: Store, access: Access, reading: Reading, who: Identity) -> Stored:
    found = await find(store, reading.context.ods, who, None)
    if found is not None:
        return found
    numbers = [entry for entry in who.identifiers if who.nhs_number or entry.get("system") != names.NHS_NUMBER]
    return await patients.create_child(store, access, {**_new("Patient", ids.new_id()), "active": True, "identifier": numbers})


async def _patient(store: Store, reading: Reading, child: Stored | None, planned: Planned, key: str) -> str:
    ods = reading.context.ods
    resource = child.resource if child else {**_new("Patient", ids.new_id()), "active": True}
    known = await mark(store, f"Patient/{resource['id']}")
    changed = await _fold(store, known, resource)
    changed |= join(known.slots, reading.patient)
    if child is None:
        changed = set(known.slots)
    planned.references.append(known.reference)
    if not changed:
        return str(resource["id"])
    before = dict(resource)
    rebuild(resource, known.slots, changed, patient.BUILDERS)
    _write(planned, known, child, before, resource, ods, key)
    if child is None:
        planned.guards += patients.identity_guards(resource)
    return str(resource["id"])


async def _fold(store: Store, known: Mark, resource: Mapping[str, Any]) -> set[str]:
    """Take in the slots of Patients that were merged into this one since we last looked."""
    changed: set[str] = set()
    for link in resource.get("link", ()):
        reference = link.get("other", {}).get("reference", "")
        if link.get("type") != "replaces" or reference in known.folded:
            continue
        gone = await mark(store, reference)
        join(known.slots, gone.slots)
        changed |= gone.slots.keys()
        known.folded += [reference, *(other for other in gone.folded if other not in known.folded)]
    return changed


async def _resource(
    store: Store, reading: Reading, said: Said, stored: Stored | None, patient_id: str, planned: Planned, key: str
) -> None:
    context = reading.context
    resource = stored.resource if stored else {**SKELETONS[said.type](context), "id": said.id, "meta": {"tag": [TAG]}}
    known = await mark(store, f"{said.type}/{said.id}")
    changed = join(known.slots, {**said.slots, "subject": (context.stamp(SNAPSHOT), patient_id)})
    if stored is None:
        changed = set(known.slots)
    planned.references.append(known.reference)
    if not changed - {"subject"} and _about(resource) == patient_id:
        return  # nothing but the stamp of who it is about would change
    before = dict(resource)
    rebuild(resource, known.slots, changed - {"subject"}, BUILDERS[said.type])
    if "subject" in changed:
        await _subject(store, context, said, resource, known, patient_id)
    if said.encounter:
        resource["encounter"] = {"reference": f"Encounter/{said.encounter}"}
    _write(planned, known, stored, before, resource, context.ods, key)


def _write(
    planned: Planned, known: Mark, stored: Stored | None, before: dict[str, Any], resource: dict[str, Any], ods: str, key: str
) -> None:
    """The mark, and the resource unless it says what it said before (a snapshot mostly repeats)."""
    planned.writes.append(known.write())
    # Equal numbers can have other digits (5.1 and 5.10), so a result is left to the store's own comparison.
    if stored is not None and before == resource and ods in stored.owners and stored.type != "Observation":
        return
    resource["meta"] = {**resource.get("meta", {}), "source": f"{names.CSOR}/hl7v2-message/{key}"}
    validation.check(resource)
    owners = (stored.owners if stored else frozenset()) | {ods}
    planned.writes.append(Put(resource, stored.version if stored else 0, owners, unchanged_ok=True))


def _about(resource: Mapping[str, Any]) -> str:
    return str(resource.get("subject", {}).get("reference", "")).removeprefix("Patient/")


async def _subject(store: Store, context: Context, said: Said, resource: dict[str, Any], known: Mark, patient_id: str) -> None:
    """Whom the newest message names; where that Patient has been merged away since, the retained one."""
    before, named = _about(resource), str(known.slots["subject"][1])
    after = patient_id if named == patient_id else await _retained(store, named)
    if before and before != after and await _retained(store, before) != after and said.type == "Encounter":
        context.doubt("This visit was known for another child; it now belongs to the one that the newest message names", "PV1-19")
    resource["subject"] = {"reference": f"Patient/{after}"}


async def _retained(store: Store, id: str) -> str:
    try:
        return (await patients.retained(store, await store.read(SYSTEM, "Patient", id))).id
    except NotFound:
        return id  # made in this same commit


def _new(type: str, id: str) -> dict[str, Any]:
    return {"resourceType": type, "id": id, "meta": {"tag": [TAG]}}

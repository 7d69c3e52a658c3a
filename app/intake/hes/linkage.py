"""Which child a person of the file is. Only a number proves it: a valid NHS number with no contradicting date of birth, or a link made before.

Record kind `hes-person`, key the person's key in HES: the anchor (an opaque id from which the ids of the person's resources are derived,
so that they outlive a merge of the child) and the Patient.
"""

from dataclasses import dataclass

import msgspec

from app.fhir.errors import FHIRError
from app.ids import new_id
from app.registry.patients import IdentityConflict, find_child, normal_nhs_number, retained
from app.security.access import SYSTEM
from app.store.protocol import PutRecord, Record, Store, Stored

KIND = "hes-person"


class Person(msgspec.Struct):
    """Body of a `hes-person` record."""

    anchor: str
    patient: str


@dataclass(frozen=True, slots=True)
class Link:
    """A child, the anchor, and the record to write where the link is new or moved."""

    child: Stored
    anchor: str
    record: PutRecord | None


async def link(store: Store, person: str, given: set[str], born: set[str]) -> Link | str:
    """The link of a person of whom these NHS numbers and dates of birth are told, or the reason why there is none."""
    numbers = {number for text in given if (number := normal_nhs_number(text))}
    if len(numbers) > 1:
        return "two NHS numbers"
    try:
        child = await _by_number(store, next(iter(numbers), None), born)
    except IdentityConflict:
        return "identifiers that contradict each other"
    record = await store.get_record(SYSTEM, KIND, person)
    if record is None:
        if child is None:
            return _why_not(given, numbers)
        made = Person(new_id(), child.id)
        return Link(child, made.anchor, PutRecord(Record(KIND, person, msgspec.json.encode(made)), if_revision=0))
    known = msgspec.json.decode(record.body, type=Person)
    try:
        before = await retained(store, await store.read(SYSTEM, "Patient", known.patient))
    except FHIRError:
        return "the child was deleted"
    if child is not None and child.id != before.id:
        return "the number now belongs to another child"
    if before.id == known.patient:
        return Link(before, known.anchor, None)
    record.body = msgspec.json.encode(Person(known.anchor, before.id))
    return Link(before, known.anchor, PutRecord(record, if_revision=record.revision))


async def _by_number(store: Store, number: str | None, born: set[str]) -> Stored | None:
    child = None
    for birth_date in sorted(born) if number else ():
        child = await find_child(store, SYSTEM, nhs_number=number, birth_date=birth_date, share=False)
    if number and not born:
        child = await find_child(store, SYSTEM, nhs_number=number, share=False)
    return child


def _why_not(given: set[str], numbers: set[str]) -> str:
    if numbers:
        return "no child with this NHS number"
    return "an NHS number that fails its check" if given else "no NHS number"

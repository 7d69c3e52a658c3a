"""Operative records that are not complete yet: kept as the surgeon typed them, right or wrong, until they are completed.

A draft's key is the id that its QuestionnaireResponse will have, so completing it twice is completing it once. A draft belongs to
the hospital of whoever began it and is seen by that hospital alone.
"""

from dataclasses import dataclass, field

import msgspec

from app.fhir.errors import NotFound
from app.ids import new_id
from app.security.access import Access
from app.store.protocol import DeleteRecord, PutRecord, Record, Store

KIND = "operative-draft"
Values = dict[str, list[str]]


@dataclass(slots=True)
class Draft:
    """`values` are form fields by linkId. `amends`: the record is completed already and this would amend it."""

    id: str
    condition: str
    patient: str
    by: str = ""
    values: Values = field(default_factory=dict)
    amends: bool = False
    revision: int = 0
    updated: int = 0


def begin_draft(
    access: Access, condition: str, patient: str, values: Values, *, id: str | None = None, amends: bool = False
) -> Draft:
    """A draft that nobody has saved yet."""
    return Draft(id or new_id(), condition, patient, access.who, values, amends)


async def save_draft(store: Store, access: Access, draft: Draft) -> Draft:
    """Store it; the draft with its new revision. Raises RecordConflict where somebody saved it since `draft.revision`."""
    body = {name: getattr(draft, name) for name in ("condition", "patient", "by", "values", "amends")}
    record = Record(KIND, draft.id, msgspec.json.encode(body), tag=draft.patient, owner=_owner(access))
    await store.commit(access, [PutRecord(record, if_revision=draft.revision)])
    return await load_draft(store, access, draft.id)


async def load_draft(store: Store, access: Access, id: str) -> Draft:
    """Raises NotFound, also for another hospital's."""
    record = await store.get_record(access, KIND, id)
    if record is None:
        raise NotFound("There is no such draft. It may have been completed or thrown away.")
    return _draft(record)


async def drafts(store: Store, access: Access, patient: str | None = None) -> list[Draft]:
    """The newest hundred drafts that the caller may see, of one child or of all."""
    return [_draft(record) for record in await store.find_records(access, KIND, tag=patient, limit=100, descending=True)]


def without_draft(id: str) -> DeleteRecord:
    """The write that throws a draft away."""
    return DeleteRecord(KIND, id)


def _owner(access: Access) -> str:
    return min(access.hospitals) if access.hospitals else ""


def _draft(record: Record) -> Draft:
    return Draft(record.key, **record.data, revision=record.revision, updated=record.updated)

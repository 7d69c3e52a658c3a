"""Records: small operational documents beside the resources.

A record's name in its collection is kind and key, so that the order of names is the order of keys within a kind. What must stay true: a caller with
hospitals sees and changes only records of its own; a public caller or a parent none.
"""

from typing import NamedTuple

from bson.binary import Binary
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection

from app.fhir.errors import Forbidden
from app.security.access import Access
from app.store.mongo.conditions import NOTHING, all_of, one_of
from app.store.mongo.words import Document
from app.store.protocol import DeleteRecord, PutRecord, Record, RecordConflict

_JOINT = "\x1f"
_BEYOND = "\x20"  # follows the joint, so `kind + _BEYOND` is above every key of the kind


class Head(NamedTuple):
    """What a commit must know of a record that is there."""

    revision: int
    owner: str


def name_of(write: PutRecord | DeleteRecord) -> str:
    """A record's name in the collection."""
    one = write.record if isinstance(write, PutRecord) else write
    return f"{one.kind}{_JOINT}{one.key}"


def _owned(access: Access) -> Document:
    if access.everything:
        return {}
    own = sorted(access.stamp() - {""}) if access.may_write else []
    return {"owner": one_of(own)} if own else NOTHING


def from_document(document: Document) -> Record:
    """A record as it is told."""
    kind, _, key = document["_id"].partition(_JOINT)
    return Record(
        kind,
        key,
        document["body"],
        document["raw"],
        document["state"],
        document["tag"],
        None if document["due"] is None else int(document["due"]),
        document["owner"],
        document["revision"],
        int(document["updated"]),
    )


async def get(records: AsyncCollection[Document], access: Access, kind: str, key: str) -> Record | None:
    """One record, or None where there is none for this caller."""
    found = await records.find_one(all_of([{"_id": f"{kind}{_JOINT}{key}"}, _owned(access)]))
    return from_document(found) if found else None


def where(
    access: Access,
    kind: str,
    *,
    state: str | None = None,
    tag: str | None = None,
    due_before: int | None = None,
    owner: str | None = None,
    after: str | None = None,
    descending: bool = False,
) -> Document:
    """The filter that finds what `find_records` promises. Each way has an index: by key, state, tag or due."""
    low, high = f"{kind}{_JOINT}", f"{kind}{_BEYOND}"
    bounds: Document = {"$gte": low, "$lt": high}
    if after is not None:
        bounds = {"$gte": low, "$lt": low + after} if descending else {"$gt": low + after, "$lt": high}
    pieces: list[Document] = [{"kind": kind}, {"_id": bounds}, _owned(access)]
    pieces += [{name: value} for name, value in (("state", state), ("tag", tag), ("owner", owner)) if value is not None]
    if due_before is not None:
        pieces.append({"due": {"$type": "number", "$lte": due_before}})
    return all_of(pieces)


async def find(records: AsyncCollection[Document], wanted: Document, limit: int, descending: bool) -> list[Record]:
    """In the order of keys."""
    cursor = records.find(wanted).sort("_id", -1 if descending else 1).limit(limit)
    return [from_document(one) async for one in cursor] if limit > 0 else []


async def heads(records: AsyncCollection[Document], session: AsyncClientSession, names: list[str]) -> dict[str, Head | None]:
    """What is there of `names`."""
    if not names:
        return {}
    fields = {"revision": 1, "owner": 1}
    found = records.find({"_id": {"$in": names}}, fields, session=session)
    return {one["_id"]: Head(one["revision"], one["owner"]) async for one in found}


def put(access: Access, have: Head | None, write: PutRecord, at: int) -> tuple[Head, Document]:
    """The record after `write`. Raises RecordConflict where `if_revision` does not hold, Forbidden for another's record."""
    record = write.record
    _require_own(access, have)
    _check(record.kind, have, write.if_revision)
    if not access.everything and record.owner not in access.stamp():
        raise Forbidden("A record can only be kept for a hospital of the caller's own.")
    head = Head((have.revision if have else 0) + 1, record.owner)
    return head, document(name_of(write), record, head.revision, at)


def document(name: str, record: Record, revision: int, updated: int) -> Document:
    """A record as it is kept."""
    return {
        "_id": name,
        "kind": record.kind,
        "body": Binary(record.body),
        "raw": None if record.raw is None else Binary(record.raw),
        "state": record.state,
        "tag": record.tag,
        "due": record.due,
        "owner": record.owner,
        "revision": revision,
        "updated": updated,
    }


def check_delete(access: Access, have: Head | None, write: DeleteRecord) -> None:
    """Raises as `put`; what is not there is no error, unless a revision was expected."""
    _require_own(access, have)
    _check(write.kind, have, write.if_revision)


def _require_own(access: Access, have: Head | None) -> None:
    if have is not None and not access.everything and have.owner not in access.stamp():
        raise Forbidden("This record belongs to another.")


def _check(kind: str, have: Head | None, wanted: int | None) -> None:
    there = have.revision if have else 0
    if wanted is not None and wanted != there:
        raise RecordConflict(f"The {kind} record is at revision {there}, not {wanted}: somebody else changed it.")

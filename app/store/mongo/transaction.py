"""What one round of commits does, inside one MongoDB transaction.

What must stay true: nobody changes what they may not see; `if_version`, `if_revision` and guards are judged in the transaction's snapshot, and whatever was
judged is written, so that a concurrent change makes one of the two begin again; a job that fails leaves nothing in its round; a resource that is
written twice is indexed once, as it ends.
"""

import asyncio
import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from bson.binary import Binary
from pymongo import DeleteOne, InsertOne, ReplaceOne, UpdateMany, UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.database import AsyncDatabase

from app.clock import instant
from app.fhir.codec import decode
from app.fhir.errors import FHIRError, Forbidden, NotFound, Unavailable
from app.security.access import Access
from app.store.mongo import claims, records
from app.store.mongo.search import Search
from app.store.mongo.words import Document
from app.store.prepare import Prepared
from app.store.protocol import (
    Delete,
    DeleteRecord,
    Guard,
    GuardFailed,
    PutRecord,
    Share,
    Stored,
    VersionConflict,
    Write,
)
from app.store.rules import check_version, owners_after, require_own, same, sees, whole

HEAD = ("t", "v", "u", "o", "n", "w", "a")
Action = Literal["create", "update", "delete"]
EMPTY: Document = {"k": [], "s": [], "d": [], "q": [], "c": [], "lo": {}, "hi": {}}


@dataclass(slots=True)
class Job:
    """One caller's commit, not to be begun after `deadline` (of the loop's clock). `outcome` is its results or what it raises."""

    access: Access
    writes: Sequence[Write | Prepared[Document]]
    guards: Sequence[Guard]
    deadline: float = math.inf
    outcome: list[Stored | None] | Exception | None = None

    def too_late(self) -> Unavailable | None:
        """What a caller hears who waited in vain; nothing was begun."""
        if asyncio.get_running_loop().time() <= self.deadline:
            return None
        return Unavailable("The store is too busy, or away, just now; nothing was stored, try again.")

    def names(self) -> set[str]:
        """The resources that it reads or writes, as `Type/id`."""
        found: set[str] = set()
        for write in self.writes:
            if isinstance(write, Prepared | Delete | Share):
                found.add(f"{write.type}/{write.id}")
            if isinstance(write, Prepared) and self.access.everything and write.put.owners is None:
                found.update(f"Patient/{id}" for id in write.patients)
        return found

    def records(self) -> set[str]:
        """The records that it reads and writes, by their names in the collection."""
        return {records.name_of(write) for write in self.writes if isinstance(write, PutRecord | DeleteRecord)}

    def size(self) -> int:
        """About how many bytes it stores, their index apart."""
        bodies = sum(len(write.body) for write in self.writes if isinstance(write, Prepared))
        kept = [write.record for write in self.writes if isinstance(write, PutRecord)]
        return bodies + sum(len(record.body) + len(record.raw or b"") for record in kept)

    def turns(self) -> set[str]:
        """What no two jobs of this process work on at a time: it saves both from finding out by conflict."""
        guarded = {repr((guard.plan.types, guard.plan.where)) for guard in self.guards}
        written = {f"{write.type}/{write.id}" for write in self.writes if isinstance(write, Prepared | Delete | Share)}
        return guarded | written | {f"record {name}" for name in self.records()}


@dataclass(slots=True)
class _Current:
    """A resource as this round has it so far."""

    type: str
    id: str
    version: int
    updated: int
    order: int
    first: int  # order of its first version: where it stands in a search without `_sort`
    deleted: bool
    owners: frozenset[str]
    action: Action
    raw: bytes | None = None
    words: Document | None = None  # what to index at the end; None: leave the index alone
    new: bool = False
    dirty: bool = False
    owners_changed: bool = False

    @property
    def name(self) -> str:
        return f"{self.type}/{self.id}"


def _current(document: Document) -> _Current:
    type, _, id = document["_id"].partition("/")
    return _Current(
        type,
        id,
        document["v"],
        document["u"],
        document["o"],
        document["n"],
        "t" not in document,
        frozenset(document["w"]),
        document["a"],
        document.get("raw"),
    )


@dataclass(slots=True)
class Round:
    """Some jobs in one transaction. Use once: `await Round(...).run(jobs)`; commit or abort is the caller's."""

    db: AsyncDatabase[Document]
    session: AsyncClientSession
    take: Callable[[int], int]  # how many -> the first of so many orders
    at: int = 0
    last: int = 0
    current: dict[str, _Current] = field(default_factory=dict)
    heads: dict[str, records.Head | None] = field(default_factory=dict)
    versions: list[Document] = field(default_factory=list)
    put: dict[str, Document | None] = field(default_factory=dict)  # records to write; None: to remove
    read_words: dict[str, list[str]] = field(default_factory=dict)

    async def run(self, jobs: Sequence[Job]) -> None:
        """Judge and write all `jobs`; each finds its outcome in itself."""
        await self._read(jobs)
        wanted = sum(len(job.writes) for job in jobs)
        self.last = self.take(wanted)
        self.at = self.last // 1000 * 1000
        for job in jobs:
            if job.guards:
                await self._guard(job)
            else:
                self._judge(job)
        await self._flush()

    # ---- reading

    async def _read(self, jobs: Sequence[Job]) -> None:
        names = sorted(set().union(*(job.names() for job in jobs)))
        fields = list(HEAD)
        if any(isinstance(write, Prepared) and write.put.unchanged_ok for job in jobs for write in job.writes):
            fields.append("raw")
        if any(job.guards for job in jobs):
            fields.append("k")
        if names:
            async for one in self.db.resource.find({"_id": {"$in": names}}, dict.fromkeys(fields, 1), session=self.session):
                self.current[one["_id"]] = _current(one)
                self.read_words[one["_id"]] = one.get("k", [])
        keys = sorted(set().union(*(job.records() for job in jobs)))
        self.heads = await records.heads(self.db.record, self.session, keys)

    async def _guard(self, job: Job) -> None:
        wanted: set[str] = set()
        for guard in job.guards:
            wanted |= claims.of_plan(guard.plan)
            search = Search(self.db.resource, self.session, job.access, guard.plan)
            if not await search.matches_exactly(guard.expects):
                job.outcome = GuardFailed("What a condition of this request matches has changed meanwhile; try again.")
                return
        wanted.add(claims.of_any_write())
        for write in job.writes:
            if isinstance(write, Prepared):
                wanted |= claims.of_resource(write.type, write.id, write.index["k"])
            if isinstance(write, Prepared | Delete):
                wanted |= claims.of_resource(write.type, write.id, self.read_words.get(f"{write.type}/{write.id}", []))
        self._judge(job)
        if isinstance(job.outcome, list) and job.writes:
            await claims.stake(self.db.claim, self.session, wanted)

    # ---- judging: no I/O from here to `_flush`

    def _judge(self, job: Job) -> None:
        """All of a job or nothing of it."""
        before = {name: dataclasses.replace(self.current[name]) for name in job.names() if name in self.current}
        before_heads, put, versions = dict(self.heads), dict(self.put), len(self.versions)
        try:
            if job.writes and not job.access.may_write:
                raise Forbidden("This caller may not store anything.")
            job.outcome = [self._write(job.access, write) for write in job.writes]
        except FHIRError as error:
            job.outcome = error
            for name in job.names():
                self.current.pop(name, None)
            self.current |= before
            self.heads, self.put = before_heads, put
            del self.versions[versions:]

    def _write(self, access: Access, write: Write | Prepared[Document]) -> Stored | None:
        match write:
            case Prepared():
                return self._put(access, write)
            case Delete():
                return self._delete(access, write)
            case Share():
                self._share(access, write)
            case PutRecord():
                name = records.name_of(write)
                self.heads[name], self.put[name] = records.put(access, self.heads.get(name), write, self.at)
            case DeleteRecord():
                name = records.name_of(write)
                records.check_delete(access, self.heads.get(name), write)
                self.heads[name] = self.put[name] = None
            case _:
                raise TypeError(f"not a write: {type(write).__name__}")
        return None

    def _put(self, access: Access, prepared: Prepared[Document]) -> Stored:
        put, type, id = prepared.put, prepared.type, prepared.id
        found = self.current.get(f"{type}/{id}")
        live = found is not None and not found.deleted
        if found is not None:
            require_own(access, found.owners, type, id)
        check_version(found.version if found is not None and live else 0, put.if_version, f"{type}/{id}" if found else "it")
        children = [self.current.get(f"Patient/{patient}") for patient in sorted(prepared.patients)]
        owners = owners_after(
            access,
            put.owners,
            found.owners if found is not None else frozenset(),
            [child.owners for child in children if child is not None],
        )
        unchanged_ok = put.unchanged_ok and live
        if found is not None and unchanged_ok and found.raw is not None and _unchanged(found.raw, put.resource):
            found.owners_changed = found.owners_changed or owners != found.owners
            found.owners = owners
            return self._stored(found, found.raw, "update")
        if found is None:
            found = self.current[f"{type}/{id}"] = _Current(type, id, 0, 0, 0, 0, True, owners, "create", new=True)
        found.owners_changed = found.owners_changed or (owners != found.owners and not found.new)
        found.deleted, found.owners, found.words = False, owners, prepared.index
        action: Action = "update" if live else "create"
        made = self._next(found, action, lambda version, at: whole(put.resource, prepared.body, version, instant(at)))
        if prepared.indexed:
            self.versions[-1]["x"] = prepared.indexed
        return made

    def _delete(self, access: Access, delete: Delete) -> Stored | None:
        name = f"{delete.type}/{delete.id}"
        found = self.current.get(name)
        if found is None or found.deleted or not sees(access, found.owners):
            if delete.if_version:
                raise VersionConflict(f"{name} is not at version {delete.if_version}.")
            return None
        require_own(access, found.owners, found.type, found.id)
        check_version(found.version, delete.if_version, name)
        found.deleted, found.words = True, EMPTY
        return self._next(found, "delete", lambda *_: b"")

    def _share(self, access: Access, share: Share) -> None:
        if access.role != "system":
            raise Forbidden("Only the server itself shares a resource.")
        found = self.current.get(f"{share.type}/{share.id}")
        if found is None or found.deleted:
            raise NotFound(f"{share.type}/{share.id} is not there.")
        if not share.owners <= found.owners:
            found.owners |= share.owners
            found.owners_changed = True

    def _next(self, found: _Current, action: Action, made: Callable[[int, int], bytes]) -> Stored:
        # Above the version before, whatever clock that came from; but one whose clock is ahead takes no other resource along.
        order = max(self.last, found.order + 1)
        self.last += 1
        found.version += 1
        found.updated, found.order, found.action, found.dirty = order // 1000 * 1000, order, action, True
        found.first = found.first or order
        found.raw = made(found.version, found.updated)
        self.versions.append(
            {
                "_id": f"{found.name}/{found.version}",
                "r": found.name,
                "t": found.type,
                "v": found.version,
                "u": found.updated,
                "o": found.order,
                "a": action,
                "raw": Binary(found.raw),
                "pending": True,
            }
        )
        return self._stored(found, found.raw, action)

    @staticmethod
    def _stored(found: _Current, raw: bytes, action: Action) -> Stored:
        deleted = action == "delete"
        return Stored(found.type, found.id, found.version, found.updated, raw, found.owners, deleted=deleted, action=action)

    # ---- writing

    async def _flush(self) -> None:
        """Everything to the collections, in as few calls as there are collections."""
        operations: list[Any] = []
        for found in self.current.values():
            if found.dirty:
                document = _document(found)
                operations.append(InsertOne(document) if found.new else ReplaceOne({"_id": found.name}, document))
            elif found.owners_changed:
                operations.append(UpdateOne({"_id": found.name}, {"$set": {"w": sorted(found.owners)}}))
        if operations:
            await self.db.resource.bulk_write(operations, session=self.session)
        for version in self.versions:
            version["w"] = sorted(self.current[version["r"]].owners)
        marks = [
            UpdateMany({"r": found.name}, {"$set": {"w": sorted(found.owners)}})
            for found in self.current.values()
            if found.owners_changed and not found.new
        ]
        if self.versions or marks:
            await self.db.version.bulk_write([*marks, *map(InsertOne, self.versions)], session=self.session)
        if self.put:
            changes = [
                DeleteOne({"_id": name}) if document is None else ReplaceOne({"_id": name}, document, upsert=True)
                for name, document in self.put.items()
            ]
            await self.db.record.bulk_write(changes, session=self.session)


def _document(found: _Current) -> Document:
    document: Document = {
        "_id": found.name,
        "v": found.version,
        "u": found.updated,
        "o": found.order,
        "n": found.first,
        "w": sorted(found.owners),
        "a": found.action,
        "raw": Binary(found.raw or b""),
    }
    if not found.deleted:
        document["t"] = found.type  # only what lives has a type, and so can be found
    return document | (found.words or EMPTY)


def _unchanged(raw: bytes, resource: Mapping[str, Any]) -> bool:
    return same({**decode(raw), "meta": None}, {**resource, "meta": None})

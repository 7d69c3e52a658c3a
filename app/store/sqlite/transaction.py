"""What one commit decides, inside the writer's transaction; `tables` then writes it.

What must stay true: nobody changes what they may not see; `if_version`, `if_revision` and guards are judged under the write lock;
each version takes the next number of the feed.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any, Literal

from app.clock import instant
from app.fhir.codec import decode
from app.fhir.errors import Forbidden, NotFound
from app.security.access import Access
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
from app.store.sqlite import records
from app.store.sqlite.rows import Row, Rows, pieces
from app.store.sqlite.search import matches_exactly, owner_marks

Name = tuple[str, str]  # type and id
_NOTHING = Rows()


@dataclass(slots=True)
class Current:
    """A resource as this transaction has it so far."""

    rid: int
    type: str
    id: str
    version: int
    updated: int
    deleted: bool
    seq: int
    owners: frozenset[str]
    new: bool = False
    was_deleted: bool = False
    rows: Rows | None = None  # what to index at the end; None: leave the index alone
    raw: bytes | None = None
    owners_changed: bool = False
    dirty: bool = False


@dataclass(slots=True)
class Counters:
    """The next `rid` and `seq`, known while the write lock is held."""

    rid: int = 0
    seq: int = 0

    def load(self, connection: sqlite3.Connection) -> None:
        """Read them anew: another process, or a commit that was undone, may have moved them."""
        self.rid = connection.execute("SELECT coalesce(max(rid), 0) FROM resource").fetchone()[0]
        self.seq = connection.execute("SELECT coalesce(max(seq), 0) FROM version").fetchone()[0]


def lookup(connection: sqlite3.Connection, names: Sequence[Name]) -> dict[Name, Current | None]:
    """What the tables have under each name, looked up together."""
    found: dict[Name, Current | None] = dict.fromkeys(names)
    for some in pieces(names):
        wanted = ", ".join(["(?, ?)"] * len(some))
        sql = f"""WITH wanted (type, id) AS (VALUES {wanted})
            SELECT r.type, r.id, r.rid, r.version, r.updated, r.deleted, r.seq, r.owners
            FROM wanted w CROSS JOIN resource r ON r.type = w.type AND r.id = w.id"""
        for type, id, rid, version, updated, deleted, seq, owners in connection.execute(sql, [*chain.from_iterable(some)]):
            gone = bool(deleted)
            found[type, id] = Current(rid, type, id, version, updated, gone, seq, owner_marks(owners), was_deleted=gone)
    return found


@dataclass(slots=True)
class Transaction:
    """One commit. Use once: `Transaction(...).run(guards, writes)`.

    Resources are changed in `current` and `versions` alone, so that whoever gives it up has nothing to undo; records at once.
    `before` is what earlier commits decided that is not in the tables yet.
    """

    connection: sqlite3.Connection
    access: Access
    counters: Counters
    at: int  # microseconds, whole milliseconds, as `meta.lastUpdated` tells them
    before: Mapping[Name, Current | None] = field(default_factory=dict)
    current: dict[Name, Current | None] = field(default_factory=dict)
    versions: list[Row] = field(default_factory=list)
    stamp: str = ""

    def __post_init__(self) -> None:
        self.stamp = instant(self.at)

    def run(self, guards: Sequence[Guard], writes: Sequence[Write | Prepared[Rows]]) -> list[Stored | None]:
        """All or nothing: whatever is raised, the caller undoes everything."""
        if writes and not self.access.may_write:
            raise Forbidden("This caller may not store anything.")
        for guard in guards:
            if not matches_exactly(self.connection, self.access, guard.plan, guard.expects):
                raise GuardFailed("What a condition of this request matches has changed meanwhile; try again.")
        results: list[Stored | None] = []
        for write in writes:
            match write:
                case Prepared():
                    results.append(self._put(write))
                case Delete():
                    results.append(self._delete(write))
                case Share():
                    self._share(write)
                    results.append(None)
                case PutRecord():
                    records.put(self.connection, self.access, write, self.at)
                    results.append(None)
                case DeleteRecord():
                    records.delete(self.connection, self.access, write)
                    results.append(None)
                case _:
                    raise TypeError(f"not a write: {type(write).__name__}")
        return results

    # ---- single writes

    def _put(self, prepared: Prepared[Rows]) -> Stored:
        put, type, id = prepared.put, prepared.type, prepared.id
        found = self._find(type, id)
        if found is not None:
            require_own(self.access, found.owners, found.type, found.id)
        self._check_version(found, put.if_version)
        owners = self._owners(prepared, found)
        live = found is not None and not found.deleted
        if found is not None and live and put.unchanged_ok and self._unchanged(found, put.resource):
            if owners != found.owners:
                found.owners, found.owners_changed = owners, True
            return self._stored(found, self._raw(found), "update")
        if found is None:
            self.counters.rid += 1
            found = Current(self.counters.rid, type, id, 0, 0, True, 0, owners, new=True, was_deleted=True)
            self.current[type, id] = found
        found.owners_changed = found.new or found.owners_changed or owners != found.owners
        found.version += 1
        found.updated = self.at
        found.deleted = False
        found.owners = owners
        found.rows = prepared.index
        found.raw = whole(put.resource, prepared.body, found.version, self.stamp)
        action: Literal["create", "update"] = "update" if live else "create"
        self._number(found, action, found.raw, prepared.indexed)
        return self._stored(found, found.raw, action)

    def _delete(self, delete: Delete) -> Stored | None:
        found = self._find(delete.type, delete.id)
        if found is None or found.deleted or not sees(self.access, found.owners):
            if delete.if_version:
                raise VersionConflict(f"{delete.type}/{delete.id} is not at version {delete.if_version}.")
            return None
        require_own(self.access, found.owners, found.type, found.id)
        self._check_version(found, delete.if_version)
        found.version += 1
        found.updated = self.at
        found.deleted = True
        found.rows = _NOTHING
        found.raw = b""
        self._number(found, "delete", b"")
        return self._stored(found, b"", "delete")

    def _share(self, share: Share) -> None:
        if self.access.role != "system":
            raise Forbidden("Only the server itself shares a resource.")
        found = self._find(share.type, share.id)
        if found is None or found.deleted:
            raise NotFound(f"{share.type}/{share.id} is not there.")
        if not share.owners <= found.owners:
            found.owners |= share.owners
            found.owners_changed = True

    # ---- what they need

    def _find(self, type: str, id: str) -> Current | None:
        name = type, id
        if name not in self.current:
            if name in self.before:
                found = self.before[name]
                self.current[name] = found and replace(found)
            else:
                self.current[name] = lookup(self.connection, [name])[name]
        return self.current[name]

    @staticmethod
    def _check_version(found: Current | None, wanted: int | None) -> None:
        have = 0 if found is None or found.deleted else found.version
        if wanted is not None and wanted != have:
            check_version(have, wanted, "it" if found is None else f"{found.type}/{found.id}")

    def _owners(self, prepared: Prepared[Rows], found: Current | None) -> frozenset[str]:
        asked = prepared.put.owners
        children: list[Current | None] = []
        if asked is None and self.access.everything:
            children = [self._find("Patient", id) for id in prepared.patients]
        carried = found.owners if found is not None else frozenset()
        return owners_after(self.access, asked, carried, [child.owners for child in children if child is not None])

    def _unchanged(self, found: Current, resource: Mapping[str, Any]) -> bool:
        return same({**decode(self._raw(found)), "meta": None}, {**resource, "meta": None})

    def _raw(self, found: Current) -> bytes:
        if found.raw is None:
            found.raw = bytes(self.connection.execute("SELECT raw FROM version WHERE seq = ?", (found.seq,)).fetchone()[0])
        return found.raw

    def _number(self, found: Current, action: str, raw: bytes, indexed: str = "") -> None:
        self.counters.seq += 1
        found.seq = self.counters.seq
        found.dirty = True
        self.versions.append((found.seq, found.rid, found.type, found.id, found.version, self.at, action, raw, indexed))

    @staticmethod
    def _stored(found: Current, raw: bytes, action: Literal["create", "update", "delete"]) -> Stored:
        return Stored(
            found.type, found.id, found.version, found.updated, raw, found.owners, deleted=action == "delete", action=action
        )

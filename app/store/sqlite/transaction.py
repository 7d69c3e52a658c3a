"""What one commit does, inside the writer's transaction.

What must stay true: nobody changes what they may not see; `if_version`, `if_revision` and guards are judged under the write lock;
each version takes the next number of the feed; a resource that is written twice in one commit is indexed once, as it ends.
"""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from app.clock import instant
from app.fhir.codec import decode
from app.fhir.errors import Forbidden, NotFound
from app.fhir.search.types import Entries
from app.security.access import Access
from app.store.protocol import Delete, DeleteRecord, Guard, GuardFailed, Put, PutRecord, Share, Stored, VersionConflict, Write
from app.store.rules import body_of, check_version, name_of, owners_after, patients_of, require_own, same, sees, whole
from app.store.sqlite import records
from app.store.sqlite.rows import TABLES, Row, Rows, rows_of
from app.store.sqlite.search import matches_exactly, owner_marks

_NOTHING = Rows()


@dataclass(slots=True)
class Prepared:
    """A Put made ready outside the write lock: bytes without head, and index rows."""

    put: Put
    type: str
    id: str
    body: bytes
    rows: Rows
    patients: frozenset[str]


def prepare(put: Put, extract: Callable[[Mapping[str, Any]], Entries]) -> Prepared:
    """The expensive part of a Put. Raises Invalid where type or id is missing."""
    resource = put.resource
    type, id = name_of(resource)
    entries = extract(resource)
    return Prepared(put, type, id, body_of(resource), rows_of(type, entries), patients_of(entries))


@dataclass(slots=True)
class _Current:
    """A resource as this commit has it so far."""

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


@dataclass(slots=True)
class Transaction:
    """One commit. Use once: `Transaction(...).run(guards, writes)`."""

    connection: sqlite3.Connection
    access: Access
    counters: Counters
    at: int  # microseconds, whole milliseconds, as `meta.lastUpdated` tells them
    current: dict[tuple[str, str], _Current | None] = field(default_factory=dict)
    versions: list[Row] = field(default_factory=list)
    stamp: str = ""

    def __post_init__(self) -> None:
        self.stamp = instant(self.at)

    def run(self, guards: Sequence[Guard], writes: Sequence[Write | Prepared]) -> list[Stored | None]:
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
        self._flush()
        return results

    # ---- single writes

    def _put(self, prepared: Prepared) -> Stored:
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
            found = _Current(self.counters.rid, type, id, 0, 0, True, 0, owners, new=True, was_deleted=True)
            self.current[type, id] = found
        found.owners_changed = found.new or found.owners_changed or owners != found.owners
        found.version += 1
        found.updated = self.at
        found.deleted = False
        found.owners = owners
        found.rows = prepared.rows
        found.raw = whole(put.resource, prepared.body, found.version, self.stamp)
        action: Literal["create", "update"] = "update" if live else "create"
        self._number(found, action, found.raw)
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

    def _find(self, type: str, id: str) -> _Current | None:
        if (type, id) not in self.current:
            row = self.connection.execute(
                "SELECT rid, version, updated, deleted, seq, owners FROM resource WHERE type = ? AND id = ?", (type, id)
            ).fetchone()
            self.current[type, id] = row and _Current(
                row[0], type, id, row[1], row[2], bool(row[3]), row[4], owner_marks(row[5]), was_deleted=bool(row[3])
            )
        return self.current[type, id]

    @staticmethod
    def _check_version(found: _Current | None, wanted: int | None) -> None:
        have = 0 if found is None or found.deleted else found.version
        if wanted is not None and wanted != have:
            check_version(have, wanted, "it" if found is None else f"{found.type}/{found.id}")

    def _owners(self, prepared: Prepared, found: _Current | None) -> frozenset[str]:
        asked = prepared.put.owners
        children: list[_Current | None] = []
        if asked is None and self.access.everything:
            children = [self._find("Patient", id) for id in prepared.patients]
        carried = found.owners if found is not None else frozenset()
        return owners_after(self.access, asked, carried, [child.owners for child in children if child is not None])

    def _unchanged(self, found: _Current, resource: Mapping[str, Any]) -> bool:
        return same({**decode(self._raw(found)), "meta": None}, {**resource, "meta": None})

    def _raw(self, found: _Current) -> bytes:
        if found.raw is None:
            found.raw = bytes(self.connection.execute("SELECT raw FROM version WHERE seq = ?", (found.seq,)).fetchone()[0])
        return found.raw

    def _number(self, found: _Current, action: str, raw: bytes) -> None:
        self.counters.seq += 1
        found.seq = self.counters.seq
        found.dirty = True
        self.versions.append((found.seq, found.rid, found.type, found.id, found.version, self.at, action, raw))

    @staticmethod
    def _stored(found: _Current, raw: bytes, action: Literal["create", "update", "delete"]) -> Stored:
        return Stored(
            found.type, found.id, found.version, found.updated, raw, found.owners, deleted=action == "delete", action=action
        )

    # ---- the end

    def _flush(self) -> None:
        """Everything to the tables, in as few calls as there are tables."""
        touched = [found for found in self.current.values() if found is not None and (found.dirty or found.owners_changed)]
        if not touched:
            return
        run = self.connection.executemany
        run("INSERT INTO version VALUES (?, ?, ?, ?, ?, ?, ?, ?)", self.versions)
        new = [found for found in touched if found.new]
        run("INSERT INTO resource VALUES (?, ?, ?, ?, ?, ?, ?, ?)", [_resource_row(found) for found in new])
        run(
            "UPDATE resource SET version = ?4, updated = ?5, deleted = ?6, seq = ?7, owners = ?8 WHERE rid = ?1 AND ?2 <> '' AND ?3 <> ''",
            [_resource_row(found) for found in touched if not found.new],
        )
        owned = [found for found in touched if found.owners_changed]
        run("DELETE FROM owner WHERE rid = ?", [(found.rid,) for found in owned if not found.new])
        run("INSERT INTO owner VALUES (?, ?, ?)", [(found.rid, mark, found.type) for found in owned for mark in found.owners])
        self._index([found for found in touched if found.rows is not None])
        self._tally(touched)

    def _index(self, written: list[_Current]) -> None:
        for table, width in TABLES.items():
            stale: list[Row] = []
            fresh: list[Row] = []
            for found in written:
                rows: set[Row] = getattr(found.rows, table)
                if not found.new and not found.was_deleted:
                    stale.append((found.rid,))
                rid = found.rid
                fresh.extend([(rid, *row) for row in rows])
            if stale:
                self.connection.executemany(f"DELETE FROM {table} WHERE rid = ?", stale)
            if fresh:
                self.connection.executemany(f"INSERT INTO {table} VALUES (?{', ?' * width})", fresh)

    def _tally(self, touched: list[_Current]) -> None:
        change: dict[str, int] = {}
        for found in touched:
            change[found.type] = change.get(found.type, 0) + found.was_deleted - found.deleted
        self.connection.executemany(
            "INSERT INTO tally VALUES (?, ?) ON CONFLICT DO UPDATE SET n = n + excluded.n",
            [pair for pair in change.items() if pair[1]],
        )


def _resource_row(found: _Current) -> Row:
    owners = " ".join(sorted(found.owners))
    return found.rid, found.type, found.id, found.version, found.updated, found.deleted, found.seq, owners

"""Giving and taking whole versions and records, for `app.store.moving`."""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from app.fhir.codec import decode
from app.fhir.errors import Conflict
from app.fhir.search.types import Entries
from app.store.moving import BYTES, Version
from app.store.protocol import Record
from app.store.sqlite.rows import TABLES, rows_of
from app.store.sqlite.search import owner_marks
from app.store.sqlite.transaction import Counters

Extract = Callable[[Mapping[str, Any]], Entries]


def versions(connection: sqlite3.Connection, after: int, limit: int) -> list[Version]:
    """As `Movable.versions`."""
    rows = connection.execute(
        "SELECT v.seq, v.type, v.id, v.version, v.updated, v.action, v.raw, r.owners FROM version v CROSS JOIN resource r ON r.rid = v.rid"
        " WHERE v.seq > ? ORDER BY v.seq LIMIT ?",
        (after, limit),
    )
    found: list[Version] = []
    size = 0
    for row in rows:
        found.append(Version._make((*row[:6], bytes(row[6]), owner_marks(row[7]))))
        size += len(found[-1].raw)
        if size > BYTES:
            break
    return found


def records(connection: sqlite3.Connection, after: tuple[str, str], limit: int) -> list[Record]:
    """The records after `(kind, key)`, in that order."""
    columns = "kind, key, body, raw, state, tag, due, owner, revision, updated"
    rows = connection.execute(
        f"SELECT {columns} FROM record WHERE (kind, key) > (?, ?) ORDER BY kind, key LIMIT ?", (*after, limit)
    )
    return [Record(*row) for row in rows]


def adopt(connection: sqlite3.Connection, counters: Counters, extract: Extract, moved: Sequence[Version]) -> None:
    """As `Movable.adopt`, inside the writer's transaction."""
    last: dict[tuple[str, str], tuple[int, Version]] = {}
    for one in moved:
        if one.seq != counters.seq + 1:
            raise Conflict(f"Number {one.seq} does not follow {counters.seq}: somebody else writes to this store.")
        counters.seq += 1
        known = last.get((one.type, one.id))
        rid = known[0] if known else _rid(connection, counters, one)
        connection.execute(
            "INSERT INTO version (seq, rid, type, id, version, updated, action, raw) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (one.seq, rid, one.type, one.id, one.version, one.updated, one.action, one.raw),
        )
        last[one.type, one.id] = rid, one
    for rid, one in last.values():
        _settle(connection, extract, rid, one)


def _rid(connection: sqlite3.Connection, counters: Counters, one: Version) -> int:
    row = connection.execute("SELECT rid FROM resource WHERE type = ? AND id = ?", (one.type, one.id)).fetchone()
    if row is not None:
        return int(row[0])
    counters.rid += 1
    connection.execute("INSERT INTO resource VALUES (?, ?, ?, 0, 0, 1, 0, '')", (counters.rid, one.type, one.id))
    return counters.rid


def _settle(connection: sqlite3.Connection, extract: Extract, rid: int, one: Version) -> None:
    """What is current, whose it is, how it is found."""
    gone = one.action == "delete"
    (was_gone,) = connection.execute("SELECT deleted FROM resource WHERE rid = ?", (rid,)).fetchone()
    connection.execute(
        "UPDATE resource SET version = ?, updated = ?, deleted = ?, seq = ? WHERE rid = ?",
        (one.version, one.updated, gone, one.seq, rid),
    )
    own(connection, rid, one.type, one.owners)
    rows = None if gone else rows_of(one.type, extract(decode(one.raw)))
    for table, width in TABLES.items():
        connection.execute(f"DELETE FROM {table} WHERE rid = ?", (rid,))
        if rows is not None:
            fresh = [(rid, *row) for row in getattr(rows, table)]
            connection.executemany(f"INSERT INTO {table} VALUES (?{', ?' * width})", fresh)
    connection.execute(
        "INSERT INTO tally VALUES (?, ?) ON CONFLICT DO UPDATE SET n = n + excluded.n", (one.type, bool(was_gone) - gone)
    )


def own(connection: sqlite3.Connection, rid: int, type: str, owners: frozenset[str]) -> None:
    """Write the owner marks of a resource."""
    connection.execute("UPDATE resource SET owners = ? WHERE rid = ?", (" ".join(sorted(owners)), rid))
    connection.execute("DELETE FROM owner WHERE rid = ?", (rid,))
    connection.executemany("INSERT INTO owner VALUES (?, ?, ?)", [(rid, mark, type) for mark in owners])


def adopt_owners(connection: sqlite3.Connection, owners: Mapping[tuple[str, str], frozenset[str]]) -> None:
    """As `Movable.adopt_owners`, inside the writer's transaction."""
    for name, marks in owners.items():
        for (rid,) in connection.execute("SELECT rid FROM resource WHERE type = ? AND id = ?", name).fetchall():
            own(connection, rid, name[0], marks)


def adopt_records(connection: sqlite3.Connection, moved: Sequence[Record]) -> None:
    """As `Movable.adopt_records`."""
    connection.executemany(
        "INSERT OR REPLACE INTO record (kind, key, body, raw, state, tag, due, owner, revision, updated)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [(r.kind, r.key, r.body, r.raw, r.state, r.tag, r.due, r.owner, r.revision, r.updated) for r in moved],
    )

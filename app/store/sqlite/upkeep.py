"""Scan, count, reindex, check: what keeps a store honest."""

import sqlite3
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from app.fhir.codec import decode
from app.fhir.search.types import Entries
from app.security.access import Access
from app.store.meaning import LOGICAL
from app.store.moving import BYTES
from app.store.protocol import Stored
from app.store.rules import intact
from app.store.sqlite.clauses import Clauses
from app.store.sqlite.conditions import all_of
from app.store.sqlite.moving import own
from app.store.sqlite.rows import TABLES, Row, rows_of
from app.store.sqlite.search import STORED, owner_marks, stored

PAGE = 500
MAX_FINDINGS = 1000

Extract = Callable[[Mapping[str, Any]], Entries]

_LIVING = """SELECT r.rid, r.type, r.id, r.version, v.raw
FROM resource r CROSS JOIN version v ON v.seq = r.seq WHERE r.deleted = 0"""


def scan(connection: sqlite3.Connection, access: Access, types: Sequence[str], after: int) -> list[tuple[int, Stored]]:
    """The next current resources with their `rid`, no more than `PAGE` and about `BYTES`."""
    owned = all_of(Clauses(access).owned("r.rid"))
    kind = f" AND r.type IN ({', '.join('?' * len(types))})" if types else ""
    rows = connection.execute(
        f"SELECT r.rid, {STORED} FROM resource r CROSS JOIN version v ON v.seq = r.seq"
        f" WHERE r.rid > ? AND r.deleted = 0{kind} AND {owned.text} ORDER BY r.rid LIMIT ?",
        (after, *types, *owned.values, PAGE),
    )
    found: list[tuple[int, Stored]] = []
    size = 0
    for row in rows:
        found.append((row[0], stored(row[1:])))
        size += len(found[-1][1].raw)
        if size > BYTES:
            break
    return found


def counts(connection: sqlite3.Connection, access: Access) -> dict[str, int]:
    """Current resources by type."""
    if access.everything:
        return dict(connection.execute("SELECT type, n FROM tally WHERE n > 0 ORDER BY type").fetchall())
    owned = all_of(Clauses(access).owned("r.rid"))
    rows = connection.execute(
        f"SELECT r.type, count(*) FROM resource r WHERE r.deleted = 0 AND {owned.text} GROUP BY r.type ORDER BY r.type",
        owned.values,
    )
    return dict(rows.fetchall())


def reindex(connection: sqlite3.Connection, extract: Extract, types: Sequence[str], after: int) -> tuple[int, int]:
    """Index the next `PAGE` resources anew, once they agree with their versions; how many, and the last `rid`, which is `after` at the end."""
    kind = f" AND r.type IN ({', '.join('?' * len(types))})" if types else ""
    page = f"SELECT max(rid) FROM (SELECT r.rid FROM resource r WHERE r.rid > ?{kind} ORDER BY r.rid LIMIT ?)"
    (last,) = connection.execute(page, (after, *types, PAGE)).fetchone()
    if last is None:
        return 0, after
    _mend(connection, after, last)
    rows = connection.execute(f"{_LIVING} AND r.rid > ? AND r.rid <= ?{kind} ORDER BY r.rid", (after, last, *types))
    return _index_anew(connection, extract, rows), last


def _mend(connection: sqlite3.Connection, after: int, last: int) -> None:
    """Make what stands beside the versions anew. Which bytes are right is not for us to know."""
    wrong = """FROM version v WHERE v.seq = resource.seq AND v.rid = resource.rid AND v.version = resource.version
        AND resource.rid > ? AND resource.rid <= ? AND (v.action = 'delete') = (length(v.raw) = 0)"""
    connection.execute(
        f"UPDATE resource SET updated = v.updated, deleted = (v.action = 'delete') {wrong}"
        " AND (resource.updated <> v.updated OR resource.deleted <> (v.action = 'delete'))",
        (after, last),
    )
    connection.execute(
        "UPDATE version SET type = r.type, id = r.id FROM resource r WHERE r.rid = version.rid AND r.rid > ? AND r.rid <= ?"
        " AND (r.type <> version.type OR r.id <> version.id)",
        (after, last),
    )
    for table in TABLES:
        connection.execute(
            f"DELETE FROM {table} WHERE rid IN (SELECT rid FROM resource WHERE deleted = 1 AND rid > ? AND rid <= ?)",
            (after, last),
        )
    for rid, type, _, owners in list(_owned_otherwise(connection, after, last)):
        own(connection, rid, type, owner_marks(owners))


def count_anew(connection: sqlite3.Connection) -> None:
    """Count the living resources of each type."""
    connection.execute("DELETE FROM tally")
    connection.execute("INSERT INTO tally SELECT type, count(*) FROM resource WHERE deleted = 0 GROUP BY type")


def _owned_otherwise(connection: sqlite3.Connection, after: int, last: int) -> Iterator[Row]:
    """`rid, type, id, owners` of resources whose rows in the table of owners say something else."""
    marks = "(SELECT group_concat(mark, ' ') FROM owner o WHERE o.rid = r.rid)"
    rows = connection.execute(
        f"SELECT r.rid, r.type, r.id, r.owners, {marks} FROM resource r WHERE r.rid > ? AND r.rid <= ?", (after, last)
    )
    return (row[:4] for row in rows if owner_marks(row[3]) != owner_marks(row[4] or ""))


def reindex_only(connection: sqlite3.Connection, extract: Extract, references: Sequence[str]) -> None:
    """Index these `Type/id` anew."""
    for reference in references:
        type, _, id = reference.partition("/")
        _index_anew(connection, extract, connection.execute(f"{_LIVING} AND r.type = ? AND r.id = ?", (type, id)).fetchall())


def _index_anew(connection: sqlite3.Connection, extract: Extract, rows: Iterable[Row]) -> int:
    """How many `rows` there were."""
    number = 0
    for number, (rid, type, id, version, raw) in enumerate(rows, 1):  # noqa: B007
        if not intact(raw, type, id, version):
            continue  # the others are no worse for it; the check tells
        made = rows_of(type, extract(decode(raw)))
        for table, width in TABLES.items():
            connection.execute(f"DELETE FROM {table} WHERE rid = ?", (rid,))
            connection.executemany(
                f"INSERT INTO {table} VALUES (?{', ?' * width})", [(rid, *row) for row in getattr(made, table)]
            )
    return number


def check(connection: sqlite3.Connection, extract: Extract) -> list[str]:
    """At most `MAX_FINDINGS` sentences; no content in them."""
    findings: list[str] = []
    try:
        for finding in _findings(connection, extract):
            findings.append(finding)
            if len(findings) >= MAX_FINDINGS:
                return [*findings, "There is more; the check stopped here."]
    except sqlite3.DatabaseError as error:
        findings.append(f"The file is damaged, so the check could not go on ({error.sqlite_errorname}).")
    return findings


def _findings(connection: sqlite3.Connection, extract: Extract) -> Iterator[str]:
    for (word,) in connection.execute("PRAGMA quick_check(10)"):
        if word != "ok":
            yield f"SQLite says: {word}."
    yield from _feed(connection)
    yield from _bytes(connection)
    yield from _versions(connection)
    yield from _index(connection, extract)
    yield from _references(connection)


def _feed(connection: sqlite3.Connection) -> Iterator[str]:
    number, head = connection.execute("SELECT count(*), coalesce(max(seq), 0) FROM version").fetchone()
    if number != head:
        yield f"The feed ends at {head}, but has {number} entries."
    cursors = connection.execute(
        "SELECT key FROM record WHERE kind = 'cursor' AND CAST(json_extract(body, '$.seq') AS INTEGER) > ?", (head,)
    )
    for (name,) in cursors:
        yield f"The consumer '{name}' has read beyond the end of the feed."


def _bytes(connection: sqlite3.Connection) -> Iterator[str]:
    for type, id, version, raw in connection.execute("SELECT type, id, version, raw FROM version WHERE action <> 'delete'"):
        if not intact(raw, type, id, version):
            yield f"Version {version} of {type}/{id} is damaged; restore it from a backup."


def _versions(connection: sqlite3.Connection) -> Iterator[str]:
    sql = """SELECT r.type, r.id FROM resource r LEFT JOIN version v ON v.seq = r.seq
    WHERE v.seq IS NULL OR v.rid <> r.rid OR v.version <> r.version OR v.updated <> r.updated OR (v.action = 'delete') <> r.deleted
    OR r.version <> (SELECT count(*) FROM version w WHERE w.rid = r.rid AND w.type = r.type AND w.id = r.id)"""
    for type, id in connection.execute(sql):
        yield f"The versions of {type}/{id} do not agree with what is current."
    sql = "SELECT DISTINCT v.type, v.id FROM version v WHERE NOT EXISTS (SELECT 1 FROM resource r WHERE r.rid = v.rid)"
    for type, id in connection.execute(sql):
        yield f"{type}/{id} has versions but is not there."
    sql = """SELECT DISTINCT v.type, v.id FROM version v CROSS JOIN version w
    ON w.rid = v.rid AND w.version = v.version + 1 WHERE w.seq < v.seq"""
    for type, id in connection.execute(sql):
        yield f"The feed has the versions of {type}/{id} in another order."
    sql = """SELECT t.type FROM tally t WHERE t.n <> (SELECT count(*) FROM resource r WHERE r.type = t.type AND r.deleted = 0)"""
    for (type,) in connection.execute(sql):
        yield f"The count of {type} is wrong."
    for _, type, id, _ in _owned_otherwise(connection, 0, sys.maxsize):
        yield f"The owner marks of {type}/{id} do not agree."


def _index(connection: sqlite3.Connection, extract: Extract) -> Iterator[str]:
    sql = "SELECT r.rid, r.type, r.id, r.version, r.deleted, v.raw FROM resource r CROSS JOIN version v ON v.seq = r.seq"
    for rid, type, id, version, deleted, raw in connection.execute(sql):
        if not deleted and not intact(raw, type, id, version):
            continue  # told already
        wanted = None if deleted else rows_of(type, extract(decode(raw)))
        for table in TABLES:
            have = {row[1:] for row in connection.execute(f"SELECT * FROM {table} WHERE rid = ?", (rid,))}
            if have != (getattr(wanted, table) if wanted else set()):
                yield f"The {table} index of {type}/{id} does not agree with the resource."


def _references(connection: sqlite3.Connection) -> Iterator[str]:
    sql = f"""SELECT DISTINCT s.type, s.id, f.type FROM reference f CROSS JOIN resource s ON s.rid = f.rid
    WHERE f.type NOT IN ('', '{LOGICAL}') AND NOT EXISTS (SELECT 1 FROM resource t WHERE t.type = f.type AND t.id = f.id)"""
    for type, id, target in connection.execute(sql):
        yield f"{type}/{id} refers to a {target} that is not in the store."

"""Records: small operational documents beside the resources.

What must stay true: a caller with hospitals sees and changes only records of its own; a public caller or a parent none.
"""

import sqlite3

from app.fhir.errors import Forbidden
from app.security.access import Access
from app.store.protocol import DeleteRecord, PutRecord, Record, RecordConflict

_COLUMNS = "kind, key, body, raw, state, tag, due, owner, revision, updated"


def _owner_sql(access: Access) -> tuple[str, list[str]]:
    if access.everything:
        return "", []
    own = sorted(access.stamp()) if access.may_write else []
    return f" AND owner IN ({', '.join('?' * len(own))}) AND owner <> ''", own


def get(connection: sqlite3.Connection, access: Access, kind: str, key: str) -> Record | None:
    """One record, or None where there is none for this caller."""
    sql, own = _owner_sql(access)
    row = connection.execute(f"SELECT {_COLUMNS} FROM record WHERE kind = ? AND key = ?{sql}", [kind, key, *own]).fetchone()
    return row and Record(*row)


def find(
    connection: sqlite3.Connection,
    access: Access,
    kind: str,
    *,
    state: str | None = None,
    tag: str | None = None,
    due_before: int | None = None,
    owner: str | None = None,
    after: str | None = None,
    limit: int = 100,
    descending: bool = False,
) -> list[Record]:
    """As the protocol says."""
    where, values = _where(access, kind, state, tag, owner)
    if due_before is not None:
        where += " AND due IS NOT NULL AND due <= ?"
        values.append(due_before)
    if after is not None:
        where += f" AND key {'<' if descending else '>'} ?"
        values.append(after)
    sql = f"SELECT {_COLUMNS} FROM record WHERE {where} ORDER BY key {'DESC' if descending else 'ASC'} LIMIT ?"
    return [Record(*row) for row in connection.execute(sql, [*values, limit])]


def count(connection: sqlite3.Connection, access: Access, kind: str, *, state: str | None = None, tag: str | None = None) -> int:
    """How many `find` would find."""
    where, values = _where(access, kind, state, tag, None)
    number: int = connection.execute(f"SELECT count(*) FROM record WHERE {where}", values).fetchone()[0]
    return number


def _where(access: Access, kind: str, state: str | None, tag: str | None, owner: str | None) -> tuple[str, list[object]]:
    where, values = "kind = ?", list[object]([kind])
    for column, value in (("state", state), ("tag", tag), ("owner", owner)):
        if value is not None:
            # SQLite uses a partial index only where the condition is spelt out.
            where += f" AND {column} = ?" + (f" AND {column} <> ''" if value and column != "owner" else "")
            values.append(value)
    sql, own = _owner_sql(access)
    return where + sql, [*values, *own]


def put(connection: sqlite3.Connection, access: Access, write: PutRecord, at: int) -> None:
    """Insert or replace. Raises RecordConflict where `if_revision` does not hold, Forbidden for another's record."""
    record = write.record
    have = _revision(connection, access, record.kind, record.key)
    _check(record.kind, have, write.if_revision)
    if not access.everything and record.owner not in access.stamp():
        raise Forbidden("A record can only be kept for a hospital of the caller's own.")
    connection.execute(
        "INSERT INTO record (kind, key, body, raw, state, tag, due, owner, revision, updated) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (kind, key) DO UPDATE SET body = excluded.body, raw = excluded.raw, state = excluded.state, tag = excluded.tag,"
        " due = excluded.due, owner = excluded.owner, revision = excluded.revision, updated = excluded.updated",
        (record.kind, record.key, record.body, record.raw, record.state, record.tag, record.due, record.owner, have + 1, at),
    )


def delete(connection: sqlite3.Connection, access: Access, write: DeleteRecord) -> None:
    """Remove; what is not there is no error, unless a revision was expected."""
    have = _revision(connection, access, write.kind, write.key)
    _check(write.kind, have, write.if_revision)
    connection.execute("DELETE FROM record WHERE kind = ? AND key = ?", (write.kind, write.key))


def _revision(connection: sqlite3.Connection, access: Access, kind: str, key: str) -> int:
    row = connection.execute("SELECT revision, owner FROM record WHERE kind = ? AND key = ?", (kind, key)).fetchone()
    if row is None:
        return 0
    if not access.everything and row[1] not in access.stamp():
        raise Forbidden("This record belongs to another.")
    revision: int = row[0]
    return revision


def _check(kind: str, have: int, wanted: int | None) -> None:
    if wanted is not None and wanted != have:
        raise RecordConflict(f"The {kind} record is at revision {have}, not {wanted}: somebody else changed it.")

"""Versions, newest first: of one resource, of one type, of everything."""

import sqlite3

from app.fhir.errors import NotFound
from app.security.access import Access
from app.store.cursor import seal, unseal
from app.store.protocol import Found
from app.store.sqlite.clauses import Clauses
from app.store.sqlite.conditions import all_of
from app.store.sqlite.search import stored

_SELECT = """SELECT v.type, v.id, v.version, v.updated, v.raw, r.owners, v.action = 'delete', v.action, v.seq
FROM version v CROSS JOIN resource r ON r.rid = v.rid WHERE"""


def page(
    connection: sqlite3.Connection,
    access: Access,
    key: bytes,
    type: str | None,
    id: str | None,
    since: int | None,
    count: int,
    cursor: str | None,
) -> Found:
    """One page. Raises NotFound for the history of a resource that never was, or not for this caller."""
    where, values = ["1"], list[object]()
    if id is not None:
        rid = _rid(connection, access, type or "", id)
        where.append("v.rid = ?")
        values.append(rid)
    elif type is not None:
        where.append("v.type = ?")
        values.append(type)
    if since is not None:
        where.append("v.updated >= ?")
        values.append(since)
    about = repr(("history", type, id, since))
    if cursor:
        where.append("v.seq < ?")
        values.append(unseal(key, about, cursor)[0])
    owned = all_of(Clauses(access).owned("v.rid"))
    sql = f"{_SELECT} {' AND '.join(where)} AND {owned.text} ORDER BY v.seq DESC LIMIT ?"
    rows = connection.execute(sql, (*values, *owned.values, count + 1)).fetchall()
    more, rows = len(rows) > count, rows[:count]
    return Found(matches=[stored(row) for row in rows], cursor=seal(key, about, [rows[-1][8]]) if more and rows else None)


def _rid(connection: sqlite3.Connection, access: Access, type: str, id: str) -> int:
    owned = all_of(Clauses(access).owned("r.rid"))
    row = connection.execute(
        f"SELECT r.rid FROM resource r WHERE r.type = ? AND r.id = ? AND {owned.text}", (type, id, *owned.values)
    ).fetchone()
    if row is None:
        raise NotFound(f"{type}/{id} is not there.")
    rid: int = row[0]
    return rid

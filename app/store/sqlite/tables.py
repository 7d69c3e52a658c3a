"""What commits decided, written to the tables.

What must stay true: a resource that was written several times is indexed once, as it ends; all is written in as few steps of SQLite as can
be, since at each step the writer gives up the interpreter and has to get it back from the event loop.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import chain

from app.store.sqlite.rows import TABLES, Row, pieces
from app.store.sqlite.transaction import Current


def write(connection: sqlite3.Connection, current: Iterable[Current | None], versions: Sequence[Row]) -> None:
    """`versions` and whatever of `current` was changed."""
    touched = [found for found in current if found is not None and (found.dirty or found.owners_changed)]
    if not touched:
        return
    _insert(connection, "version", versions)
    _insert(connection, "resource", [_resource_row(found) for found in touched if found.new])
    connection.executemany(
        "UPDATE resource SET version = ?4, updated = ?5, deleted = ?6, seq = ?7, owners = ?8 WHERE rid = ?1 AND ?2 <> '' AND ?3 <> ''",
        [_resource_row(found) for found in touched if not found.new],
    )
    owned = [found for found in touched if found.owners_changed]
    connection.executemany("DELETE FROM owner WHERE rid = ?", [(found.rid,) for found in owned if not found.new])
    _insert(connection, "owner", [(found.rid, mark, found.type) for found in owned for mark in found.owners])
    _index(connection, [found for found in touched if found.rows is not None])
    _tally(connection, touched)


def _index(connection: sqlite3.Connection, written: Sequence[Current]) -> None:
    stale = [(found.rid,) for found in written if not found.new and not found.was_deleted]
    for table in TABLES:
        connection.executemany(f"DELETE FROM {table} WHERE rid = ?", stale)
        _insert(connection, table, [(found.rid, *row) for found in written for row in getattr(found.rows, table)])


def _tally(connection: sqlite3.Connection, touched: Iterable[Current]) -> None:
    change: dict[str, int] = {}
    for found in touched:
        change[found.type] = change.get(found.type, 0) + found.was_deleted - found.deleted
    connection.executemany(
        "INSERT INTO tally VALUES (?, ?) ON CONFLICT DO UPDATE SET n = n + excluded.n",
        [pair for pair in change.items() if pair[1]],
    )


def _insert(connection: sqlite3.Connection, table: str, rows: Sequence[Row]) -> None:
    for some in pieces(rows):
        connection.execute(_insertion(table, len(some), len(some[0])), [*chain.from_iterable(some)])


@lru_cache(maxsize=512)
def _insertion(table: str, rows: int, columns: int) -> str:
    row = f"(?{', ?' * (columns - 1)})"
    return f"INSERT INTO {table} VALUES {', '.join([row] * rows)}"


def _resource_row(found: Current) -> Row:
    owners = " ".join(sorted(found.owners))
    return found.rid, found.type, found.id, found.version, found.updated, found.deleted, found.seq, owners

"""Tables, indexes and migrations of the SQLite store.

What must stay true: only current versions are indexed; index tables are clustered by resource (append-mostly, cheap to replace and to
probe) with a covering index by value (to search); `seq` is the number in the change feed and the address of a version's bytes.
"""

import secrets
import sqlite3
from collections.abc import Callable

from app.fhir.errors import Unavailable

_FIRST = """
CREATE TABLE setting (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;

CREATE TABLE resource (
    rid INTEGER PRIMARY KEY, type TEXT NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL, updated INTEGER NOT NULL,
    deleted INTEGER NOT NULL, seq INTEGER NOT NULL, owners TEXT NOT NULL
);
CREATE UNIQUE INDEX resource_id ON resource (type, id);
CREATE INDEX resource_updated ON resource (type, deleted, updated);
CREATE INDEX resource_current ON resource (type, deleted);

CREATE TABLE version (
    seq INTEGER PRIMARY KEY, rid INTEGER NOT NULL, type TEXT NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL,
    updated INTEGER NOT NULL, action TEXT NOT NULL, raw BLOB NOT NULL
);
CREATE UNIQUE INDEX version_rid ON version (rid, version);
CREATE INDEX version_type ON version (type);

CREATE TABLE tally (type TEXT PRIMARY KEY, n INTEGER NOT NULL) WITHOUT ROWID;

CREATE TABLE owner (
    rid INTEGER NOT NULL, mark TEXT NOT NULL, type TEXT NOT NULL, PRIMARY KEY (rid, mark)
) WITHOUT ROWID;
CREATE INDEX owner_mark ON owner (mark, type);

CREATE TABLE token (
    rid INTEGER NOT NULL, key INTEGER NOT NULL, code TEXT NOT NULL, system INTEGER NOT NULL,
    PRIMARY KEY (rid, key, code, system)
) WITHOUT ROWID;
CREATE INDEX token_value ON token (key, code, system);

CREATE TABLE string (
    rid INTEGER NOT NULL, key INTEGER NOT NULL, folded TEXT NOT NULL, exact TEXT NOT NULL,
    PRIMARY KEY (rid, key, folded, exact)
) WITHOUT ROWID;
CREATE INDEX string_value ON string (key, folded);

CREATE TABLE reference (
    rid INTEGER NOT NULL, key INTEGER NOT NULL, id TEXT NOT NULL, type TEXT NOT NULL, version TEXT NOT NULL,
    PRIMARY KEY (rid, key, id, type, version)
) WITHOUT ROWID;
CREATE INDEX reference_value ON reference (key, id, type);

CREATE TABLE date (
    rid INTEGER NOT NULL, key INTEGER NOT NULL, low INTEGER NOT NULL, high INTEGER NOT NULL, PRIMARY KEY (rid, key, low, high)
) WITHOUT ROWID;
CREATE INDEX date_low ON date (key, low, high);
CREATE INDEX date_high ON date (key, high, low);

CREATE TABLE number (
    rid INTEGER NOT NULL, key INTEGER NOT NULL, low REAL NOT NULL, high REAL NOT NULL,
    system INTEGER NOT NULL, code TEXT NOT NULL, unit TEXT NOT NULL, PRIMARY KEY (rid, key, low, high, system, code, unit)
) WITHOUT ROWID;
CREATE INDEX number_low ON number (key, low, high);
CREATE INDEX number_high ON number (key, high, low);

CREATE TABLE composite (
    rid INTEGER NOT NULL, key INTEGER NOT NULL, ord INTEGER NOT NULL, pos INTEGER NOT NULL, entry INTEGER NOT NULL,
    code TEXT, system INTEGER, low, high, unit TEXT, folded TEXT, exact TEXT, id TEXT, type TEXT, version TEXT,
    PRIMARY KEY (rid, key, ord, pos, entry)
) WITHOUT ROWID;
CREATE INDEX composite_code ON composite (key, code, system) WHERE pos = 0;

CREATE TABLE record (
    kind TEXT NOT NULL, key TEXT NOT NULL, state TEXT NOT NULL, tag TEXT NOT NULL, due INTEGER, owner TEXT NOT NULL,
    revision INTEGER NOT NULL, updated INTEGER NOT NULL, body BLOB NOT NULL, raw BLOB
);
CREATE UNIQUE INDEX record_key ON record (kind, key);
CREATE INDEX record_state ON record (kind, state, key) WHERE state <> '';
CREATE INDEX record_tag ON record (kind, tag, key) WHERE tag <> '';
CREATE INDEX record_due ON record (kind, due) WHERE due IS NOT NULL;
"""


# What ANALYZE would find in a store of a million resources, written down instead of measured: a new store must not plan as if every
# index were equally good. The first number is rows, the n-th after it the rows that share the first n columns. An index table is
# called by its own name where its primary key is meant.
_STATISTICS = {
    "resource": {
        "resource_id": "1000000 50000 1",
        "resource_updated": "1000000 50000 50000 20",
        "resource_current": "1000000 50000 50000",
    },
    "version": {"version_rid": "1200000 2 1", "version_type": "1200000 60000"},
    "owner": {"owner": "1200000 2 1", "owner_mark": "1200000 100000 5000"},
    "token": {"token": "4000000 4 2 1 1", "token_value": "4000000 20000 100 90"},
    "string": {"string": "4000000 4 2 1 1", "string_value": "4000000 20000 40"},
    "reference": {"reference": "4000000 4 2 1 1 1", "reference_value": "4000000 20000 40 40"},
    "date": {"date": "1000000 2 2 1 1", "date_low": "1000000 20000 10 10", "date_high": "1000000 20000 10 10"},
    "number": {"number": "1000000 3 2 1 1 1 1 1", "number_low": "1000000 20000 40 40", "number_high": "1000000 20000 40 40"},
    "composite": {"composite": "2000000 6 4 2 1 1", "composite_code": "1000000 20000 200 200"},
    "record": {
        "record_key": "100000 10000 1",
        "record_state": "100000 10000 2000 1",
        "record_tag": "100000 10000 20 1",
        "record_due": "20000 5000 5",
    },
}


def _run(connection: sqlite3.Connection, script: str) -> None:
    """Statement by statement: `executescript` would commit the transaction that makes a migration whole."""
    for statement in script.split(";\n"):
        if statement.strip():
            connection.execute(statement)


def _first(connection: sqlite3.Connection) -> None:
    _run(connection, _FIRST)
    connection.execute("INSERT INTO setting VALUES ('cursor_key', ?)", (secrets.token_bytes(32),))
    connection.execute("ANALYZE sqlite_schema")  # makes the table of statistics
    rows = [(table, index, numbers) for table, indexes in _STATISTICS.items() for index, numbers in indexes.items()]
    connection.executemany("INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES (?, ?, ?)", rows)


def _second(connection: sqlite3.Connection) -> None:
    """Only the few wide ranges are indexed by their end: every row less costs a create less. Entries are fewer, too, so all are made anew."""
    for table, wide, rows in (("date", "86400000000", "100000 2000 10 10"), ("number", "0", "10000 2000 40 40")):
        connection.execute(f"DROP INDEX {table}_high")
        connection.execute(f"CREATE INDEX {table}_wide ON {table} (key, high, low) WHERE high - low > {wide}")
        connection.execute("DELETE FROM sqlite_stat1 WHERE idx = ?", (f"{table}_high",))
        connection.execute("INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES (?, ?, ?)", (table, f"{table}_wide", rows))
    mark_stale(connection)


def _third(connection: sqlite3.Connection) -> None:
    """Each version says by which of the site's parameters its writer indexed it. Those that are there were indexed by all."""
    connection.execute("ALTER TABLE version ADD COLUMN indexed TEXT NOT NULL DEFAULT ''")


def mark_stale(connection: sqlite3.Connection) -> None:
    """The index is to be made anew before the store answers."""
    connection.execute("INSERT OR REPLACE INTO setting VALUES ('stale', '1')")


def is_stale(connection: sqlite3.Connection) -> bool:
    """Whether an index was left to be made anew, by a migration or by one that was interrupted."""
    return connection.execute("SELECT 1 FROM setting WHERE name = 'stale'").fetchone() is not None


def mark_fresh(connection: sqlite3.Connection) -> None:
    """The index is that of this program."""
    connection.execute("DELETE FROM setting WHERE name = 'stale'")


MIGRATIONS: tuple[Callable[[sqlite3.Connection], None], ...] = (_first, _second, _third)


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the file to this program's schema: all steps or none. Raises Unavailable for a schema that is newer."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        (have,) = connection.execute("PRAGMA user_version").fetchone()
        if have > len(MIGRATIONS):
            raise Unavailable(
                f"This store has schema {have} and this program knows {len(MIGRATIONS)}: it was written by a newer version; use that one."
            )
        for number, step in enumerate(MIGRATIONS[have:], have + 1):
            step(connection)
            connection.execute(f"PRAGMA user_version = {number}")
        connection.execute("COMMIT")
        if have < len(MIGRATIONS):
            connection.execute(
                "ANALYZE sqlite_schema"
            )  # reads the statistics, of which this connection saw nothing when it opened
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise

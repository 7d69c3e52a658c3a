"""Connections: the pragmas that durability rests on, and SQLite's errors as ours."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

from app.fhir.errors import Unavailable

BUSY_MS = 15_000
PAGE_SIZE = 4096  # a create changes many pages a little, and each goes to the log whole

_REASONS = {
    sqlite3.SQLITE_BUSY: "Another process held the store for too long; try again.",
    sqlite3.SQLITE_LOCKED: "Another process held the store for too long; try again.",
    sqlite3.SQLITE_FULL: "The disk is full: nothing of this was stored, and nothing stored before is lost.",
    sqlite3.SQLITE_READONLY: "The store's file may not be written.",
    sqlite3.SQLITE_CORRUPT: "The store's file is damaged; restore it from a backup.",
    sqlite3.SQLITE_NOTADB: "The store's file is not an SQLite database.",
    sqlite3.SQLITE_CANTOPEN: "The store's file cannot be opened.",
}


def connect(path: str, *, cache_mb: int = 16, write: bool = False) -> sqlite3.Connection:
    """An autocommit connection. Only the writer gets `write`; the others cannot change anything, by SQLite's own word."""
    connection = sqlite3.connect(
        path, timeout=BUSY_MS / 1000, isolation_level=None, cached_statements=512, check_same_thread=False
    )
    if write:
        connection.execute(f"PRAGMA page_size = {PAGE_SIZE}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA wal_autocheckpoint = 8000")
        connection.execute(f"PRAGMA journal_size_limit = {64 << 20}")
    else:
        connection.execute("PRAGMA query_only = ON")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA cache_size = -{cache_mb * 1024}")
    connection.execute("PRAGMA temp_store = MEMORY")
    return connection


def tables(path: str) -> set[str]:
    """The names of the tables in the file, none where there is no file. It is looked at without a trace."""
    if not Path(path).is_file():
        return set()
    # Where no log lies beside the file it is all there is, and nothing that SQLite would make for a reader is needed.
    how = "mode=ro" if Path(f"{path}-wal").exists() else "immutable=1"
    with closing(sqlite3.connect(f"file:{quote(path)}?{how}", timeout=BUSY_MS / 1000, uri=True)) as connection:
        return {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}


def unavailable(error: sqlite3.Error) -> Unavailable:
    """What the caller may know of an error of SQLite: a sentence, never a statement or a value."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return Unavailable(_REASONS.get(code, f"The store failed ({getattr(error, 'sqlite_errorname', type(error).__name__)})."))


def told(error: BaseException) -> BaseException:
    """What the caller hears of it: an error of SQLite as `unavailable`, any other as it is."""
    return unavailable(error) if isinstance(error, sqlite3.Error) else error


class Moment:
    """Reads by id that the event loop makes in one pass share a snapshot: the file locks of a snapshot cost as much as such a read.

    A pass runs what was due before it began, so whoever reads in it cannot know of a commit later than the snapshot.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._reads = 0

    def read(self) -> None:
        """Before each read. The first of a pass takes no transaction: it may be the only one."""
        if self._reads == 0:
            asyncio.get_running_loop().call_soon(self.end)
        elif self._reads == 1:
            self._connection.execute("BEGIN")
        self._reads += 1

    def end(self) -> None:
        """What is read from now on is of a later moment."""
        if self._reads > 1:
            self._connection.execute("ROLLBACK")
        self._reads = 0


class _Translated:
    """One instance serves all: a generator made anew at each read would cost 1.5 µs."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if isinstance(error, sqlite3.Error):
            raise unavailable(error) from error


_TRANSLATED = _Translated()


def translated() -> _Translated:
    """SQLite's errors as Unavailable."""
    return _TRANSLATED

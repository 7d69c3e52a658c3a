"""What one transaction of the writer does for all who wait: several commits, each whole or not at all.

Commits of resources alone are decided one after another in memory and written together: a sixteenth of the statements where sixteen wait.
What must stay true: a commit sees all that went before it in the round; one that fails leaves nothing.
"""

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from app.security.access import Access
from app.store.prepare import Prepared
from app.store.protocol import Delete, Guard, Share, Stored, Write
from app.store.sqlite import tables
from app.store.sqlite.connection import told
from app.store.sqlite.rows import Row, Rows
from app.store.sqlite.transaction import Counters, Current, Name, Transaction, lookup

Outcome = tuple[Any, BaseException | None]  # the result, or the error
_PLAIN = (Prepared, Delete, Share)
MOST = 500  # versions that wait in memory to be written: sixty-four large transactions must not


@dataclass(frozen=True, slots=True)
class Commit:
    """What a caller wants committed. `at` in microseconds, whole milliseconds."""

    access: Access
    guards: Sequence[Guard]
    writes: Sequence[Write | Prepared[Rows]]
    at: int

    @property
    def plain(self) -> bool:
        """Whether it can be decided in memory: guards search the tables, and records are written to them at once."""
        return not self.guards and all(isinstance(write, _PLAIN) for write in self.writes)

    def names(self) -> list[Name]:
        """What it will look up."""
        found = []
        for write in self.writes:
            match write:
                case Prepared():
                    found.append((write.type, write.id))
                    if write.put.owners is None and self.access.everything:
                        found += [("Patient", patient) for patient in write.patients]
                case Delete() | Share():
                    found.append((write.type, write.id))
        return found


Work = Callable[[sqlite3.Connection], Any] | Commit


class Round:
    """Use once, inside a transaction that the caller begins and ends."""

    def __init__(self, connection: sqlite3.Connection, counters: Counters) -> None:
        self._connection, self._counters = connection, counters
        self._current: dict[Name, Current | None] = {}
        self._versions: list[Row] = []

    def together(self, works: Sequence[Work]) -> list[Outcome]:
        """Whatever is raised, all is to be undone: what one of them wants cannot be written."""
        self._current = self._ahead(works)
        outcomes = []
        for work in works:
            if isinstance(work, Commit) and work.plain:
                outcomes.append(self._decided(work))
                if len(self._versions) >= MOST:
                    self._write()
            else:
                self._write()
                outcomes.append(self._alone(work))
        self._write()
        return outcomes

    def apart(self, works: Sequence[Work]) -> list[Outcome]:
        """Each written by itself."""
        return [self._alone(work) for work in works]

    def _ahead(self, works: Sequence[Work]) -> dict[Name, Current | None]:
        names = [name for work in works if isinstance(work, Commit) and work.plain for name in work.names()]
        return lookup(self._connection, list(dict.fromkeys(names)))

    def _decided(self, commit: Commit) -> Outcome:
        before = self._counters.rid, self._counters.seq
        transaction = Transaction(self._connection, commit.access, self._counters, commit.at, self._current)
        try:
            results = transaction.run(commit.guards, commit.writes)
        except Exception as error:
            if not self._connection.in_transaction:
                raise  # SQLite gave up the whole transaction
            self._counters.rid, self._counters.seq = before
            return None, told(error)
        self._current |= transaction.current
        self._versions += transaction.versions
        return results, None

    def _write(self) -> None:
        tables.write(self._connection, self._current.values(), self._versions)
        self._current, self._versions = {}, []

    def _alone(self, work: Work) -> Outcome:
        connection = self._connection
        connection.execute("SAVEPOINT job")
        try:
            result = self._committed(work) if isinstance(work, Commit) else work(connection)
        except Exception as error:
            if not connection.in_transaction:
                raise  # SQLite gave up the whole transaction (a full disk, say): the others of this round are undone, too
            connection.execute("ROLLBACK TO job")
            connection.execute("RELEASE job")
            self._counters.load(connection)
            return None, told(error)
        connection.execute("RELEASE job")
        return result, None

    def _committed(self, commit: Commit) -> list[Stored | None]:
        transaction = Transaction(self._connection, commit.access, self._counters, commit.at)
        results = transaction.run(commit.guards, commit.writes)
        tables.write(self._connection, transaction.current.values(), transaction.versions)
        return results

"""The writer thread: the only one that changes the file, and several callers' commits in one COMMIT.

What must stay true: a caller's future is resolved after COMMIT returned; a commit that fails undoes itself alone; when COMMIT fails,
every caller of that round hears of it.
"""

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from app.fhir.errors import Unavailable
from app.store.sqlite.connection import told, unavailable
from app.store.sqlite.round import Outcome, Round, Work
from app.store.sqlite.transaction import Counters

MAX_ROUND = 64

_Job = tuple[Work, "asyncio.Future[Any]", asyncio.AbstractEventLoop]


class Writer:
    """Runs `Work` inside write transactions, in the order of arrival."""

    def __init__(self, connection: sqlite3.Connection, counters: Counters) -> None:
        """`counters` are only right inside a transaction of this thread."""
        self._connection = connection
        self._counters = counters
        self._gathered: dict[asyncio.AbstractEventLoop, list[_Job]] = {}
        self._jobs: queue.SimpleQueue[list[_Job] | None] = queue.SimpleQueue()
        self._closed = False
        self._closing = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    async def submit(self, work: Work) -> Any:
        """What `work` returned, once it is durable. Raises what it raised, or Unavailable.

        What one pass of the event loop submits is handed over together: a writer that begins with the first of them competes with the loop
        for the interpreter, and syncs for few.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        with self._closing:  # nothing may queue behind the end, where nobody would answer it
            if self._closed:
                raise Unavailable("The store is closed.")
            gathered = self._gathered.setdefault(loop, [])
            gathered.append((work, future, loop))
        if len(gathered) == 1:
            loop.call_soon(self._hand_over, loop)
        # A caller that goes away must not leave its work half told: the commit runs on, only the answer is dropped.
        return await future

    def close(self) -> None:
        """Finish what was submitted, then end the thread. Blocks."""
        with self._closing:
            self._closed = True
            for gathered in self._gathered.values():
                self._jobs.put(gathered)
            self._gathered = {}
            self._jobs.put(None)
        self._thread.join()

    def _hand_over(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._closing:
            if gathered := self._gathered.pop(loop, None):
                self._jobs.put(gathered)

    def _run(self) -> None:
        last = False
        while not last and (jobs := self._jobs.get()) is not None:
            while len(jobs) < MAX_ROUND and not last:
                try:
                    more = self._jobs.get_nowait()
                except queue.Empty:
                    break
                last = more is None
                jobs += more or ()
            for start in range(0, len(jobs), MAX_ROUND):
                some = jobs[start : start + MAX_ROUND]
                self._answer(some, self._round(some))
        self._connection.close()

    def _round(self, jobs: list[_Job]) -> list[Outcome]:
        works = [job[0] for job in jobs]
        try:
            return self._transaction(lambda round: round.together(works))
        except sqlite3.OperationalError as error:  # the file, the disk, the lock: nobody's own fault
            return [(None, unavailable(error))] * len(jobs)
        except BaseException:  # somebody's, and alone they will show whose
            return self._apart(works)

    def _apart(self, works: list[Work]) -> list[Outcome]:
        try:
            return self._transaction(lambda round: round.apart(works))
        except BaseException as error:
            return [(None, told(error))] * len(works)

    def _transaction(self, work: Callable[[Round], list[Outcome]]) -> list[Outcome]:
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            self._counters.load(connection)
            outcomes = work(Round(connection, self._counters))
            connection.execute("COMMIT")
            return outcomes
        except BaseException:
            with suppress(sqlite3.Error):  # whatever is wrong with the file, the callers must hear of it
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
            raise

    @staticmethod
    def _answer(jobs: list[_Job], outcomes: list[Outcome]) -> None:
        by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], Any, BaseException | None]]] = {}
        for (_, future, loop), (result, error) in zip(jobs, outcomes, strict=True):
            by_loop.setdefault(loop, []).append((future, result, error))
        for loop, answers in by_loop.items():
            with suppress(RuntimeError):  # a loop that closed meanwhile has nobody left to answer
                loop.call_soon_threadsafe(_resolve, answers)


def _resolve(answers: list[tuple["asyncio.Future[Any]", Any, BaseException | None]]) -> None:
    for future, result, error in answers:
        if future.cancelled():
            continue
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)

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
from app.store.sqlite.connection import unavailable
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
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._closed = False
        self._closing = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    async def submit(self, work: Work) -> Any:
        """What `work` returned, once it is durable. Raises what it raised, or Unavailable."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        with self._closing:  # nothing may queue behind the end, where nobody would answer it
            if self._closed:
                raise Unavailable("The store is closed.")
            self._jobs.put((work, future, loop))
        # A caller that goes away must not leave its work half told: the commit runs on, only the answer is dropped.
        return await future

    def close(self) -> None:
        """Finish what was submitted, then end the thread. Blocks."""
        with self._closing:
            self._closed = True
            self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            jobs = [job]
            last = False
            while len(jobs) < MAX_ROUND:
                try:
                    another = self._jobs.get_nowait()
                except queue.Empty:
                    break
                if another is None:
                    last = True
                    break
                jobs.append(another)
            self._answer(jobs, self._round(jobs))
            if last:
                break
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
            told = unavailable(error) if isinstance(error, sqlite3.Error) else error
            return [(None, told)] * len(works)

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

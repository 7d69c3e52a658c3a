"""The writer thread: the only one that changes the file, and several callers' commits in one COMMIT.

What must stay true: a caller's future is resolved after COMMIT returned; a commit that fails undoes itself alone (a savepoint);
when COMMIT fails, every caller of that round hears of it.
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

MAX_ROUND = 64

Work = Callable[[sqlite3.Connection], Any]
_Job = tuple[Work, "asyncio.Future[Any]", asyncio.AbstractEventLoop]


class Writer:
    """Runs `Work` inside write transactions, in the order of arrival."""

    def __init__(
        self, connection: sqlite3.Connection, begin: Callable[[sqlite3.Connection], None], end: Callable[[bool], None]
    ) -> None:
        """`begin` runs at the start of each transaction, `end(committed)` after it; both in the writer's thread."""
        self._connection = connection
        self._begin = begin
        self._end = end
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

    def _round(self, jobs: list[_Job]) -> list[tuple[Any, BaseException | None]]:
        """One transaction; for each job its result or its error."""
        connection = self._connection
        committed = False
        try:
            connection.execute("BEGIN IMMEDIATE")
            self._begin(connection)
            outcomes = [self._one(job[0]) for job in jobs]
            connection.execute("COMMIT")
            committed = True
            return outcomes
        except BaseException as error:
            with suppress(sqlite3.Error):  # whatever is wrong with the file, the callers must hear of it
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
            told = unavailable(error) if isinstance(error, sqlite3.Error) else error
            return [(None, told)] * len(jobs)
        finally:
            self._end(committed)

    def _one(self, work: Work) -> tuple[Any, BaseException | None]:
        connection = self._connection
        connection.execute("SAVEPOINT job")
        try:
            result = work(connection)
        except Exception as error:
            if not connection.in_transaction:
                raise  # SQLite gave up the whole transaction (a full disk, say): the others of this round are undone, too
            connection.execute("ROLLBACK TO job")
            connection.execute("RELEASE job")
            self._begin(connection)
            return None, unavailable(error) if isinstance(error, sqlite3.Error) else error
        connection.execute("RELEASE job")
        return result, None

    @staticmethod
    def _answer(jobs: list[_Job], outcomes: list[tuple[Any, BaseException | None]]) -> None:
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

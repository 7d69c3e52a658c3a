"""`SQLiteStore`: the protocol over one file.

Reads by id, records and short searches run in the event loop's own thread (5 µs; a hop to another thread costs twenty times as much). A search
that is not done after a budget of steps starts again on a reader thread, so that no search holds up the loop.
"""

import asyncio
import shutil
import sqlite3
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from app.clock import micros
from app.fhir.errors import Gone, NotFound, Unavailable
from app.fhir.search.parameters import default
from app.fhir.search.types import Entries, Plan
from app.security.access import Access
from app.store.definitions import load
from app.store.moving import PAGE, Version
from app.store.prepare import prepared
from app.store.protocol import Change, Found, Guard, Indexing, Record, Stored, Write
from app.store.sqlite import history, moving, records, upkeep
from app.store.sqlite.connection import Moment, connect, tables, translated, unavailable
from app.store.sqlite.round import Commit
from app.store.sqlite.rows import rows_of
from app.store.sqlite.schema import is_stale, mark_fresh, migrate
from app.store.sqlite.search import STORED, search, stored
from app.store.sqlite.transaction import Counters
from app.store.sqlite.writer import Writer

T = TypeVar("T")
Extract = Callable[[Mapping[str, Any]], Entries]

OURS = {"setting", "resource", "version", "record"}  # tables that every schema has
READERS = 3
LOOP_STEPS = 30  # thousands of SQLite's virtual machine steps that a search may take in the loop's thread: about a millisecond
POLL = 0.05  # seconds between looks at what other processes committed

_READ = f"SELECT {STORED} FROM resource r CROSS JOIN version v ON v.seq = r.seq WHERE r.type = ? AND r.id = ?"
_VREAD = """SELECT r.type, r.id, v.version, v.updated, v.raw, r.owners, v.action = 'delete', v.action
FROM resource r CROSS JOIN version v ON v.rid = r.rid AND v.version = ? WHERE r.type = ? AND r.id = ?"""


class SQLiteStore:
    """A store in the file `path`; with an empty path in a temporary one. `extract` makes index entries (for tests of the store alone)."""

    def __init__(self, path: str, extract: Extract | None = None) -> None:
        self.url = f"sqlite:///{path}" if path else "sqlite://"
        self.path = path
        self._extract = extract
        self._scratch: str | None = None
        self._closed = True  # until it is open
        self._changed: set[asyncio.Future[None]] = set()
        self._connections: list[sqlite3.Connection] = []
        self._local = threading.local()
        self._counters = Counters()

    # ---- opening and closing

    async def open(self, *, create: bool = True) -> None:
        """Open or make the file. Raises Unavailable where that cannot be, and NotFound without `create` where there is none."""
        if not self.path and create:
            self._scratch = tempfile.mkdtemp(prefix="csor-")
            self.path = str(Path(self._scratch) / "store.db")
        with translated():
            await asyncio.to_thread(self._open, create)
            self.indexing = Indexing(self._extract, default()) if self._extract else await load(self)
            if is_stale(self._reading):
                await self.reindex()
                await self._writer.submit(mark_fresh)

    def _open(self, create: bool) -> None:
        there = tables(self.path)
        if there and not there >= OURS:
            raise Unavailable(f"There is no store at {self.url}: the file is a database of another program.")
        if not there and not create:
            raise NotFound(f"There is no store at {self.url}.")
        if not Path(self.path).exists():
            Path(self.path).parent.mkdir(parents=True, exist_ok=True)
            Path(self.path).touch(0o600)  # before SQLite makes it: its files are of children, and nobody else is to read them
        writing = connect(self.path, cache_mb=64, write=True)
        try:
            migrate(writing)
        except BaseException:
            writing.close()
            raise
        self._reading = connect(self.path, cache_mb=32)
        self._key = bytes(self._reading.execute("SELECT value FROM setting WHERE name = 'cursor_key'").fetchone()[0])
        self._moment = Moment(self._reading)
        self._closed = False
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="store-reader")
        self.writer_connection = writing
        self._writer = Writer(writing, self._counters)

    async def close(self) -> None:
        """Finish what is under way and close."""
        if not self._closed:
            self._moment.end()
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._writer.close()
        self._readers.shutdown(wait=True)
        for connection in [self._reading, *self._connections]:
            connection.close()
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)

    async def _in_reader(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` on a reader thread, in one snapshot."""

        def run() -> T:
            connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
            if connection is None:
                connection = self._local.connection = connect(self.path)
                self._connections.append(connection)
            with translated():
                connection.execute("BEGIN")
                try:
                    return work(connection)
                finally:
                    connection.execute("ROLLBACK")

        return await asyncio.get_running_loop().run_in_executor(self._readers, run)

    # ---- resources

    async def read(self, access: Access, type: str, id: str) -> Stored:
        """See the protocol. 6 µs of SQLite, half of it the file locks that its snapshot takes."""
        try:
            self._moment.read()
            row = self._reading.execute(_READ, (type, id)).fetchone()
        except sqlite3.Error as error:
            raise unavailable(error) from error
        return _allowed(access, row, type, id)

    async def vread(self, access: Access, type: str, id: str, version: int) -> Stored:
        """See the protocol."""
        with translated():
            row = self._reading.execute(_VREAD, (version, type, id)).fetchone()
        return _allowed(access, row, type, id, f"/_history/{version}")

    async def read_many(self, access: Access, references: Sequence[str]) -> list[Stored]:
        """See the protocol."""
        found = []
        with translated():
            for reference in dict.fromkeys(references):
                type, _, id = reference.partition("/")
                self._moment.read()
                row = self._reading.execute(_READ, (type, id)).fetchone()
                if row and not row[6]:
                    one = stored(row)
                    if _sees(access, one):
                        found.append(one)
        return found

    async def history(
        self,
        access: Access,
        type: str | None = None,
        id: str | None = None,
        *,
        since: int | None = None,
        count: int = 50,
        cursor: str | None = None,
    ) -> Found:
        """See the protocol."""
        return await self._in_reader(
            lambda connection: history.page(connection, access, self._key, type, id, since, count, cursor)
        )

    async def search(self, access: Access, plan: Plan) -> Found:
        """See the protocol."""
        return await self._quickly(lambda connection: search(connection, access, plan, self._key))

    async def _quickly(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """`work` in the loop's own thread; where that takes more than `LOOP_STEPS`, again on a reader thread."""
        try:
            return self._in_loop(work)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
                raise unavailable(error) from error
        except sqlite3.Error as error:
            raise unavailable(error) from error
        return await self._in_reader(work)

    def _in_loop(self, work: Callable[[sqlite3.Connection], T]) -> T:
        steps = 0

        def step() -> bool:
            nonlocal steps
            steps += 1
            return steps > LOOP_STEPS

        self._moment.end()
        self._reading.execute("BEGIN")
        self._reading.set_progress_handler(step, 1000)
        try:
            return work(self._reading)
        finally:
            self._reading.set_progress_handler(None, 0)
            self._reading.execute("ROLLBACK")

    async def commit(self, access: Access, writes: Sequence[Write], guards: Sequence[Guard] = ()) -> list[Stored | None]:
        """See the protocol."""
        ready = await prepared(writes, self.indexing, rows_of)
        at = micros() // 1000 * 1000
        results: list[Stored | None] = await self._writer.submit(Commit(access, guards, ready, at))
        self._wake()
        return results

    # ---- change feed

    async def feed(self, after: int, limit: int = 500) -> list[Change]:
        """See the protocol."""
        with translated():
            rows = self._reading.execute(
                "SELECT seq, type, id, version, action, updated, indexed FROM version WHERE seq > ? ORDER BY seq LIMIT ?",
                (after, limit),
            )
            return [Change(*row) for row in rows]

    async def feed_head(self) -> int:
        """See the protocol."""
        with translated():
            head: int = self._reading.execute("SELECT coalesce(max(seq), 0) FROM version").fetchone()[0]
        return head

    async def marker(self, types: Sequence[str]) -> tuple[int, ...]:
        """See the protocol. The number of the last version."""
        last = "SELECT coalesce(max(seq), 0) FROM version WHERE type = ?"
        with translated():
            return tuple(int(self._reading.execute(last, (type,)).fetchone()[0]) for type in types)

    async def wait_for_change(self, after: int, timeout: float) -> bool:
        """See the protocol. This process' commits wake it at once, another's within `POLL`."""
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout
        while True:
            if await self.feed_head() > after:
                return True
            left = end - loop.time()
            if left <= 0:
                return False
            future: asyncio.Future[None] = loop.create_future()
            self._changed.add(future)
            try:
                await asyncio.wait((future,), timeout=min(left, POLL))
            finally:
                self._changed.discard(future)
                future.cancel()

    def _wake(self) -> None:
        for future in self._changed:
            if not future.done():
                future.set_result(None)

    # ---- records

    async def get_record(self, access: Access, kind: str, key: str) -> Record | None:
        """See the protocol."""
        with translated():
            return records.get(self._reading, access, kind, key)

    async def find_records(
        self,
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
        """See the protocol."""
        return await self._quickly(
            lambda connection: records.find(
                connection,
                access,
                kind,
                state=state,
                tag=tag,
                due_before=due_before,
                owner=owner,
                after=after,
                limit=limit,
                descending=descending,
            )
        )

    async def count_records(self, access: Access, kind: str, *, state: str | None = None, tag: str | None = None) -> int:
        """See the protocol."""
        return await self._quickly(lambda connection: records.count(connection, access, kind, state=state, tag=tag))

    # ---- upkeep

    async def scan(self, access: Access, types: Sequence[str] = ()) -> AsyncIterator[Stored]:
        """See the protocol. Pages of 500 by `rid`, so nothing is held while the caller works."""
        after = 0
        while True:
            page = await self._in_reader(lambda connection, after=after: upkeep.scan(connection, access, types, after))  # type: ignore[misc]
            for _, one in page:
                yield one
            if not page:
                return
            after = page[-1][0]

    async def counts(self, access: Access) -> dict[str, int]:
        """See the protocol."""
        return await self._quickly(lambda connection: upkeep.counts(connection, access))

    async def reindex(self, types: Sequence[str] = ()) -> int:
        """See the protocol. In commits of 500, so that writers wait for none of them long."""
        extract = self.indexing.extract
        done = after = 0
        while True:

            def work(connection: sqlite3.Connection, after: int = after) -> tuple[int, int]:
                return upkeep.reindex(connection, extract, types, after)

            number, last = await self._writer.submit(work)
            if last == after:
                break
            done, after = done + number, last
        if not types:
            await self._writer.submit(upkeep.count_anew)
        return done

    async def reindex_only(self, references: Sequence[str]) -> None:
        """See the protocol."""
        extract = self.indexing.extract
        await self._writer.submit(lambda connection: upkeep.reindex_only(connection, extract, references))

    async def check(self) -> list[str]:
        """See the protocol."""
        extract = self.indexing.extract
        return await self._in_reader(lambda connection: upkeep.check(connection, extract))

    # ---- moving

    async def versions(self, after: int, limit: int = PAGE) -> list[Version]:
        """See `app.store.moving`."""
        return await self._in_reader(lambda connection: moving.versions(connection, after, limit))

    async def adopt(self, versions: Sequence[Version]) -> None:
        """See `app.store.moving`."""
        extract = self.indexing.extract
        await self._writer.submit(lambda connection: moving.adopt(connection, self._counters, extract, versions))

    async def adopt_owners(self, owners: Mapping[tuple[str, str], frozenset[str]]) -> None:
        """See `app.store.moving`."""
        await self._writer.submit(lambda connection: moving.adopt_owners(connection, owners))

    async def moment(self) -> AsyncIterator[tuple[int, list[Record]]]:
        """See `app.store.moving`. Holds a snapshot of its own, so the WAL grows while the caller works."""
        with translated():
            connection = connect(self.path)
            try:
                connection.execute("BEGIN")
                (head,) = connection.execute("SELECT coalesce(max(seq), 0) FROM version").fetchone()
                page = await asyncio.to_thread(moving.records, connection, ("", ""), PAGE)
                yield head, page
                while len(page) == PAGE:
                    page = await asyncio.to_thread(moving.records, connection, (page[-1].kind, page[-1].key), PAGE)
                    yield head, page
            finally:
                connection.close()

    async def adopt_records(self, records: Sequence[Record]) -> None:
        """See `app.store.moving`."""
        await self._writer.submit(lambda connection: moving.adopt_records(connection, records))

    async def backup(self, path: str) -> None:
        """SQLite's online backup: the file as it is at one moment, while the server goes on. `path` must not exist."""

        def work() -> None:
            source, target = connect(self.path), sqlite3.connect(path)
            try:
                source.backup(target, pages=4096)
            finally:
                source.close()
                target.close()

        with translated():
            await asyncio.to_thread(work)


def _allowed(access: Access, row: Sequence[Any] | None, type: str, id: str, rest: str = "") -> Stored:
    found = stored(row) if row else None
    if found is None or not _sees(access, found):
        raise NotFound(f"{type}/{id}{rest} is not there.")
    if found.deleted:
        raise Gone(f"{type}/{id}{rest} has been deleted.")
    return found


def _sees(access: Access, found: Stored) -> bool:
    return access.everything or not found.owners.isdisjoint(access.owners())

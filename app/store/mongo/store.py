"""`MongoStore`: the protocol over a MongoDB replica set. The process holds no state, so any number of them may stand before one database."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import BulkWriteError, ConnectionFailure, DuplicateKeyError, PyMongoError, ServerSelectionTimeoutError
from pymongo.read_concern import ReadConcern

from app.clock import micros
from app.fhir.errors import FHIRError, Gone, NotFound
from app.fhir.search.parameters import default
from app.fhir.search.types import Entries, Plan
from app.security.access import Access
from app.store.definitions import load
from app.store.mongo import history, moving, records, upkeep
from app.store.mongo.clauses import owned
from app.store.mongo.conditions import all_of
from app.store.mongo.connection import MAJORITY, connect, database, require_able, translate, translated
from app.store.mongo.feed import Feed
from app.store.mongo.reads import Reads
from app.store.mongo.rounds import PATIENCE, Rounds, Stuck
from app.store.mongo.schema import is_stale, mark_fresh, migrate
from app.store.mongo.search import STORED, Search, several_queries, stored
from app.store.mongo.transaction import Job, Round
from app.store.mongo.words import words_of
from app.store.moving import PAGE, Version
from app.store.open import public_url
from app.store.prepare import prepared
from app.store.protocol import Change, Found, Guard, Indexing, Record, Stored, Write
from app.store.rules import sees

T = TypeVar("T")
Extract = Callable[[Mapping[str, Any]], Entries]

_DUPLICATE = 11000


class MongoStore:
    """A store in the database that `url` names. `extract` makes index entries (for tests of the store alone)."""

    def __init__(self, url: str, extract: Extract | None = None) -> None:
        self.url = public_url(url)
        self._secret_url = url
        self._extract = extract
        self._last_order = 0

    # ---- opening and closing

    async def open(self, *, create: bool = True) -> None:
        """Connect, migrate. Raises Unavailable with a sentence that says what to do, and NotFound without `create` where there is no store."""
        self._client = connect(self._secret_url)
        try:
            await require_able(self._client, self._secret_url)
            with translated():
                self._db = database(self._client)
                if not create and await self._db.setting.find_one({"_id": "schema"}) is None:
                    raise NotFound(f"There is no store at {self.url}.")
                await migrate(self._db)
                found = await self._db.setting.find_one({"_id": "cursor_key"})
        except BaseException:
            await self._client.close()
            raise
        self._key = bytes(found["value"]) if found else b""
        self._feed = Feed(self._db, self._transact)
        self._rounds = Rounds(self._together)
        self._reads = Reads(self._db.resource)
        self.indexing = Indexing(self._extract, default()) if self._extract else await load(self)
        if await is_stale(self._db):
            await self.reindex()
            await mark_fresh(self._db)

    async def close(self) -> None:
        """Finish what is under way and close."""
        if hasattr(self, "_rounds"):
            await self._rounds.close()
            await self._feed.close()
            await self._client.close()

    def _snapshot(self) -> AsyncClientSession:
        """A session whose reads are all of one moment."""
        return self._client.start_session(snapshot=True)

    # ---- resources

    async def read(self, access: Access, type: str, id: str) -> Stored:
        """See the protocol. One look at one document, shared with others that read at the same moment."""
        name = f"{type}/{id}"
        found = await self._reads.get(name)
        if found is not None and not sees(access, frozenset(found["w"])):
            found = None
        return _there(found, name)

    async def vread(self, access: Access, type: str, id: str, version: int) -> Stored:
        """See the protocol."""
        name = f"{type}/{id}"
        with translated():
            found = await self._db.version.find_one(all_of([{"_id": f"{name}/{version}"}, owned(access)]), STORED | {"r": 1})
        return _there(found, f"{name}/_history/{version}")

    async def read_many(self, access: Access, references: Sequence[str]) -> list[Stored]:
        """See the protocol."""
        names = list(dict.fromkeys(references))
        with translated():
            where = all_of([{"_id": {"$in": names}, "t": {"$exists": True}}, owned(access)])
            found = {one["_id"]: one async for one in self._db.resource.find(where, STORED)}
        return [stored(found[name]) for name in names if name in found]

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
        with translated():
            return await history.page(self._db, access, self._key, type, id, since, count, cursor)

    async def search(self, access: Access, plan: Plan) -> Found:
        """See the protocol. Several looks are of one snapshot."""
        with translated():
            if not several_queries(plan):
                return await Search(self._db.resource, None, access, plan).page(self._key)
            async with self._snapshot() as session:
                # A snapshot session brings its own read concern; the collection's would contradict it.
                return await Search(self._plain("resource"), session, access, plan).page(self._key)

    def _plain(self, name: str) -> Any:
        return self._db[name].with_options(read_concern=ReadConcern())

    # ---- writing

    async def commit(self, access: Access, writes: Sequence[Write], guards: Sequence[Guard] = ()) -> list[Stored | None]:
        """See the protocol."""
        ready = await prepared(writes, self.indexing, words_of)
        # A round that finds no primary ends after so long. Who waited behind it as long hears the same, and does not wait for a round more.
        deadline = asyncio.get_running_loop().time() + self._client.options.server_selection_timeout
        results = await self._rounds.submit(Job(access, ready, guards, deadline))
        self._feed.wake()
        return results

    async def _together(self, jobs: list[Job], patience: float) -> None:
        async def run(session: AsyncClientSession) -> None:
            for job in jobs:
                job.outcome = None
            await Round(self._db, session, self._take).run(jobs)

        with translated():
            await self._transact(run, patience)

    def _take(self, number: int) -> int:
        """The first of `number` orders above all that this process took: its time, in microseconds, that never goes back."""
        start = max(micros(), self._last_order + 1)
        self._last_order = start + number
        return start

    async def _transact(self, work: Callable[[AsyncClientSession], Awaitable[T]], patience: float = PATIENCE) -> T:
        """`work` in a transaction, until it is durable; again from the start after an election, and for `patience` (seconds) after conflicts."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        end = begun + PATIENCE
        attempt = 0
        async with self._client.start_session() as session:
            while True:
                try:
                    await session.start_transaction(read_concern=ReadConcern("snapshot"), write_concern=MAJORITY)
                    result = await work(session)
                    await self._conclude(session, end)
                    return result
                except PyMongoError as error:
                    if session.in_transaction:
                        await _abort(session)
                    if not _again(error) or loop.time() > (begun + patience if _conflicts(error) else end):
                        raise _final(error) from None
                except BaseException:
                    if session.in_transaction:
                        await _abort(session)
                    raise
                attempt += 1
                await asyncio.sleep(random.uniform(0.5, 1.0) * min(0.002 * 2**attempt, 0.2))  # noqa: S311

    @staticmethod
    async def _conclude(session: AsyncClientSession, end: float) -> None:
        """Commit; where nobody knows whether it held, ask again (MongoDB answers for the one transaction, however often asked)."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                return await session.commit_transaction()
            except PyMongoError as error:
                if not error.has_error_label("UnknownTransactionCommitResult") or loop.time() > end:
                    raise
                await asyncio.sleep(0.05)

    # ---- change feed

    async def feed(self, after: int, limit: int = 500) -> list[Change]:
        """See the protocol."""
        with translated():
            return await self._feed.changes(after, limit)

    async def feed_head(self) -> int:
        """See the protocol."""
        with translated():
            return await self._feed.head()

    async def marker(self, types: Sequence[str]) -> tuple[int, ...]:
        """See the protocol. How many versions: neither the newest by the clock nor the last of the feed tells of every commit at once."""
        with translated():
            return tuple([await self._db.version.count_documents({"t": type}) for type in types])

    async def wait_for_change(self, after: int, timeout: float) -> bool:
        """See the protocol. This process' commits wake it at once, another's within `feed.POLL`."""
        with translated():
            return await self._feed.wait(after, timeout)

    # ---- records

    async def get_record(self, access: Access, kind: str, key: str) -> Record | None:
        """See the protocol."""
        with translated():
            return await records.get(self._db.record, access, kind, key)

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
        wanted = records.where(
            access, kind, state=state, tag=tag, due_before=due_before, owner=owner, after=after, descending=descending
        )
        with translated():
            return await records.find(self._db.record, wanted, limit, descending)

    async def count_records(self, access: Access, kind: str, *, state: str | None = None, tag: str | None = None) -> int:
        """See the protocol."""
        with translated():
            return await self._db.record.count_documents(records.where(access, kind, state=state, tag=tag))

    # ---- upkeep

    async def scan(self, access: Access, types: Sequence[str] = ()) -> AsyncIterator[Stored]:
        """See the protocol."""
        with translated():
            async for one in upkeep.scan(self._db, access, types):
                yield one

    async def counts(self, access: Access) -> dict[str, int]:
        """See the protocol."""
        with translated():
            return await upkeep.counts(self._db, access)

    async def reindex(self, types: Sequence[str] = ()) -> int:
        """See the protocol."""
        with translated():
            return await upkeep.reindex(self._db, self._transact, self.indexing.extract, types)

    async def reindex_only(self, references: Sequence[str]) -> None:
        """See the protocol."""
        with translated():
            await upkeep.reindex_only(self._db, self.indexing.extract, references)

    async def check(self) -> list[str]:
        """See the protocol."""
        with translated():
            await self._feed.number()
            async with self._snapshot() as session:
                plain = self._db.with_options(read_concern=ReadConcern())
                return await upkeep.check(plain, session, self.indexing.extract)

    # ---- moving

    async def versions(self, after: int, limit: int = PAGE) -> list[Version]:
        """See `app.store.moving`."""
        with translated():
            await self._feed.number()
            return await moving.versions(self._db, after, limit)

    async def adopt(self, versions: Sequence[Version]) -> None:
        """See `app.store.moving`."""
        with translated():
            await self._feed.number()
            await self._transact(lambda session: moving.adopt(self._db, session, self.indexing.extract, versions))

    async def adopt_owners(self, owners: Mapping[tuple[str, str], frozenset[str]]) -> None:
        """See `app.store.moving`."""
        with translated():
            await self._transact(lambda session: moving.adopt_owners(self._db, session, owners))

    async def moment(self) -> AsyncIterator[tuple[int, list[Record]]]:
        """See `app.store.moving`. Versions that were not numbered at that moment are by now, and come along."""
        with translated():
            await self._feed.number()  # before: it may be long, and MongoDB does not keep a snapshot for ever
            async with self._snapshot() as session:
                plain = self._db.with_options(read_concern=ReadConcern())
                late: int | None = None
                async for pending, head, page in moving.moment(plain, session):
                    if late is None:
                        late = await self._feed.last_of(pending)
                    yield max(head, late), page

    async def adopt_records(self, records: Sequence[Record]) -> None:
        """See `app.store.moving`."""
        with translated():
            await moving.adopt_records(self._db, records)


def _there(document: dict[str, Any] | None, name: str) -> Stored:
    if document is None:
        raise NotFound(f"{name} is not there.")
    found = stored(document)
    if found.deleted:
        raise Gone(f"{name} has been deleted.")
    return found


async def _abort(session: AsyncClientSession) -> None:
    try:
        await session.abort_transaction()
    except PyMongoError:
        return  # it ends by itself


def _again(error: PyMongoError) -> bool:
    """Whether the transaction came to nothing by no fault of its own. A key that is there already was made by another meanwhile."""
    if isinstance(error, ServerSelectionTimeoutError):
        return False  # the driver was patient enough
    if error.has_error_label("TransientTransactionError") or isinstance(error, DuplicateKeyError):
        return True
    details = error.details if isinstance(error, BulkWriteError) else {}
    return any(one.get("code") == _DUPLICATE for one in details.get("writeErrors", ()))


def _conflicts(error: PyMongoError) -> bool:
    return _again(error) and not isinstance(error, ConnectionFailure)


def _final(error: PyMongoError) -> FHIRError:
    if _conflicts(error):
        return Stuck("Others write the same all the time; try again.")
    return translate(error)

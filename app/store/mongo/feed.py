"""The change feed: numbers without gaps, without a counter that every write would have to pass.

A version is written without a number, marked `pending`. Whoever reads the feed first numbers what is pending: one transaction takes so many numbers from the
counter and gives them out. So a reader sees a number only when all before it are there, writers never wait for each other, and the counter
moves once for hundreds of versions. A version is numbered after those of its resource that it follows: they were committed before it, and
its `o` is above theirs.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from pymongo import UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import PyMongoError

from app.store.mongo.words import Document
from app.store.protocol import Change

BATCH = 1000
POLL = 0.1  # seconds between looks at what other processes committed

Transact = Callable[[Callable[[AsyncClientSession], Awaitable[int]]], Awaitable[int]]


class Raced(PyMongoError):
    """Another process numbered these meanwhile."""

    def has_error_label(self, label: str) -> bool:
        """The transaction begins again."""
        return label == "TransientTransactionError"


class Feed:
    """`transact` runs a transaction until it is durable."""

    def __init__(self, db: AsyncDatabase[Document], transact: Transact) -> None:
        self._db = db
        self._transact = transact
        self._numbering = asyncio.Lock()
        self._woken: set[asyncio.Future[None]] = set()
        self._poller: asyncio.Task[None] | None = None

    async def changes(self, after: int, limit: int) -> list[Change]:
        """Changes numbered above `after`, in order."""
        await self.number()
        fields = dict.fromkeys(("seq", "r", "v", "a", "u", "x"), 1)
        found = self._db.version.find({"seq": {"$gt": after}}, fields).sort("seq", 1).limit(limit)
        return [_change(one) async for one in found]

    async def head(self) -> int:
        """The last number."""
        await self.number()
        found = await self._db.setting.find_one({"_id": "feed"})
        return int(found["seq"]) if found else 0

    async def number(self) -> None:
        """Give numbers to all that was committed before this call."""
        async with self._numbering:
            while await self._db.version.find_one({"pending": True}, {"_id": 1}) is not None:
                if await self._transact(self._number) < BATCH:
                    return

    async def last_of(self, names: Sequence[str]) -> int:
        """The last number of these versions, which may have had none a moment ago; 0 where there are none."""
        last = 0
        if names:
            await self.number()
        for start in range(0, len(names), BATCH):
            part = list(names[start : start + BATCH])
            async for one in self._db.version.find({"_id": {"$in": part}}, {"seq": 1}):
                last = max(last, int(one["seq"]))
        return last

    async def _number(self, session: AsyncClientSession) -> int:
        pending = self._db.version.find({"pending": True}, {"_id": 1}, session=session).sort("o", 1).limit(BATCH)
        names = [one["_id"] async for one in pending]
        if not names:
            return 0
        counter = await self._db.setting.find_one_and_update({"_id": "feed"}, {"$inc": {"seq": len(names)}}, session=session)
        start = (int(counter["seq"]) if counter else 0) + 1
        given = await self._db.version.bulk_write(
            [
                UpdateOne({"_id": name, "pending": True}, {"$set": {"seq": seq}, "$unset": {"pending": ""}})
                for seq, name in enumerate(names, start)
            ],
            session=session,
        )
        if given.modified_count != len(names):
            raise Raced("numbered meanwhile")
        return len(names)

    # ---- waiting

    async def wait(self, after: int, timeout: float) -> bool:
        """Wake when the feed grows beyond `after`, or after `timeout` seconds."""
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout
        while True:
            future: asyncio.Future[None] = loop.create_future()
            self._woken.add(future)  # before the look, so that nothing falls between
            try:
                head = await self.head()
                if head > after:
                    return True
                left = end - loop.time()
                if left <= 0:
                    return False
                self._look(head)
                await asyncio.wait((future,), timeout=left)
            finally:
                self._woken.discard(future)
                future.cancel()

    def wake(self) -> None:
        """Something was committed."""
        for future in self._woken:
            if not future.done():
                future.set_result(None)

    def _look(self, seen: int) -> None:
        if self._poller is None or self._poller.done():
            self._poller = asyncio.create_task(self._poll(seen))

    async def _poll(self, seen: int) -> None:
        """One look for all that wait in this process, beyond what the first of them has `seen`; ends with the last of them."""
        while self._woken:
            try:
                counter = await self._db.setting.find_one({"_id": "feed"})
                head = int(counter["seq"]) if counter else 0
                fresh = await self._db.version.find_one({"pending": True}, {"_id": 1}) is not None
                if fresh or head > seen:
                    self.wake()
                seen = head
            except PyMongoError:
                self.wake()  # each hears of it from its own look
                await asyncio.sleep(POLL * 5)
            await asyncio.sleep(POLL)

    async def close(self) -> None:
        """End the looking."""
        if self._poller is not None:
            self._poller.cancel()
            await asyncio.gather(self._poller, return_exceptions=True)


def _change(version: Document) -> Change:
    type, _, id = version["r"].partition("/")
    return Change(version["seq"], type, id, version["v"], version["a"], int(version["u"]), version.get("x", ""))

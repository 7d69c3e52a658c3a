"""Consumers of the change feed: what is derived from the resources, kept up to date.

What must stay true: a handler's writes and the moved cursor are one commit, so each change takes effect exactly once, whatever
crashes; a change that a handler cannot take is put aside in a record (`consumer-error`) after some tries, and blocks nothing; `rebuild` and
`drain` make everything anew.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress

import msgspec

from app.fhir.errors import Conflict, PreconditionFailed, Unavailable
from app.logs import logger
from app.security.access import SYSTEM
from app.store.lease import Lease
from app.store.protocol import Change, PutRecord, Record, Store, Write

CURSOR = "cursor"
ERROR = "consumer-error"
ATTEMPTS = 3
UNAVAILABLE_WAIT = 1.0  # seconds
IDLE = 2.0  # seconds in which a resting consumer looks at its lease again
GATHER = 0.1  # seconds: what comes close together is handled together, at a fraction of the cost


class Consumer(ABC):
    """Subclass with a `name` and `handle`. `handle` must bear to see a change twice (its first effect may have failed to commit)."""

    name: str
    batch = 200

    def __init__(self, store: Store) -> None:
        self.store = store
        self._attempts = 0
        self._size = self.batch
        self._wait = 0.0  # seconds to rest before the next try, after a failure

    @abstractmethod
    async def handle(self, changes: list[Change]) -> Sequence[Write]:
        """The writes that `changes` (in feed order) ask for. They are committed together with the cursor."""

    async def position(self) -> int:
        """The number of the last change that took effect."""
        return (await self._cursor())[0]

    async def drain(self) -> int:
        """Run until caught up; how many changes. Errors of the handler are raised. For commands and tests."""
        done = conflicts = 0
        while True:
            try:
                number = await self._step(self.batch)
            except (Conflict, PreconditionFailed):  # another process wrote what we were about to write
                conflicts += 1
                if conflicts > ATTEMPTS:
                    raise
                continue
            if not number:
                return done
            done, conflicts = done + number, 0

    async def rebuild(self) -> None:
        """Begin again at the start of the feed. `drain` (or the running service) then does the work."""
        await self.store.commit(SYSTEM, [PutRecord(_cursor_record(self.name, 0))])

    async def run(self, stop: asyncio.Event) -> None:
        """Follow the feed until `stop`, in one process of all."""
        lease = Lease(self.store, f"consumer-{self.name}")
        try:
            while not stop.is_set():
                if not await lease.hold():
                    await _pause(stop, IDLE)
                    continue
                async with lease.kept():
                    number = await self._try()
                if number < self._size:
                    await self._rest(stop)
        finally:
            with suppress(Unavailable):
                await lease.release()

    # ---- one batch

    async def _cursor(self) -> tuple[int, int]:
        record = await self.store.get_record(SYSTEM, CURSOR, self.name)
        return (int(record.data["seq"]), record.revision) if record else (0, 0)

    async def _step(self, size: int) -> int:
        after, revision = await self._cursor()
        changes = await self.store.feed(after, size)
        if changes:
            writes = await self.handle(changes)
            try:
                await self._commit(changes[-1].seq, revision, writes)
            except (Conflict, PreconditionFailed):
                if (await self._cursor())[1] == revision:
                    raise
                # Another process moved the cursor: what it did is no fault of these changes, and what is left comes next.
        return len(changes)

    async def _commit(self, seq: int, revision: int, writes: Sequence[Write]) -> None:
        moved = PutRecord(_cursor_record(self.name, seq), if_revision=revision)
        await self.store.commit(SYSTEM, [*writes, moved])

    async def _try(self) -> int:
        """A batch; if it fails, smaller ones, then one at a time; if one fails for good, put it aside. 0: nothing to do just now."""
        try:
            number = await self._step(self._size)
        except Unavailable:
            self._wait = UNAVAILABLE_WAIT
            return 0
        except Exception as error:
            self._attempts += 1
            self._wait = 0.05 * 2**self._attempts
            logger().warning("consumer-failed", consumer=self.name, exc_type=type(error).__name__, attempt=self._attempts)
            if self._attempts >= ATTEMPTS:
                self._attempts = 0
                if self._size == 1:
                    await self._put_aside(error)
                else:
                    self._size = 1
            return 0
        self._attempts, self._wait = 0, 0.0
        self._size = min(self._size * 2, self.batch)
        return number

    async def _put_aside(self, error: Exception) -> None:
        after, revision = await self._cursor()
        for change in await self.store.feed(after, 1):
            body = {
                "seq": change.seq,
                "type": change.type,
                "id": change.id,
                "version": change.version,
                "error": type(error).__name__,
            }
            record = Record(ERROR, f"{self.name}-{change.seq:015d}", msgspec.json.encode(body), state="failed", tag=self.name)
            with suppress(Conflict):
                await self._commit(change.seq, revision, [PutRecord(record)])
            logger().error("consumer-put-aside", consumer=self.name, seq=change.seq, exc_type=type(error).__name__)

    async def _rest(self, stop: asyncio.Event) -> None:
        """Until the feed grows, or `stop`; a little while after a failure."""
        if self._wait:
            await _pause(stop, self._wait)
            return
        after, _ = await self._cursor()
        waiting = asyncio.create_task(self.store.wait_for_change(after, IDLE))
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait((waiting, stopping), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (waiting, stopping):
                task.cancel()
            await asyncio.gather(waiting, stopping, return_exceptions=True)
        if not stop.is_set():
            await _pause(stop, GATHER)


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)


def _cursor_record(name: str, seq: int) -> Record:
    return Record(CURSOR, name, msgspec.json.encode({"seq": seq}))

"""A lease: one holder at a time over all processes, and another takes over when the holder is gone.

A lease only saves double work. What must happen exactly once is guarded by compare-and-set in the commit itself. So a lease that ends further ahead
than any could was written by a clock that has been put right since: nobody waits for it.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import msgspec

from app import clock
from app.fhir.errors import Unavailable
from app.ids import new_id
from app.security.access import SYSTEM
from app.store.protocol import DeleteRecord, PutRecord, Record, RecordConflict, Store

KIND = "lease"


class Lease:
    """`await lease.hold()` before each piece of work; `release()` at the end."""

    def __init__(self, store: Store, name: str, seconds: float = 10.0) -> None:
        self._store = store
        self._name = name
        self._for = int(seconds * 1_000_000)
        self._body = msgspec.json.encode({"holder": new_id()})
        self._until = 0
        self._revision = 0

    async def hold(self) -> bool:
        """Take or renew it. False while another holds it. Costs a commit once in a third of its time, else nothing."""
        now = clock.micros()
        if self._for * 2 // 3 < self._until - now <= self._for:
            return True
        record = await self._store.get_record(SYSTEM, KIND, self._name)
        if record is not None and record.body != self._body and now < (record.due or 0) <= now + 2 * self._for:
            return False
        revision = record.revision if record else 0
        try:
            fresh = Record(KIND, self._name, self._body, due=now + self._for)
            await self._store.commit(SYSTEM, [PutRecord(fresh, if_revision=revision)])
        except RecordConflict:
            self._until = 0
            return False
        self._until, self._revision = now + self._for, revision + 1
        return True

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Renewed for as long as the block takes, which may be longer than a lease on a busy machine."""
        renewing = asyncio.create_task(self._renew())
        try:
            yield
        finally:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._for / 3_000_000)
            with suppress(Unavailable):
                await self.hold()

    async def release(self) -> None:
        """Let another take over at once."""
        if self._until:
            self._until = 0
            try:
                await self._store.commit(SYSTEM, [DeleteRecord(KIND, self._name, if_revision=self._revision)])
            except RecordConflict:
                return

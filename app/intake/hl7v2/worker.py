"""The worker maps what was stored and not mapped: enhanced-mode messages, and whatever a crash left behind.

Messages of one sender about one child are mapped in the order of arrival; different children do not wait for each other. A message that
fails goes to the work list, and the child's later messages go on: slots make their order immaterial.
"""

import asyncio
from collections import defaultdict

from app import clock
from app.fhir.errors import Unavailable
from app.intake.hl7v2.inbox import KIND, Inbox
from app.logs import logger
from app.security.access import SYSTEM
from app.store.lease import Lease
from app.store.protocol import Record

BATCH = 200
PARALLEL = 8


class Worker:
    """Started beside the listener; safe to start in several processes."""

    name = "hl7v2-worker"

    def __init__(self, inbox: Inbox, *, poll: float = 1.0) -> None:
        self._inbox, self._poll = inbox, poll
        self._lease = Lease(inbox.store, self.name)

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`. At the start also messages that are not due: nobody else may be mapping them."""
        first = True
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                self._inbox.stored.clear()
                try:
                    if await self._lease.hold():
                        await self.drain(everything=first, stop=stop)
                        first = False
                except Unavailable:
                    logger().warning("hl7-store-unavailable")
                arrived = asyncio.create_task(self._inbox.stored.wait())
                await asyncio.wait([stopping, arrived], timeout=self._poll, return_when=asyncio.FIRST_COMPLETED)
                arrived.cancel()
        finally:
            stopping.cancel()
            await self._lease.release()

    async def drain(self, *, everything: bool = False, stop: asyncio.Event | None = None) -> int:
        """Map all that wait (with `everything`: also those that a listener may just be mapping); the number mapped."""
        done, after = 0, None
        while stop is None or not stop.is_set():
            due = None if everything else clock.micros() + 1
            found = await self._inbox.store.find_records(SYSTEM, KIND, state="received", due_before=due, after=after, limit=BATCH)
            if not found:
                return done
            after = found[-1].key
            await self._batch(found)
            done += len(found)
        return done

    async def _batch(self, records: list[Record]) -> None:
        children: dict[str, list[Record]] = defaultdict(list)
        for record in records:
            children[record.tag].append(record)
        gate = asyncio.Semaphore(PARALLEL)

        async def child(queue: list[Record]) -> None:
            async with gate:
                for record in queue:
                    await self._inbox.process(record)

        await asyncio.gather(*map(child, children.values()))

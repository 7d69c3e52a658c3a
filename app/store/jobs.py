"""Jobs: work to be done later, as records, claimed by compare-and-set with a lease.

What must stay true: a job is done by one worker at a time; a worker that dies loses its job to another when the lease ends; a job that
keeps failing, or keeps killing its worker, stands as `failed` with its reason until somebody looks at it. A job may run twice, so its effects should join `complete`.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import msgspec

from app import clock
from app.fhir.codec import decode
from app.fhir.errors import Unavailable
from app.ids import new_id
from app.logs import logger
from app.security.access import SYSTEM
from app.store.protocol import DeleteRecord, PutRecord, Record, RecordConflict, Store, Write

SECOND = 1_000_000
MAX_BACKOFF = 3600 * SECOND


@dataclass(slots=True)
class Job:
    """One claimed job. `attempts` counts this one."""

    kind: str
    id: str
    data: Any
    attempts: int
    revision: int
    owner: str = ""


def job_write(kind: str, data: Any, *, due: int | None = None, id: str | None = None, owner: str = "") -> PutRecord:
    """A new job as a write, to join the commit that makes it necessary. With an `id` of one's own it is made only once."""
    body = msgspec.json.encode({"data": data, "attempts": 0})
    record = Record(f"job-{kind}", id or new_id(), body, state="queued", due=clock.micros() if due is None else due, owner=owner)
    return PutRecord(record, if_revision=0)


class Jobs:
    """The jobs of one kind. `lease` and `backoff` in seconds; the n-th failure waits `backoff` x 2^(n-1)."""

    def __init__(self, store: Store, kind: str, *, lease: float = 60.0, backoff: float = 1.0, max_attempts: int = 8) -> None:
        self.store = store
        self.kind = kind
        self._record_kind = f"job-{kind}"
        self._lease = int(lease * SECOND)
        self._backoff = int(backoff * SECOND)
        self._max_attempts = max_attempts

    async def enqueue(self, data: Any, *, due: int | None = None, id: str | None = None, owner: str = "") -> str:
        """The id of the job. Enqueuing an `id` that is there already changes nothing."""
        write = job_write(self.kind, data, due=due, id=id, owner=owner)
        with suppress(RecordConflict):
            await self.store.commit(SYSTEM, [write])
        return write.record.key

    async def claim(self, limit: int = 1) -> list[Job]:
        """At most `limit` jobs that are due, or whose worker's lease has ended."""
        now = clock.micros()
        claimed: list[Job] = []
        for state in ("queued", "running"):
            for record in await self.store.find_records(SYSTEM, self._record_kind, state=state, due_before=now, limit=limit * 4):
                if len(claimed) == limit:
                    return claimed
                if job := await self._claim(record, now):
                    claimed.append(job)
        return claimed

    async def _claim(self, record: Record, now: int) -> Job | None:
        body = decode(record.body)
        attempts = body["attempts"] + 1
        if attempts > self._max_attempts:  # each of its workers died of it
            with suppress(RecordConflict):
                await self.fail(
                    Job(self.kind, record.key, body["data"], attempts - 1, record.revision, record.owner), "abandoned"
                )
            return None
        taken = Record(
            record.kind, record.key, _body(body["data"], attempts), state="running", due=now + self._lease, owner=record.owner
        )
        try:
            await self.store.commit(SYSTEM, [PutRecord(taken, if_revision=record.revision)])
        except RecordConflict:
            return None
        return Job(self.kind, record.key, body["data"], attempts, record.revision + 1, record.owner)

    async def extend(self, job: Job) -> None:
        """Ask for another lease. Raises RecordConflict where the job is another's by now."""
        record = Record(
            self._record_kind,
            job.id,
            _body(job.data, job.attempts),
            state="running",
            due=clock.micros() + self._lease,
            owner=job.owner,
        )
        await self.store.commit(SYSTEM, [PutRecord(record, if_revision=job.revision)])
        job.revision += 1

    async def complete(self, job: Job, writes: Sequence[Write] = ()) -> None:
        """Done: its `writes` and its end are one commit. Raises RecordConflict where the job is another's by now."""
        await self.store.commit(SYSTEM, [*writes, DeleteRecord(self._record_kind, job.id, if_revision=job.revision)])

    async def fail(self, job: Job, reason: str, *, for_good: bool = False) -> None:
        """Try again later, or (after `max_attempts`, or `for_good`) keep it as `failed`. `reason` must carry no personal data."""
        dead = for_good or job.attempts >= self._max_attempts
        wait = min(self._backoff << (job.attempts - 1), MAX_BACKOFF)
        record = Record(
            self._record_kind,
            job.id,
            _body(job.data, job.attempts, reason),
            state="failed" if dead else "queued",
            due=None if dead else clock.micros() + wait,
            owner=job.owner,
        )
        await self.store.commit(SYSTEM, [PutRecord(record, if_revision=job.revision)])

    async def revive(self, id: str) -> bool:
        """Queue a failed job again, with its attempts forgotten."""
        record = await self.store.get_record(SYSTEM, self._record_kind, id)
        if record is None or record.state != "failed":
            return False
        fresh = Record(
            record.kind, id, _body(decode(record.body)["data"], 0), state="queued", due=clock.micros(), owner=record.owner
        )
        await self.store.commit(SYSTEM, [PutRecord(fresh, if_revision=record.revision)])
        return True

    async def work(self, handle: Callable[[Job], Awaitable[Sequence[Write]]], limit: int = 10) -> int:
        """Claim and do what is due now, one after another; how many were tried. An exception of `handle` is a failure of that job alone.

        Raises Unavailable where the store cannot be reached: the job is tried again when its lease has ended.
        """
        for done in range(limit):
            jobs = await self.claim()
            if not jobs:
                return done
            await self._do(jobs[0], handle)
        return limit

    async def _do(self, job: Job, handle: Callable[[Job], Awaitable[Sequence[Write]]]) -> None:
        try:
            async with self._kept(job):
                writes = await handle(job)
            await self.complete(job, writes)
        except RecordConflict:
            logger().warning("job-lost", job=job.id, kind=self.kind)
        except Unavailable:
            raise
        except Exception as error:
            logger().warning("job-failed", job=job.id, kind=self.kind, attempt=job.attempts, exc_type=type(error).__name__)
            with suppress(RecordConflict):
                await self.fail(job, type(error).__name__)

    @asynccontextmanager
    async def _kept(self, job: Job) -> AsyncIterator[None]:
        """The lease is renewed for as long as the block takes."""
        done = asyncio.Event()
        renewing = asyncio.create_task(self._renew(job, done))
        try:
            yield
        finally:
            done.set()  # not cancelled: a renewal under way would leave a revision that nobody knows
            await renewing

    async def _renew(self, job: Job, done: asyncio.Event) -> None:
        while not done.is_set():
            try:
                await asyncio.wait_for(done.wait(), self._lease / SECOND / 3)
            except TimeoutError:
                with suppress(Unavailable):
                    try:
                        await self.extend(job)
                    except RecordConflict:  # another's by now, as `complete` will find
                        return

    async def run_worker(
        self, handle: Callable[[Job], Awaitable[Sequence[Write]]], stop: asyncio.Event, *, limit: int = 10, rest: float = 1.0
    ) -> None:
        """Work until `stop`; looks for due jobs every `rest` seconds when there are none, or no store."""
        while not stop.is_set():
            tried = 0
            with suppress(Unavailable):
                tried = await self.work(handle, limit)
            if not tried:
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), rest)


def _body(data: Any, attempts: int, reason: str | None = None) -> bytes:
    return msgspec.json.encode({"data": data, "attempts": attempts} | ({"reason": reason} if reason else {}))

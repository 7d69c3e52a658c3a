"""Jobs: one worker at a time, taken over when it dies, put aside when it keeps failing."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest

from app.fhir.errors import Unavailable
from app.security.access import SYSTEM
from app.store.jobs import Job, Jobs, job_write
from app.store.protocol import Put, PutRecord, Record, RecordConflict, Store, Write
from tests.contract.builders import patient


class Clock:
    now = 1_000_000_000_000


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    held = Clock()
    monkeypatch.setattr("app.clock.micros", lambda: held.now)
    return held


async def test_a_job_is_claimed_once_by_many(store: Store) -> None:
    jobs = Jobs(store, "send")
    for n in range(10):
        await jobs.enqueue({"n": n})
    claimed = await asyncio.gather(*(Jobs(store, "send").claim(10) for _ in range(8)))
    numbers = [job.data["n"] for some in claimed for job in some]
    assert sorted(numbers) == list(range(10))


async def test_a_job_waits_until_it_is_due(store: Store, clock: Clock) -> None:
    jobs = Jobs(store, "send")
    await jobs.enqueue("later", due=clock.now + 5_000_000)
    assert await jobs.claim() == []
    clock.now += 5_000_000
    assert [job.data for job in await jobs.claim()] == ["later"]


async def test_an_id_of_ones_own_makes_a_job_only_once(store: Store) -> None:
    jobs = Jobs(store, "send")
    assert await jobs.enqueue("a", id="x") == await jobs.enqueue("b", id="x") == "x"
    assert [job.data for job in await jobs.claim(5)] == ["a"]


async def test_a_job_may_join_a_commit(store: Store) -> None:
    await store.commit(SYSTEM, [Put(patient("a")), job_write("send", {"to": "Patient/a"})])
    assert [job.data for job in await Jobs(store, "send").claim()] == [{"to": "Patient/a"}]


async def test_the_job_of_a_dead_worker_goes_to_another(store: Store, clock: Clock) -> None:
    jobs = Jobs(store, "send", lease=60)
    await jobs.enqueue("x")
    (first,) = await jobs.claim()
    clock.now += 59_000_000
    assert await jobs.claim() == []
    await jobs.extend(first)
    clock.now += 59_000_000
    assert await jobs.claim() == []
    clock.now += 2_000_000
    (second,) = await jobs.claim()
    assert (second.id, second.attempts) == (first.id, 2)
    for late in (jobs.complete(first, [Put(patient("a"))]), jobs.extend(first), jobs.fail(first, "late")):
        with pytest.raises(RecordConflict):
            await late
    assert await store.feed_head() == 0
    await jobs.complete(second, [Put(patient("a"))])
    assert await store.feed_head() == 1
    assert await store.count_records(SYSTEM, "job-send") == 0


async def test_failures_wait_longer_each_time_then_stand(store: Store, clock: Clock) -> None:
    jobs = Jobs(store, "send", backoff=1, max_attempts=3)
    id = await jobs.enqueue("x")
    for wait in (1_000_000, 2_000_000):
        (job,) = await jobs.claim()
        await jobs.fail(job, "refused")
        clock.now += wait - 1
        assert await jobs.claim() == []
        clock.now += 1
    (job,) = await jobs.claim()
    await jobs.fail(job, "refused")
    clock.now += 10**12
    assert await jobs.claim() == []
    (failed,) = await store.find_records(SYSTEM, "job-send", state="failed")
    assert failed.data["reason"] == "refused"
    assert await jobs.revive(id)
    assert not await jobs.revive("never")
    assert [(job.data, job.attempts) for job in await jobs.claim()] == [("x", 1)]


async def test_a_worker_isolates_the_job_that_fails(store: Store) -> None:
    jobs = Jobs(store, "send")
    for n in range(5):
        await jobs.enqueue(n)
    stop = asyncio.Event()

    async def handle(job: Job) -> Sequence[Write]:
        if job.data == 2:
            raise ValueError("no")
        if job.data == 4:
            stop.set()
        return [PutRecord(Record("done", str(job.data)))]

    await asyncio.wait_for(jobs.run_worker(handle, stop), 20)
    assert [record.key for record in await store.find_records(SYSTEM, "done")] == ["0", "1", "3", "4"]
    (left,) = await store.find_records(SYSTEM, "job-send")
    assert (left.state, left.data["reason"]) == ("queued", "ValueError")


async def test_a_job_that_takes_longer_than_a_lease_is_done_once(store: Store) -> None:
    jobs = Jobs(store, "export", lease=0.3)
    await jobs.enqueue("x")
    begun: list[int] = []

    async def handle(job: Job) -> Sequence[Write]:
        begun.append(job.attempts)
        await asyncio.sleep(1.0)
        return [PutRecord(Record("done", job.data), if_revision=0)]

    assert sorted(await asyncio.gather(jobs.work(handle), _looking(jobs, handle))) == [0, 1]
    assert begun == [1]
    assert [record.key for record in await store.find_records(SYSTEM, "done")] == ["x"]
    assert await store.count_records(SYSTEM, "job-export") == 0


async def _looking(jobs: Jobs, handle: Callable[[Job], Awaitable[Sequence[Write]]]) -> int:
    """What another worker does of it, who looks ten times in a second."""
    await asyncio.sleep(0.1)
    done = 0
    for _ in range(8):
        done += await jobs.work(handle)
        await asyncio.sleep(0.1)
    return done


async def test_a_job_that_kills_its_workers_is_put_aside(store: Store, clock: Clock) -> None:
    jobs = Jobs(store, "send", lease=60, max_attempts=3)
    await jobs.enqueue("x")
    for attempt in (1, 2, 3):
        assert [job.attempts for job in await jobs.claim()] == [attempt]
        clock.now += 61_000_000
    assert await jobs.claim() == []
    (failed,) = await store.find_records(SYSTEM, "job-send", state="failed")
    assert (failed.data["reason"], failed.data["attempts"]) == ("abandoned", 3)


async def test_a_worker_outlives_a_store_that_is_away(store: Store) -> None:
    jobs = Jobs(store, "send", lease=0.2)
    await jobs.enqueue("x")
    stop = asyncio.Event()
    tried: list[int] = []

    async def handle(job: Job) -> Sequence[Write]:
        tried.append(job.attempts)
        if job.attempts == 1:
            raise Unavailable("The store cannot be reached just now; try again.")
        stop.set()
        return [PutRecord(Record("done", job.data))]

    await asyncio.wait_for(jobs.run_worker(handle, stop, rest=0.05), 20)
    assert tried == [1, 2]
    assert [record.key for record in await store.find_records(SYSTEM, "done")] == ["x"]

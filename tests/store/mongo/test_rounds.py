"""Commits that share a transaction do not share a fate."""

import asyncio

import pytest
from pymongo import monitoring

from app.fhir.errors import TooLarge, Unavailable
from app.security.access import SYSTEM
from app.store.mongo import rounds
from app.store.mongo.transaction import Job, Round
from app.store.protocol import Guard, Put, PutRecord, Record, VersionConflict
from tests.contract.builders import by_identifier, patient
from tests.support import MongoStore

MB = 1 << 20


# The server refuses it; the server refuses it as one of several; the driver does not even send it.
@pytest.mark.parametrize("size", [17 * MB, 16 * MB + 4000, 46 * MB])
async def test_one_that_is_too_large_fails_alone(store: MongoStore, size: int) -> None:
    huge = patient("huge", text={"status": "generated", "div": "x" * size})
    outcomes = await asyncio.gather(
        *(store.commit(SYSTEM, [Put(huge if n == 5 else patient(f"p{n}"))]) for n in range(12)), return_exceptions=True
    )
    assert [n for n, outcome in enumerate(outcomes) if not isinstance(outcome, list)] == [5]
    assert isinstance(outcomes[5], TooLarge)
    assert await store.feed_head() == 11
    assert await store.check() == []


async def test_large_ones_at_once_all_pass(store: MongoStore) -> None:
    """Each passes alone; all in one transaction MongoDB refuses."""
    made = [{"resourceType": "Binary", "id": f"b{n}", "contentType": "application/pdf", "data": "QUJD" * MB} for n in range(12)]
    outcomes = await asyncio.gather(*(store.commit(SYSTEM, [Put(one)]) for one in made), return_exceptions=True)
    assert [outcome for outcome in outcomes if not isinstance(outcome, list)] == []


async def test_a_round_has_a_bound_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[list[int]] = []

    async def work(jobs: list[Job], patience: float) -> None:
        done.append([job.size() for job in jobs])

    monkeypatch.setattr(rounds, "MAX_BYTES", 100)
    together = rounds.Rounds(work)
    sizes = [40, 40, 40, 300, 1, 1]
    kept = [PutRecord(Record("kind", str(n), b"x" * size)) for n, size in enumerate(sizes)]
    await asyncio.gather(*(together.submit(Job(SYSTEM, [one], ())) for one in kept))
    assert done == [[40, 40, 1, 1], [40], [300]]


async def test_those_whose_commits_ended_together_leave_together() -> None:
    done: list[int] = []

    async def work(jobs: list[Job], patience: float) -> None:
        done.append(len(jobs))
        await asyncio.sleep(0.001)

    together = rounds.Rounds(work)

    async def writer(number: int) -> None:
        for _ in range(10):
            await together.submit(Job(SYSTEM, [PutRecord(Record("kind", str(number)))], ()))

    await asyncio.gather(*map(writer, range(16)))
    assert done == [16] * 10


async def test_who_waited_too_long_is_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    """And who was begun is not told before it is known what came of it."""
    begun: list[Job] = []

    async def work(jobs: list[Job], patience: float) -> None:
        begun.extend(jobs)
        await asyncio.sleep(0.2)
        for job in jobs:
            job.outcome = []

    monkeypatch.setattr(rounds, "AT_ONCE", 1)
    together = rounds.Rounds(work)
    now = asyncio.get_running_loop().time()
    jobs = [Job(SYSTEM, [PutRecord(Record("kind", "same"))], (), now + seconds) for seconds in (0.1, 0.1, 60)]
    outcomes = await asyncio.gather(*map(together.submit, jobs), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [list, Unavailable, list]
    assert begun == [jobs[0], jobs[2]]


async def test_what_mongodb_takes_in_no_transaction_is_told_so(store: MongoStore) -> None:
    made = [{"resourceType": "Binary", "id": f"b{n}", "contentType": "application/pdf", "data": "QUJD" * MB} for n in range(24)]
    with pytest.raises(TooLarge, match="transaction"):
        await store.commit(SYSTEM, [Put(one) for one in made])
    assert await store.counts(SYSTEM) == {}


async def test_one_that_fails_for_no_known_reason_fails_alone(store: MongoStore, monkeypatch: pytest.MonkeyPatch) -> None:
    judge = Round._judge

    def judged(self: Round, job: Job) -> None:
        judge(self, job)
        if "Patient/p5" in job.names():
            raise OverflowError("not to be written")

    monkeypatch.setattr(Round, "_judge", judged)
    outcomes = await asyncio.gather(*(store.commit(SYSTEM, [Put(patient(f"p{n}"))]) for n in range(12)), return_exceptions=True)
    assert [n for n, outcome in enumerate(outcomes) if isinstance(outcome, OverflowError)] == [5]
    assert await store.counts(SYSTEM) == {"Patient": 11}


async def test_one_that_conflicts_fails_alone(store: MongoStore) -> None:
    outcomes = await asyncio.gather(
        *(store.commit(SYSTEM, [Put(patient(f"p{n}"), if_version=n % 2)]) for n in range(12)), return_exceptions=True
    )
    assert [isinstance(outcome, VersionConflict) for outcome in outcomes] == [False, True] * 6
    assert await store.feed_head() == 6


async def test_what_a_dead_node_has_locked_holds_up_nobody_else(store: MongoStore) -> None:
    """MongoDB keeps what a node was writing when it died for half a minute. Until then only who writes the same waits; then it is stored."""

    async def guarded_by(number: int, id: str) -> object:
        return await store.commit(SYSTEM, [Put(patient(id, str(number)))], [Guard(by_identifier(str(number)))])

    await store.commit(SYSTEM, [Put(patient("locked")), Put(patient("guarded"))])
    async with store._client.start_session() as dead:
        await dead.start_transaction(write_concern=store._db.write_concern)
        for name in ("locked", "guarded"):
            await store._db.resource.update_one({"_id": f"Patient/{name}"}, {"$set": {"dead": True}}, session=dead)
        locked = asyncio.create_task(store.commit(SYSTEM, [Put(patient("locked", "Later"))]))
        guarded = [asyncio.create_task(guarded_by(n, "guarded")) for n in range(2)]
        others = [store.commit(SYSTEM, [Put(patient(f"p{n}"))]) for n in range(100)]  # some share the round
        guards = [guarded_by(n, f"g{n}") for n in range(10, 30)]
        assert all(isinstance(outcome, list) for outcome in await asyncio.gather(*others, *guards))
        assert not locked.done() and not any(task.done() for task in guarded)
        await dead.abort_transaction()
    (stored,) = await locked
    assert stored is not None and stored.version == 2
    await asyncio.gather(*guarded)
    assert await store.feed_head() == 2 + 120 + 3
    assert await store.check() == []


async def test_commits_at_once_share_transactions(store: MongoStore, mongodb: str) -> None:
    """What makes many writers cheap: far fewer transactions than commits."""

    class Counter(monitoring.CommandListener):
        commits = 0

        def started(self, event: monitoring.CommandStartedEvent) -> None:
            self.commits += event.command_name == "commitTransaction"

        def succeeded(self, event: monitoring.CommandSucceededEvent) -> None: ...

        def failed(self, event: monitoring.CommandFailedEvent) -> None: ...

    counter = Counter()
    other = MongoStore(store._secret_url + "")
    await other.open()
    await other._client.close()
    other._client = type(store._client)(store._secret_url, event_listeners=[counter])
    other._db = other._client.get_database(store._db.name).with_options(
        write_concern=store._db.write_concern, read_concern=store._db.read_concern
    )
    await asyncio.gather(*(other.commit(SYSTEM, [Put(patient(f"p{n}"))]) for n in range(64)))
    await other.close()
    assert 1 <= counter.commits <= 8
    assert await store.feed_head() == 64

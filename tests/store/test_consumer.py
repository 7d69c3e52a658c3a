"""Consumers: each change takes effect once, whatever fails in between."""

import asyncio
from collections.abc import Sequence

import pytest

from app.fhir.errors import Unavailable
from app.security.access import SYSTEM
from app.store.consumer import ERROR, Consumer
from app.store.lease import Lease
from app.store.protocol import Change, Put, PutRecord, Record, Store, Write
from tests.contract.builders import patient


class Counting(Consumer):
    """Keeps, for each change, how often it took effect."""

    name = "counting"
    batch = 7

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.handled: list[int] = []

    async def handle(self, changes: list[Change]) -> Sequence[Write]:
        self.handled += [change.seq for change in changes]
        writes: list[Write] = []
        for change in changes:
            before = await self.store.get_record(SYSTEM, "effect", str(change.seq))
            times = before.data + 1 if before else 1
            writes.append(PutRecord(Record("effect", str(change.seq), b"%d" % times)))
        return writes


async def fill(store: Store, number: int, prefix: str = "p") -> None:
    await store.commit(SYSTEM, [Put(patient(f"{prefix}{n}")) for n in range(number)])


async def effects(store: Store) -> list[int]:
    return [record.data for record in await store.find_records(SYSTEM, "effect", limit=10_000)]


async def reaches(consumer: Consumer, seq: int) -> None:
    async with asyncio.timeout(20):
        while await consumer.position() < seq:
            await asyncio.sleep(0.005)


async def test_draining_takes_every_change_once_and_goes_on_where_it_was(store: Store) -> None:
    await fill(store, 20)
    assert await Counting(store).drain() == 20
    await fill(store, 3, "q")
    again = Counting(store)
    assert await again.drain() == 3
    assert again.handled == [21, 22, 23]
    assert await effects(store) == [1] * 23


async def test_rebuilding_begins_anew(store: Store) -> None:
    await fill(store, 5)
    consumer = Counting(store)
    await consumer.drain()
    await consumer.rebuild()
    assert await consumer.drain() == 5
    assert await effects(store) == [2] * 5


async def test_many_runners_have_one_effect(store: Store) -> None:
    await fill(store, 40)
    consumers = [Counting(store) for _ in range(5)]
    stop = asyncio.Event()
    running = [asyncio.create_task(consumer.run(stop)) for consumer in consumers]
    await reaches(consumers[0], 40)
    await fill(store, 10, "q")
    await reaches(consumers[0], 50)
    stop.set()
    await asyncio.gather(*running)
    assert await effects(store) == [1] * 50
    assert sum(bool(consumer.handled) for consumer in consumers) == 1


async def test_racing_without_lease_still_has_one_effect(store: Store) -> None:
    await fill(store, 60)
    await asyncio.gather(*(Counting(store).drain() for _ in range(2)))
    assert await effects(store) == [1] * 60


async def test_another_takes_over_from_one_that_stopped(store: Store) -> None:
    first, second = Counting(store), Counting(store)
    for consumer, upto, prefix in ((first, 5, "a"), (second, 10, "b")):
        stop = asyncio.Event()
        running = asyncio.create_task(consumer.run(stop))
        await fill(store, 5, prefix)
        await reaches(consumer, upto)
        stop.set()
        await running
    assert (first.handled, second.handled) == ([1, 2, 3, 4, 5], [6, 7, 8, 9, 10])


async def test_a_change_that_cannot_be_handled_is_put_aside_and_blocks_nothing(store: Store) -> None:
    class Picky(Counting):
        async def handle(self, changes: list[Change]) -> Sequence[Write]:
            if any(change.id == "p3" for change in changes):
                raise ValueError("bad")
            return await super().handle(changes)

    await fill(store, 10)
    consumer, stop = Picky(store), asyncio.Event()
    running = asyncio.create_task(consumer.run(stop))
    await reaches(consumer, 10)
    stop.set()
    await running
    aside = await store.find_records(SYSTEM, ERROR, tag="counting")
    assert [(record.data["id"], record.data["error"]) for record in aside] == [("p3", "ValueError")]
    assert sorted(await effects(store)) == [1] * 9


async def test_draining_tells_of_an_error(store: Store) -> None:
    class Broken(Counting):
        async def handle(self, changes: list[Change]) -> Sequence[Write]:
            raise ValueError("bad")

    await fill(store, 1)
    with pytest.raises(ValueError, match="bad"):
        await Broken(store).drain()
    assert await Broken(store).position() == 0


async def test_a_lease_has_one_holder_until_it_ends(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    time = 1_000_000_000
    monkeypatch.setattr("app.clock.micros", lambda: time)
    one, other = Lease(store, "x", 10), Lease(store, "x", 10)
    assert [await one.hold(), await other.hold(), await one.hold()] == [True, False, True]
    time += 9_000_000
    assert [await one.hold(), await other.hold()] == [True, False]
    time += 11_000_000
    assert [await other.hold(), await one.hold()] == [True, False]
    await one.release()
    assert await other.hold()
    await other.release()
    assert await one.hold()


async def test_a_lease_is_kept_for_as_long_as_the_work_takes(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    time = 10**15
    monkeypatch.setattr("app.clock.micros", lambda: time)
    one, other = Lease(store, "x", 0.03), Lease(store, "x", 0.03)
    assert await one.hold()
    async with one.kept():
        for _ in range(5):
            time += 20_000
            while (await renewed(store)).due != time + 30_000:
                await asyncio.sleep(0)
            assert not await other.hold()
    time += 40_000
    assert await other.hold()


async def renewed(store: Store) -> Record:
    record = await store.get_record(SYSTEM, "lease", "x")
    assert record is not None
    return record


async def test_to_be_overtaken_is_no_failure_of_the_changes(store: Store) -> None:
    class Slow(Counting):
        async def handle(self, changes: list[Change]) -> Sequence[Write]:
            if not overtaking:
                overtaking.append(True)
                await Counting(store).drain()  # another process, on the same changes
                overtaking.clear()
            return await super().handle(changes)

    overtaking: list[bool] = []
    slow = Slow(store)
    slow._size = 1
    for n in range(5):
        await store.commit(SYSTEM, [Put(patient(f"p{n}"))])
        assert await slow._try() == 1
    assert await slow.position() == 5
    assert await store.find_records(SYSTEM, "consumer-error") == []


async def test_a_lease_outlives_no_clock_that_is_put_right(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    time = 10**15
    monkeypatch.setattr("app.clock.micros", lambda: time)
    one, other = Lease(store, "x", 10), Lease(store, "x", 10)
    assert [await one.hold(), await other.hold()] == [True, False]
    time -= 5 * 3600 * 10**6
    assert [await one.hold(), await other.hold()] == [True, False]  # the holder renews it by the new time
    time -= 5 * 3600 * 10**6
    assert [await other.hold(), await one.hold()] == [True, False]  # the holder died; nobody waits five hours
    time += 10 * 3600 * 10**6
    assert [await other.hold(), await one.hold()] == [True, False]
    time -= 1_000_000
    assert [await other.hold(), await one.hold()] == [True, False]  # a second between two machines is no reason to take it


async def test_a_store_that_fails_for_a_while_holds_nothing_up_for_good(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.store.consumer.UNAVAILABLE_WAIT", 0.01)

    class Fragile(Counting):
        failures = 3

        async def handle(self, changes: list[Change]) -> Sequence[Write]:
            if self.failures:
                self.failures -= 1
                raise Unavailable("The disk is full.")
            return await super().handle(changes)

    await fill(store, 5)
    consumer, stop = Fragile(store), asyncio.Event()
    running = asyncio.create_task(consumer.run(stop))
    await reaches(consumer, 5)
    stop.set()
    await running
    assert consumer.handled == [1, 2, 3, 4, 5]
    assert await store.find_records(SYSTEM, ERROR) == []

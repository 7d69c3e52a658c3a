"""Many at once: one winner, no gap, nothing half done."""

import asyncio

import pytest

from app.security.access import SYSTEM
from app.store.protocol import Guard, GuardFailed, Put, PutRecord, Record, RecordConflict, Store, VersionConflict
from tests.contract.builders import by_identifier, identified, observation, patient


async def outcomes(*attempts):
    return await asyncio.gather(*attempts, return_exceptions=True)


async def test_of_fifty_conditional_creates_one_wins(store: Store) -> None:
    for round_ in range(5):
        plan = by_identifier(f"n{round_}")
        found = await outcomes(
            *(store.commit(SYSTEM, [Put(identified(f"p{round_}-{n}", f"n{round_}"))], [Guard(plan)]) for n in range(50))
        )
        assert sum(isinstance(one, list) for one in found) == 1
        assert sum(isinstance(one, GuardFailed) for one in found) == 49
        assert len((await store.search(SYSTEM, plan)).matches) == 1


async def test_a_guard_that_expects_what_is_there_holds(store: Store) -> None:
    plan = by_identifier("n")
    await store.commit(SYSTEM, [Put(identified("a", "n"))], [Guard(plan)])
    await store.commit(SYSTEM, [Put(identified("a", "n", gender="male"))], [Guard(plan, frozenset({"Patient/a"}))])
    for expects in (frozenset(), frozenset({"Patient/b"}), frozenset({"Patient/a", "Patient/b"})):
        with pytest.raises(GuardFailed):
            await store.commit(SYSTEM, [Put(identified("a", "n"))], [Guard(plan, expects)])
    assert (await store.read(SYSTEM, "Patient", "a")).version == 2


async def test_a_guard_looks_beyond_one_page(store: Store) -> None:
    await store.commit(SYSTEM, [Put(identified(f"a{n}", "same")) for n in range(120)])
    everyone = frozenset(f"Patient/a{n}" for n in range(120))
    await store.commit(SYSTEM, [Put(patient("z"))], [Guard(by_identifier("same"), everyone)])


async def test_of_fifty_updates_of_one_version_one_wins(store: Store) -> None:
    await store.commit(SYSTEM, [Put(patient("a"))])
    for version in range(1, 5):
        found = await outcomes(*(store.commit(SYSTEM, [Put(patient("a", f"N{n}"), if_version=version)]) for n in range(50)))
        assert sum(isinstance(one, list) for one in found) == 1
        assert sum(isinstance(one, VersionConflict) for one in found) == 49
    assert (await store.read(SYSTEM, "Patient", "a")).version == 5


async def test_of_fifty_record_writes_of_one_revision_one_wins(store: Store) -> None:
    for revision in range(4):
        found = await outcomes(
            *(store.commit(SYSTEM, [PutRecord(Record("k", "x", b"%d" % n), if_revision=revision)]) for n in range(50))
        )
        assert sum(isinstance(one, list) for one in found) == 1
        assert sum(isinstance(one, RecordConflict) for one in found) == 49


async def test_the_feed_has_no_gaps_while_commits_fail_and_succeed(store: Store) -> None:
    seen: list[int] = []

    async def follow() -> None:
        while len(seen) < 300:
            await store.wait_for_change(seen[-1] if seen else 0, 5)
            seen.extend(change.seq for change in await store.feed(seen[-1] if seen else 0))

    async def write(n: int) -> None:
        writes = [Put(patient(f"p{n}")), Put(observation(f"o{n}", f"p{n}"))]
        if n % 3 == 0:
            writes.append(Put(patient("never"), if_version=7))
        await store.commit(SYSTEM, writes)

    reader = asyncio.create_task(follow())
    found = await outcomes(*(write(n) for n in range(225)))
    assert sum(isinstance(one, VersionConflict) for one in found) == 75
    await asyncio.wait_for(reader, 20)
    assert seen == list(range(1, 301))
    assert await store.feed_head() == 300
    assert await store.check() == []


async def test_commits_at_once_to_one_resource_number_its_versions(store: Store) -> None:
    await asyncio.gather(*(store.commit(SYSTEM, [Put(patient("a", f"N{n}"))]) for n in range(60)))
    history = await store.history(SYSTEM, "Patient", "a", count=100)
    assert [stored.version for stored in history.matches] == list(range(60, 0, -1))
    assert await store.check() == []


async def test_a_caller_who_goes_away_leaves_the_store_whole(store: Store) -> None:
    tasks = [asyncio.create_task(store.commit(SYSTEM, [Put(patient(f"p{n}")), Put(patient(f"q{n}"))])) for n in range(40)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    await outcomes(*tasks)
    await store.commit(SYSTEM, [Put(patient("last"))])
    there = {change.id for change in await store.feed(0)}
    assert all((f"p{n}" in there) == (f"q{n}" in there) for n in range(40))
    assert {f"p{n}" for n in range(1, 40, 2)} <= there
    assert await store.check() == []


async def test_waiting_ends_with_a_change_and_with_time(store: Store) -> None:
    assert await store.wait_for_change(0, 0.01) is False
    waiting = asyncio.create_task(store.wait_for_change(0, 20))
    await asyncio.sleep(0)
    await store.commit(SYSTEM, [PutRecord(Record("k", "x"))])
    assert not waiting.done()
    await store.commit(SYSTEM, [Put(patient("a"))])
    assert await asyncio.wait_for(waiting, 5) is True
    assert await store.wait_for_change(0, 0) is True

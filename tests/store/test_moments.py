"""Reads of one pass of the event loop share a snapshot, and none of them is later than what its reader knows."""

import asyncio
from pathlib import Path

import pytest

from app.fhir.search.types import Plan
from app.security.access import SYSTEM
from app.store.protocol import Put
from app.store.sqlite.store import SQLiteStore
from tests.contract.builders import patient
from tests.support import open_test_store


async def reading(tmp_path: Path) -> SQLiteStore:
    store = await open_test_store(tmp_path)
    assert isinstance(store, SQLiteStore)
    await store.commit(SYSTEM, [Put(patient("a"))])
    return store


def within(store: SQLiteStore) -> bool:
    return store._reading.in_transaction


async def test_a_single_read_takes_no_transaction_and_several_take_one_that_ends_with_the_pass(tmp_path: Path) -> None:
    store = await reading(tmp_path)
    await store.read(SYSTEM, "Patient", "a")
    assert not within(store)
    await store.read(SYSTEM, "Patient", "a")
    assert within(store)
    await asyncio.sleep(0)
    assert not within(store)
    await store.read_many(SYSTEM, ["Patient/a", "Patient/b", "Patient/c"])
    assert within(store)
    await store.search(SYSTEM, Plan(("Patient",)))
    assert not within(store)
    await store.close()


async def test_what_another_process_commits_meanwhile_is_seen_from_the_next_pass_on(tmp_path: Path) -> None:
    """And not half way through one, once its second read has begun a snapshot: this is what makes the test below worth its while."""
    store, other = await reading(tmp_path), await open_test_store(tmp_path)
    committing = asyncio.create_task(other.commit(SYSTEM, [Put(patient("a"))]))
    versions = set()
    while not committing.done():
        versions.add((await store.read(SYSTEM, "Patient", "a")).version)
        of_one_pass = {(await store.read(SYSTEM, "Patient", "a")).version for _ in range(50)}
        assert len(of_one_pass) == 1
        versions |= of_one_pass
        await asyncio.sleep(0)
    assert (await store.read(SYSTEM, "Patient", "a")).version == 2
    assert versions <= {1, 2}
    await store.close()
    await other.close()


@pytest.mark.parametrize("readers", [1, 16])
async def test_who_was_told_of_a_commit_reads_it(tmp_path: Path, readers: int) -> None:
    """Writers and readers on two stores of one file, as two workers are: nobody reads less than was acknowledged before it asked."""
    stores = [await reading(tmp_path), await open_test_store(tmp_path)]
    acknowledged, end = 1, asyncio.Event()

    async def write() -> None:
        nonlocal acknowledged
        for number in range(200):
            (stored,) = await stores[number % 2].commit(SYSTEM, [Put(patient("a"))])
            assert stored is not None
            acknowledged = stored.version
            assert (await stores[1 - number % 2].read(SYSTEM, "Patient", "a")).version >= acknowledged
        end.set()

    async def read(store: SQLiteStore) -> None:
        while not end.is_set():
            known = acknowledged
            assert (await store.read(SYSTEM, "Patient", "a")).version >= known
            await asyncio.sleep(0)

    await asyncio.gather(write(), *(read(stores[number % 2]) for number in range(readers)))  # type: ignore[arg-type]
    for store in stores:
        await store.close()


async def test_a_store_closes_in_the_middle_of_a_pass(tmp_path: Path) -> None:
    store = await reading(tmp_path)
    await store.read_many(SYSTEM, ["Patient/a", "Patient/b"])
    assert within(store)
    await store.close()

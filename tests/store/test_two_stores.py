"""Two stores open on one database, each with its own writer, as in two worker processes: one truth."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.security.access import SYSTEM
from app.store.protocol import Guard, GuardFailed, Put, PutRecord, Record, RecordConflict, Store
from tests.contract.builders import by_identifier, identified, patient
from tests.support import open_mongo_store, open_test_store


@pytest.fixture(params=["sqlite", "mongodb"])
async def pair(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[Store, Store]]:
    if request.param == "sqlite":
        one, other = await open_test_store(tmp_path), await open_test_store(tmp_path)
    else:
        url = request.getfixturevalue("mongodb")
        one, other = await open_mongo_store(url), await open_mongo_store(url)
    yield one, other
    await one.close()
    await other.close()


async def test_a_commit_of_one_is_seen_by_the_other_at_once(pair: tuple[Store, Store]) -> None:
    one, other = pair
    for n in range(20):
        await one.commit(SYSTEM, [Put(identified("a", str(n)))])
        assert (await other.read(SYSTEM, "Patient", "a")).version == n + 1
        assert len((await other.search(SYSTEM, by_identifier(str(n)))).matches) == 1


async def test_conditional_creates_through_both_have_one_winner(pair: tuple[Store, Store]) -> None:
    for round_ in range(5):
        plan = by_identifier(f"n{round_}")
        outcomes = await asyncio.gather(
            *(pair[n % 2].commit(SYSTEM, [Put(identified(f"p{round_}-{n}", f"n{round_}"))], [Guard(plan)]) for n in range(50)),
            return_exceptions=True,
        )
        assert sum(isinstance(one, list) for one in outcomes) == 1
        assert sum(isinstance(one, GuardFailed) for one in outcomes) == 49


async def test_the_feed_of_both_has_no_gaps(pair: tuple[Store, Store]) -> None:
    await asyncio.gather(*(pair[n % 2].commit(SYSTEM, [Put(patient(f"p{n % 30}")), Put(patient(f"q{n}"))]) for n in range(200)))
    for store in pair:
        assert [change.seq for change in await store.feed(0, 1000)] == list(range(1, 401))
        assert await store.check() == []


async def test_one_revision_is_taken_once(pair: tuple[Store, Store]) -> None:
    outcomes = await asyncio.gather(
        *(pair[n % 2].commit(SYSTEM, [PutRecord(Record("k", "x"), if_revision=0)]) for n in range(20)), return_exceptions=True
    )
    assert sum(isinstance(one, RecordConflict) for one in outcomes) == 19


async def test_waiting_notices_the_others_commit(pair: tuple[Store, Store]) -> None:
    waiting = asyncio.create_task(pair[1].wait_for_change(0, 20))
    await asyncio.sleep(0)
    await pair[0].commit(SYSTEM, [Put(patient("a"))])
    assert await asyncio.wait_for(waiting, 10) is True


async def test_a_page_link_of_one_works_at_the_other(pair: tuple[Store, Store]) -> None:
    await pair[0].commit(SYSTEM, [Put(identified(f"p{n}", "same")) for n in range(4)])
    plan = dataclasses.replace(by_identifier("same"), count=2)
    first = await pair[0].search(SYSTEM, plan)
    second = await pair[1].search(SYSTEM, dataclasses.replace(plan, cursor=first.cursor))
    assert [stored.id for stored in (*first.matches, *second.matches)] == ["p0", "p1", "p2", "p3"]

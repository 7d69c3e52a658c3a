"""Two stores open on one database, each with its own writer, as in two worker processes: one truth."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from app.fhir.search.query import parse
from app.security.access import SYSTEM
from app.store import definitions
from app.store.protocol import Delete, Guard, GuardFailed, Put, PutRecord, Record, RecordConflict, Store
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


async def test_what_was_indexed_before_a_parameter_was_known_is_indexed_again(
    pair: tuple[Store, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`slow` stood still while the parameter came: what it stores is in the answer all the same, once the feed has been read."""
    monkeypatch.setattr(definitions, "SETTLE", 0.0)
    here, slow = pair
    reindexing = definitions.Reindexing(here)
    await here.commit(SYSTEM, [Put(_BY_NICKNAME)])
    await reindexing.drain()
    here.indexing = await definitions.load(here)
    await here.commit(SYSTEM, [Put(_nicknamed("quick"))])
    await slow.commit(SYSTEM, [Put(_nicknamed("late")), Put(_nicknamed("gone"))])
    await slow.commit(SYSTEM, [Delete("Patient", "gone")])
    assert await _named_so(here) == ["quick"]
    assert await here.check() != []
    await reindexing.drain()
    assert await _named_so(here) == ["late", "quick"]
    assert await here.check() == []


async def test_a_process_that_learns_of_a_parameter_last_spoils_nothing(
    pair: tuple[Store, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The consumer itself runs where the parameter is not known yet."""
    monkeypatch.setattr(definitions, "SETTLE", 0.0)
    here, slow = pair
    await here.commit(SYSTEM, [Put(_BY_NICKNAME)])
    await definitions.Reindexing(here).drain()
    here.indexing = await definitions.load(here)
    await here.commit(SYSTEM, [Put(_nicknamed("quick"))])
    await definitions.Reindexing(slow).drain()
    assert await _named_so(here) == ["quick"]
    assert await here.check() == []


_BY_NICKNAME = {
    "resourceType": "SearchParameter",
    "id": "nick",
    "url": "http://example.org/fhir/SearchParameter/nick",
    "name": "nick",
    "status": "active",
    "description": "By what the child is called",
    "code": "nick",
    "base": ["Patient"],
    "type": "string",
    "expression": "Patient.name.where(use = 'nickname').given",
}


def _nicknamed(id: str) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": id, "name": [{"use": "nickname", "given": ["Bean"]}]}


async def _named_so(store: Store) -> list[str]:
    plan = parse(("Patient",), [("nick", "Bean")], base_url="http://x", strict=True, parameters=store.indexing.parameters)
    return sorted(found.id for found in (await store.search(SYSTEM, plan)).matches)

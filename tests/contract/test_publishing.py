"""Figures are published as a whole or not at all, on either store."""

import asyncio
from contextlib import suppress
from itertools import count
from typing import Any

import msgspec
import pytest

from app.measures import publishing
from app.measures.definition import shipped
from app.measures.period import period
from app.measures.published import Publication, publication
from app.store.protocol import Store, VersionConflict
from tests.measures.conftest import put, small_nation

SPAN = period("2022", "2023")
MEASURE = "survival-to-one-year"
HOSPITALS = [f"ZA{number}" for number in range(10)]


@pytest.fixture
async def nation_store(store: Store) -> Store:
    await put(store, small_nation())
    return store


async def published(store: Store) -> Publication | None:
    return await publication(store, shipped(MEASURE).canonical, SPAN, HOSPITALS)


class Broken(Exception):
    """The process died."""


@pytest.mark.parametrize("again", [False, True])
async def test_once_pages_show_anything_new_all_of_it_is_there(
    nation_store: Store, monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    if again:
        await publishing.publish(nation_store, MEASURE, SPAN)
        await put(nation_store, [msgspec.structs.replace(facts, case=f"more-{facts.case}") for facts in small_nation()])
    before, commit, left = await published(nation_store), nation_store.commit, 0

    async def breaking(*given: Any) -> Any:
        nonlocal left
        if not left:
            raise Broken
        left -= 1
        return await commit(*given)

    monkeypatch.setattr(nation_store, "commit", breaking)
    for commits in count():
        left = commits
        with suppress(Broken):
            await publishing.publish(nation_store, MEASURE, SPAN)
        if await published(nation_store) != before:
            break
    monkeypatch.undo()
    assert await publishing.publish(nation_store, MEASURE, SPAN) == 0


async def test_of_two_who_publish_at_once_one_does(nation_store: Store) -> None:
    done = await asyncio.gather(*[publishing.publish(nation_store, MEASURE, SPAN) for _ in range(2)], return_exceptions=True)
    assert 21 in done and all(each in (0, 21) or isinstance(each, VersionConflict) for each in done) and done != [21, 21]


async def test_the_day_of_publication_is_that_of_its_newest_report(nation_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Children of one hospital are another's now: the whole is as before."""
    await publishing.publish(nation_store, MEASURE, SPAN)
    before = await published(nation_store)
    moved = [msgspec.structs.replace(facts, hospital="ZA8") for facts in small_nation() if facts.hospital == "ZA9"][:40]
    await put(nation_store, moved)
    await asyncio.sleep(1.1)  # a date has whole seconds
    assert await publishing.publish(nation_store, MEASURE, SPAN) == 5
    after = await published(nation_store)
    assert before is not None and after is not None
    assert after.made > before.made and after.whole == before.whole
    assert await publishing.publish(nation_store, MEASURE, SPAN) == 0

"""Figures are published as a whole or not at all, on either store."""

import asyncio
from contextlib import suppress
from itertools import count
from typing import Any

import msgspec
import pytest

from app.fhir.search.query import parse
from app.measures import publishing
from app.measures.definition import shipped
from app.measures.evaluate import evaluate
from app.measures.period import period
from app.measures.published import Publication, publication
from app.names import ODS_CODE
from app.security.access import SANDBOX, SYSTEM, Access
from app.store.protocol import Put, Store, VersionConflict
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
    assert await publishing.publish(nation_store, MEASURE, SPAN) >= 5  # and where other cells are hidden now
    after = await published(nation_store)
    assert before is not None and after is not None
    assert after.made > before.made and after.whole == before.whole
    assert await publishing.publish(nation_store, MEASURE, SPAN) == 0


async def test_a_hospital_without_a_case_left_has_no_report_left(nation_store: Store) -> None:
    """ZA9 becomes part of ZA8: each child counts once, in the pages and for whoever pulls the reports."""
    for measure, span in ((MEASURE, SPAN), (MEASURE, period("2022", "2022")), ("infection", SPAN)):
        await publishing.publish(nation_store, measure, span)
    kept = await publishing.keep(nation_store, SANDBOX, await evaluate(nation_store, SANDBOX, MEASURE, *SPAN, reporter="ZA9"))
    await put(
        nation_store, [msgspec.structs.replace(facts, hospital="ZA8") for facts in small_nation() if facts.hospital == "ZA9"]
    )
    before = await of_hospital(nation_store, "ZA9")
    assert len(before) == 7
    assert await publishing.publish(nation_store, MEASURE, SPAN) == 5  # the whole, two of ZA8, two deleted
    now = await published(nation_store)
    assert now is not None and [row.hospital for row in now.rows] == HOSPITALS[:-1]
    left = await of_hospital(nation_store, "ZA9")
    assert len(left) == 5 and kept.reference in left and left < before
    assert await publishing.publish(nation_store, MEASURE, SPAN) == 0
    await put(nation_store, small_nation())  # and back
    assert await publishing.publish(nation_store, MEASURE, SPAN) == 5
    assert await of_hospital(nation_store, "ZA9") == before


async def test_a_report_that_a_client_stored_is_not_deleted(nation_store: Store) -> None:
    hospital = Access("h", "hospital", frozenset({"ZB1"}))
    report = await evaluate(nation_store, SYSTEM, MEASURE, *SPAN, reporter="ZA1")
    theirs = {"reference": "Organization/zb1", "identifier": {"system": ODS_CODE, "value": "ZB1"}}
    await nation_store.commit(hospital, [Put({**report, "id": "own", "reporter": theirs})])
    await publishing.publish(nation_store, MEASURE, SPAN)
    assert await of_hospital(nation_store, "ZB1") == {"MeasureReport/own"}


async def of_hospital(store: Store, ods: str) -> set[str]:
    """The reports of a hospital that a search finds."""
    plan = parse("MeasureReport", [("reporter", f"Organization/{ods.lower()}")])
    return {stored.reference for stored in (await store.search(SYSTEM, plan)).matches}

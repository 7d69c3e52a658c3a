"""Figures are evaluated once while nothing changed, anew when something did, and kept apart for readers who may see different things."""

import gc
import weakref
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path

import msgspec
import pytest

from app import clock
from app.measures import publishing
from app.measures.columns import shelf
from app.measures.fitting import fit_all
from app.measures.table import hospital_table
from app.registry.consumer import KIND, CaseFactsConsumer
from app.security.access import PUBLIC, SYSTEM, Access
from app.store.consumer import CURSOR
from app.store.protocol import PutRecord, Record, Store
from app.web import figures
from app.web.figures import cabinet, reporting_period
from tests.measures.conftest import put
from tests.outcomes.cases import nation
from tests.support import open_test_store

LEAD, OTHER = (Access(f"user/{ods}", "hospital", frozenset([ods])) for ods in ("ZA1", "ZA2"))
NATION = Access("user/nation", "national", None)


@pytest.fixture
async def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Store]:
    monkeypatch.setattr(clock, "today", lambda: date(2026, 1, 1))
    monkeypatch.setattr(figures, "FRESH", 0.0)
    opened = await open_test_store(tmp_path)
    await put(opened, nation(24, hospitals=4))
    yield opened
    await opened.close()


@pytest.fixture
def evaluations(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One entry for each time that all hospitals were worked out."""
    made: list[str] = []
    real = figures.hospital_table

    async def counted(store: Store, access: Access, measure: str, period: object) -> object:
        made.append(access.who)
        return await real(store, access, measure, period)

    monkeypatch.setattr(figures, "hospital_table", counted)
    return made


async def test_an_unchanged_nation_is_worked_out_once(store: Store, evaluations: list[str]) -> None:
    for _ in range(3):
        for access in (LEAD, PUBLIC, OTHER, NATION):
            await cabinet(store).figures(access, "treatment-success")
    assert evaluations == [PUBLIC.who]


@pytest.mark.parametrize("measure", ["treatment-success", "survival-to-one-year"])
async def test_each_reader_gets_what_the_table_of_their_own_says(store: Store, measure: str) -> None:
    both = Access("user/both", "hospital", frozenset(["ZA0", "ZA3"]))
    await fit_all(store)
    for access in (PUBLIC, LEAD, OTHER, NATION, both):
        found = await cabinet(store).figures(access, measure)
        assert found.rows == await hospital_table(store, access, measure, found.period)
        assert [strata for row in found.rows for strata in row.strata]


async def test_what_is_kept_for_one_is_not_shown_to_another(store: Store) -> None:
    mine = await cabinet(store).figures(LEAD, "treatment-success")
    theirs = await cabinet(store).figures(OTHER, "treatment-success")
    assert mine.row("ZA1").known is not None and theirs.row("ZA1").suppressed
    assert theirs.row("ZA2").known is not None and mine.row("ZA2").suppressed


async def _a_child_dies(store: Store) -> None:
    facts = next(each for each in nation(24, hospitals=4) if each.hospital == "ZA1" and each.died_on is None)
    dead = msgspec.structs.replace(facts, died_on=facts.index_date)
    record = Record(KIND, dead.case, msgspec.json.encode(dead), state="horizon", tag=dead.condition, owner="ZA1")
    cursor = await store.get_record(SYSTEM, CURSOR, CaseFactsConsumer.name)
    await store.commit(SYSTEM, [PutRecord(record), PutRecord(cursor)])


async def test_a_change_is_seen(store: Store, evaluations: list[str]) -> None:
    before = (await cabinet(store).figures(LEAD, "survival-to-one-year")).row("ZA1")
    await _a_child_dies(store)
    after = (await cabinet(store).figures(LEAD, "survival-to-one-year")).row("ZA1")
    assert (after.observed, after.known) == (before.observed - 1, before.known)
    assert len(evaluations) == 2, "once for each state of the store"


async def test_nothing_older_goes_into_figures_of_now(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """For two seconds a reader may see the figures of before; what is made meanwhile for another must not keep them for good."""
    measure = "survival-to-one-year"
    await put(store, nation(160, hospitals=4))
    monkeypatch.setattr(figures, "FRESH", 1000.0)
    before = await cabinet(store).figures(PUBLIC, measure)
    await _a_child_dies(store)
    mine, public = await cabinet(store).figures(OTHER, measure), await cabinet(store).public(measure)
    monkeypatch.setattr(figures, "FRESH", 0.0)
    now = await cabinet(store).figures(PUBLIC, measure)
    assert now.row("ZA1") != before.row("ZA1")
    assert mine.row("ZA1") == public.row("ZA1") == now.row("ZA1")


async def test_what_was_published_stands_still_while_the_hospitals_own_page_moves(store: Store) -> None:
    measure, period = "survival-to-one-year", reporting_period(clock.today())
    await put(store, nation(60, hospitals=4))
    first_look = await cabinet(store).public(measure)
    assert first_look.published == "" and first_look.whole.known == 240
    await publishing.publish(store, measure, period)
    before = await cabinet(store).public(measure)
    assert before.published and before.whole.known == 240 and ("Measure", before.definition.canonical) in before.sources
    more = [msgspec.structs.replace(facts, case=f"more-{facts.case}") for facts in nation(24, hospitals=4)]
    await put(store, more)
    assert (await cabinet(store).figures(LEAD, measure)).row("ZA1").known == 84
    assert (await cabinet(store).public(measure)).whole.known == 240
    await publishing.publish(store, measure, period)
    assert (await cabinet(store).public(measure)).whole.known == 336


async def test_what_is_kept_keeps_no_columns(store: Store) -> None:
    """All cases of the nation, once more for each reader who looked in before the last change: a hundred times, on a busy day."""
    for access, measure in ((LEAD, "survival-to-one-year"), (OTHER, "infection")):
        await cabinet(store).figures(access, measure)
        old = weakref.ref(await shelf(store).columns())
        await put(store, [msgspec.structs.replace(nation(1)[0], case=f"more-{measure}")])
        await cabinet(store).figures(NATION, "treatment-success")
        gc.collect()
        assert old() is None


async def test_what_is_kept_is_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "KEPT", 3)
    for number in range(6):
        await cabinet(store).figures(Access(f"user/{number}", "hospital", frozenset([f"ZZ{number}"])), "infection")
    assert len(cabinet(store)._kept) == 3


@pytest.mark.parametrize(
    ("today", "start", "end"),
    [
        (date(2026, 1, 1), date(2021, 1, 1), date(2024, 12, 31)),
        (date(2026, 4, 1), date(2021, 4, 1), date(2025, 3, 31)),
        (date(2026, 11, 23), date(2021, 10, 1), date(2025, 9, 30)),
        (date(2026, 3, 30), date(2021, 1, 1), date(2024, 12, 31)),
        (date(2025, 2, 28), date(2020, 1, 1), date(2023, 12, 31)),
    ],
)
def test_the_period_ends_with_a_quarter_whose_children_were_followed_for_a_year(today: date, start: date, end: date) -> None:
    assert reporting_period(today) == (start, end)

"""What was published is read back as it was, stands still until it is published again, and comes from this server alone."""

from dataclasses import replace

import pytest

from app.ids import derived_id
from app.measures import publishing
from app.measures.fitting import fit
from app.measures.period import period
from app.measures.published import publication, row_of_report
from app.measures.publishing import report_id
from app.measures.table import Row, hospital_table
from app.security.access import PUBLIC, SHARED, SYSTEM
from app.store.protocol import Put, Store
from tests.measures.conftest import put, small_nation

SPAN = period("2022", "2023")
MEASURE = "https://csor.example.org/Measure/treatment-success|0.1.0"
HOSPITALS = [f"ZA{number}" for number in range(10)]


def _close(row: Row, other: Row) -> bool:
    def plain(each: Row) -> tuple[object, ...]:
        numbers = (each.expected, each.ratio, each.low, each.high, each.completeness, *(each.limits or ()))
        counts = (
            each.cases,
            each.known,
            each.observed,
            each.suppressed,
            each.band_code,
            each.signal,
            each.model,
            each.stratum,
            each.hospital,
        )
        return (*counts, *(None if number is None else pytest.approx(number, abs=6e-3) for number in numbers))

    return plain(row) == plain(other) and len(row.strata) == len(other.strata)


async def test_what_is_read_back_is_what_the_table_says(nation_store: Store) -> None:
    await fit(nation_store, "treatment-success")
    assert await publication(nation_store, MEASURE, SPAN, HOSPITALS) is None
    await publishing.publish(nation_store, "treatment-success", SPAN)
    found = await publication(nation_store, MEASURE, SPAN, HOSPITALS)
    rows = await hospital_table(nation_store, PUBLIC, "treatment-success", SPAN)
    assert len(found.rows) == len(rows) == 10
    for stored, row in zip(found.rows, rows, strict=True):
        assert _close(stored, row) and stored.name == row.name
        assert all(_close(a, b) for a, b in zip(stored.strata, row.strata, strict=True))
    assert any(row.suppressed for whole in found.rows for row in whole.strata)
    assert found.whole.known == sum(facts.outcome_known for facts in small_nation()) and len(found.artefacts) == 2


async def test_it_stands_still_until_it_is_published_again(nation_store: Store) -> None:
    await publishing.publish(nation_store, "survival-to-one-year", SPAN)
    measure = MEASURE.replace("treatment-success", "survival-to-one-year")
    before = await publication(nation_store, measure, SPAN, HOSPITALS)
    assert before.rows[0].expected is None and before.rows[0].band_code == ""
    await put(
        nation_store,
        [
            type(facts)(**{name: getattr(facts, name) for name in facts.__struct_fields__} | {"case": f"more-{n}"})
            for n, facts in enumerate(small_nation()[:20])
        ],
    )
    assert await publication(nation_store, measure, SPAN, HOSPITALS) == before
    await publishing.publish(nation_store, "survival-to-one-year", SPAN)
    after = await publication(nation_store, measure, SPAN, HOSPITALS)
    assert after.whole.known == before.whole.known + 20
    assert replace(after.whole, strata=()) != replace(before.whole, strata=())


async def test_a_report_of_somebody_elses_making_is_not_taken_for_published(nation_store: Store) -> None:
    await publishing.publish(nation_store, "infection", SPAN)
    measure = MEASURE.replace("treatment-success", "infection")
    (before,) = await nation_store.read_many(SYSTEM, [f"MeasureReport/{report_id(measure, SPAN, 'Organization/za1', SHARED)}"])
    assert row_of_report(before.resource, "ZA1", "").hospital == "ZA1"
    await nation_store.commit(SYSTEM, [Put(before.resource, owners=frozenset(("ZA1",)))])
    found = await publication(nation_store, measure, SPAN, HOSPITALS)
    assert [row.hospital for row in found.rows] == [ods for ods in HOSPITALS if ods != "ZA1"]


def test_the_id_is_that_of_reports_stored_so_far() -> None:
    assert report_id(MEASURE, SPAN, "all", SHARED) == derived_id(
        "MeasureReport", MEASURE, "2022-01-01", "2023-12-31", "all", SHARED
    )

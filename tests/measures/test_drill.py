import pytest

from app.fhir.errors import NotFound
from app.measures.drill import hospital_cases, trend
from app.measures.fitting import fit
from app.measures.period import period
from app.measures.table import hospital_table
from app.security.access import PUBLIC, SANDBOX, SYSTEM, Access
from app.store.protocol import Store

SPAN = period("2022", "2024")
MEASURE = "treatment-success"


async def test_the_cases_add_up_to_the_row(nation_store: Store) -> None:
    await fit(nation_store, MEASURE)
    own = Access("h", "hospital", frozenset({"ZA3"}))
    lines = await hospital_cases(nation_store, own, MEASURE, "ZA3", SPAN)
    row = (await hospital_table(nation_store, own, MEASURE, SPAN))[3]
    assert row.observed == sum(line.event for line in lines)
    assert row.known == sum(line.counts for line in lines)
    assert row.expected == pytest.approx(sum(line.expected for line in lines if line.counts and line.expected))
    assert [line.facts.index_date for line in lines] == sorted(line.facts.index_date for line in lines)
    points = trend(lines)
    assert len(points) == row.known
    assert row.observed is not None and row.expected is not None
    assert points[-1].excess == pytest.approx(row.observed - row.expected) and points[-1].excess < -5
    unknown = [line for line in lines if not line.counts]
    assert unknown and all(line.score.success is None and not line.event for line in unknown)


async def test_without_a_model_there_is_no_trend(nation_store: Store) -> None:
    lines = await hospital_cases(nation_store, SANDBOX, MEASURE, "ZA1", SPAN)
    assert lines[0].expected is None and trend(lines) == []


@pytest.mark.parametrize(
    "access", [PUBLIC, Access("o", "hospital", frozenset({"ZA2"})), Access("p", "parent", frozenset(), patient="x")]
)
async def test_another_hospitals_cases_do_not_exist(nation_store: Store, access: Access) -> None:
    with pytest.raises(NotFound):
        await hospital_cases(nation_store, access, MEASURE, "ZA1", SPAN)
    with pytest.raises(NotFound):
        await hospital_cases(nation_store, SYSTEM, MEASURE, "ZZZ", SPAN)

"""The two stores side by side: the same history of writes, the same generated searches, the same answers in the same order."""

import asyncio
import dataclasses
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.fhir.search.types import Include, Param, Plan, SortKey
from app.security.access import SYSTEM
from app.store.protocol import Found, Store
from tests.contract.builders import AT_NORTH, BIRTHDATE, CODE, DATE, FAMILY, GENDER, SUBJECT, VALUE
from tests.contract.test_differential import Run, fill, plans
from tests.support import open_mongo_store, open_test_store

LAST_UPDATED, ID = Param("_lastUpdated", "date"), Param("_id", "token")
INCLUDES = st.sampled_from([(), (Include("Observation", (SUBJECT,)),), (Include("Observation", (SUBJECT,), "Patient", True),)])
REVERSE = st.sampled_from([(), (Include("Observation", (SUBJECT,)),)])
SORTS = st.lists(
    st.builds(SortKey, st.sampled_from([FAMILY, BIRTHDATE, GENDER, DATE, VALUE, CODE, SUBJECT, ID, LAST_UPDATED]), st.booleans()),
    max_size=2,
)


@pytest.fixture(scope="module")
def both(mongodb: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Run, Store, Store]]:
    loop = asyncio.new_event_loop()
    one = loop.run_until_complete(open_test_store(tmp_path_factory.mktemp("parity")))
    other = loop.run_until_complete(open_mongo_store(mongodb))
    for store in (one, other):
        loop.run_until_complete(fill(store))
    yield loop.run_until_complete, one, other
    for store in (one, other):
        loop.run_until_complete(store.close())
    loop.close()


def told(found: Found, included: bool) -> object:
    matches = [(stored.reference, stored.version, stored.owners) for stored in found.matches]
    along = sorted(stored.reference for stored in found.included) if included else []
    return matches, along, found.total, found.cursor is None


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    plan=plans, sort=SORTS, includes=INCLUDES, reverse=REVERSE, count=st.integers(1, 20), north=st.booleans(), late=st.booleans()
)
def test_every_page_is_the_same(both, plan: Plan, sort, includes, reverse, count: int, north: bool, late: bool) -> None:
    """`late`: chains are asked of candidates, as they would only with ten thousand ids on the way."""
    run, one, other = both
    access = AT_NORTH if north else SYSTEM
    # The times of the two histories differ, so an order by them may too; what follows from it alone is not compared.
    if any(key.param is LAST_UPDATED for key in sort):
        sort = [key for key in sort if key.param is not LAST_UPDATED]
    here = there = dataclasses.replace(plan, sort=tuple(sort), includes=includes, revincludes=reverse, count=count)
    with pytest.MonkeyPatch.context() as patch:
        if late:
            patch.setattr("app.store.mongo.clauses.MANY", 1)
            patch.setattr("app.store.mongo.clauses.BATCH", 7)
            patch.setattr("app.store.mongo.search.BATCH", 7)
            patch.setattr("app.store.mongo.search.WORDS", 7)
        for _ in range(4):
            mine, yours = run(one.search(access, here)), run(other.search(access, there))
            assert told(yours, True) == told(mine, True)
            if mine.cursor is None or yours.cursor is None:
                break
            here, there = dataclasses.replace(here, cursor=mine.cursor), dataclasses.replace(there, cursor=yours.cursor)


def test_the_order_of_last_change_is_that_of_the_writes(both) -> None:
    run, one, other = both
    plan = Plan(("Patient",), sort=(SortKey(LAST_UPDATED, True),), count=100)
    for store in (one, other):
        found = run(store.search(SYSTEM, plan)).matches
        assert [stored.updated for stored in found] == sorted((stored.updated for stored in found), reverse=True)
        assert len(found) == 23


def test_the_feeds_are_the_same(both) -> None:
    run, one, other = both
    feeds = [
        [(change.seq, change.type, change.id, change.version, change.action) for change in run(store.feed(0, 1000))]
        for store in (one, other)
    ]
    assert feeds[0] == feeds[1]
    assert len(feeds[0]) > 100

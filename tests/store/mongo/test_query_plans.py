"""MongoDB's own word on how it runs generated searches: by an index throughout, and no more than a page in a sort."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo import monitoring

from app.fhir.search.types import Has, Match, Plan, ReferenceValue, SortKey
from app.security.access import SYSTEM, Access
from app.store.mongo import history, moving, records, upkeep
from app.store.mongo.feed import Feed
from app.store.mongo.search import Search
from tests.contract.builders import AT_NORTH, BIRTHDATE, CODE, DATE, FAMILY, GENDER, NORTH, SUBJECT, VALUE
from tests.contract.test_differential import Run, fill, plans
from tests.support import MongoStore, open_mongo_store

COUNT = 7


@pytest.fixture(scope="module")
def filled(mongodb: str) -> Iterator[tuple[Run, MongoStore]]:
    loop = asyncio.new_event_loop()
    store = loop.run_until_complete(open_mongo_store(mongodb))
    loop.run_until_complete(fill(store))
    yield loop.run_until_complete, store
    loop.run_until_complete(store.close())
    loop.close()


def stages(plan: Any) -> Iterator[dict[str, Any]]:
    """Every stage of an explained query, however deep."""
    if isinstance(plan, dict):
        if "stage" in plan or "$sort" in plan:
            yield plan
        for name, part in plan.items():
            if name not in ("rejectedPlans", "command", "parsedQuery"):
                yield from stages(part)
    elif isinstance(plan, list):
        for part in plan:
            yield from stages(part)


def faults(explained: Any) -> list[str]:
    """What is wrong with the way MongoDB went."""
    found = []
    for stage in stages(explained):
        if stage.get("stage") == "COLLSCAN":
            found.append("a collection scan")
        if stage.get("stage") == "SORT" and not 0 < stage.get("limitAmount", 0) <= COUNT + 1:
            found.append("a sort of more than a page")
        if "$sort" in stage and not 0 < stage["$sort"].get("limit", 0) <= COUNT + 1:
            found.append("a sort of more than a page")
    return found


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    plan=plans,
    sort=st.lists(st.builds(SortKey, st.sampled_from([FAMILY, BIRTHDATE, DATE, CODE, GENDER, VALUE]), st.booleans()), max_size=2),
    access=st.sampled_from([SYSTEM, AT_NORTH]),
)
def test_no_search_scans_the_collection(filled, plan: Plan, sort: list[SortKey], access: Access) -> None:
    run, store = filled
    wanted = Plan(plan.types, plan.where, tuple(sort), count=COUNT)
    asked = run(commands(store, access, wanted))
    assert asked
    for command in asked:
        explained = run(store._db.command("explain", command, verbosity="queryPlanner"))
        assert faults(explained) == [], command


@pytest.mark.parametrize("sort", [(), (SortKey(BIRTHDATE, True),), (SortKey(GENDER),)])
def test_candidates_of_a_long_chain_are_never_sorted_all(
    filled, sort: tuple[SortKey, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, store = filled
    has_index = not sort or sort[0].param is BIRTHDATE
    monkeypatch.setattr("app.store.mongo.clauses.MANY", 1)
    monkeypatch.setattr("app.store.mongo.search.BATCH", COUNT)
    observed = Has("Observation", SUBJECT, Match(SUBJECT, (ReferenceValue("Patient", "p1"), ReferenceValue("Patient", "p2"))))
    asked = run(commands(store, SYSTEM, Plan(("Patient",), (observed,), sort, count=COUNT)))
    assert any("p1" not in str(command) for command in asked)  # the clause was left for later
    for command in asked:
        assert not (has_index and "aggregate" in command)
        assert faults(run(store._db.command("explain", command, verbosity="queryPlanner"))) == [], command


class Listener(monitoring.CommandListener):
    """The queries that were sent."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if event.command_name in ("find", "aggregate", "distinct"):
            self.sent.append(
                {
                    name: value
                    for name, value in event.command.items()
                    if not name.startswith("$") and name not in ("lsid", "readConcern", "txnNumber")
                }
            )

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None: ...

    def failed(self, event: monitoring.CommandFailedEvent) -> None: ...


async def commands(store: MongoStore, access: Access, plan: Plan) -> list[dict[str, Any]]:
    """What a page of `plan` sends."""
    async with watched(store) as (db, sent):
        await Search(db.resource, None, access, plan).page(b"k" * 32)
    return sent


@asynccontextmanager
async def watched(store: MongoStore) -> AsyncIterator[tuple[Any, list[dict[str, Any]]]]:
    """The store's database through a client whose queries are noted."""
    listener = Listener()
    client = type(store._client)(store._secret_url, event_listeners=[listener])
    try:
        yield client.get_default_database(), listener.sent
    finally:
        await client.close()


async def look_at_history(db: Any) -> None:
    for access in (SYSTEM, AT_NORTH):
        for type, id in ((None, None), ("Patient", None), ("Patient", "p0")):
            found = await history.page(db, access, b"k" * 32, type, id, 5, COUNT, None)
            await history.page(db, access, b"k" * 32, type, id, 5, COUNT, found.cursor)


async def look_at_records(db: Any) -> None:
    for access in (SYSTEM, AT_NORTH):
        for more in (
            {},
            {"state": "s"},
            {"tag": "t"},
            {"owner": NORTH},
            {"after": "k"},
            {"state": "s", "due_before": 9},
            {"due_before": 9},
        ):
            for descending in (False, True):
                await records.find(db.record, records.where(access, "k", descending=descending, **more), COUNT, descending)


async def look_at_feed(db: Any) -> None:
    async def never(work: object) -> int:
        raise AssertionError("nothing is pending")

    feed = Feed(db, never)
    await feed.changes(10, COUNT)
    await feed.head()
    await moving.versions(db, 10, COUNT)


async def look_at_upkeep(db: Any) -> None:
    for access in (SYSTEM, AT_NORTH):
        await upkeep.counts(db, access)
        for types in ((), ("Patient",)):
            async for _ in upkeep.scan(db, access, types):
                pass


@pytest.mark.parametrize("look", [look_at_history, look_at_records, look_at_feed, look_at_upkeep])
def test_nothing_else_scans_a_collection(filled, look: Callable[[Any], Awaitable[None]]) -> None:
    run, store = filled

    async def asked() -> list[dict[str, Any]]:
        await store.feed_head()  # so that all have their numbers
        async with watched(store) as (db, sent):
            await look(db)
        return sent

    sent = run(asked())
    assert sent
    for command in sent:
        assert faults(run(store._db.command("explain", command, verbosity="queryPlanner"))) == [], command


async def test_the_rule_can_fail(mongodb: str) -> None:
    store = await open_mongo_store(mongodb)
    try:
        scan = await store._db.command("explain", {"find": "resource", "filter": {"raw": b""}}, verbosity="queryPlanner")
        sort = await store._db.command(
            "explain", {"find": "resource", "filter": {"t": "x"}, "sort": {"raw": 1}}, verbosity="queryPlanner"
        )
        assert faults(scan) == ["a collection scan"]
        assert faults(sort) == ["a sort of more than a page"]
    finally:
        await store.close()

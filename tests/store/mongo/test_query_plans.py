"""MongoDB's own word on how it runs generated searches: by an index throughout, and no more than a page in a sort."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo import monitoring

from app.fhir.search.types import Plan, SortKey
from app.security.access import SYSTEM, Access
from app.store.mongo.search import Search
from tests.contract.builders import AT_NORTH, BIRTHDATE, CODE, DATE, FAMILY, GENDER, VALUE
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
        if "$sort" in stage and "limit" not in stage["$sort"]:
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
    """What a page of `plan` sends, except for loading documents by name."""
    listener = Listener()
    client = type(store._client)(store._secret_url, event_listeners=[listener])
    try:
        await Search(client.get_default_database().resource, None, access, plan).page(b"k" * 32)
    finally:
        await client.close()
    return listener.sent


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

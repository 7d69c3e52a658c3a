"""The search parameters that a site stores, while they come, change and go: what else is searched by goes on as before."""

from typing import Any

import pytest

from app.fhir.search.query import parse
from app.fhir.search.types import Plan
from app.security.access import SYSTEM
from app.store import definitions
from app.store.protocol import Delete, Put, Store
from tests.contract.builders import observation, on_days, patient

DAY = 18263  # 2020-01-02 in days since 1970


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(definitions, "SETTLE", 0.0)


def parameter(id: str = "own", **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "SearchParameter",
        "id": id,
        "url": f"http://example.org/{id}",
        "name": "own",
        "status": "active",
        "description": "a parameter of the site",
        "code": id,
        **more,
    }


async def found(store: Store, query: str) -> list[str]:
    name, value = query.split("=")
    plan = parse("Patient", [(name, value)], strict=True, parameters=store.indexing.parameters)
    return [one.id for one in (await store.search(SYSTEM, plan)).matches]


async def test_some_resources_alone_are_indexed_anew_in_small_pages(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("sqlite", "mongo"):
        monkeypatch.setattr(f"app.store.{kind}.upkeep.BYTES", 100)
    before = store.indexing
    await store.commit(SYSTEM, [Put(parameter(base=["Patient"], type="string", expression="Patient.maritalStatus.text"))])
    await definitions.Reindexing(store).drain()
    store.indexing = before  # as of a process that has not heard of it
    await store.commit(SYSTEM, [Put(patient(f"p{n}", maritalStatus={"text": "single"})) for n in range(7)])
    await store.commit(SYSTEM, [Delete("Patient", "p6")])
    store.indexing = await definitions.load(store)
    assert await found(store, "own=single") == []
    await store.reindex_only([f"Patient/p{n}" for n in (6, 5, 3, 9, 1, 0)])
    assert await found(store, "own=single") == ["p0", "p1", "p3", "p5"]


async def test_a_parameter_with_the_expression_of_one_of_r4s_takes_nothing_from_it(store: Store) -> None:
    own = parameter(code="birthDate", base=["Patient"], type="date", expression="Patient.birthDate")
    consumer = definitions.Reindexing(store)
    await store.commit(SYSTEM, [Put(patient("old", birthDate="2020-01-02"))])

    async def r4s(expected: list[str]) -> None:
        assert await found(store, "birthdate=2020-01-02") == expected
        plan = Plan(("Patient",), (on_days("eq", DAY),))  # as the server's own code asks
        assert [one.id for one in (await store.search(SYSTEM, plan)).matches] == expected

    await store.commit(SYSTEM, [Put(own)])
    store.indexing = await definitions.load(store)
    await store.commit(SYSTEM, [Put(patient("new", birthDate="2020-01-02"))])
    await r4s(["old", "new"])
    await consumer.handle(await store.feed(0))
    await r4s(["old", "new"])
    await consumer.drain()
    store.indexing = await definitions.load(store)
    await r4s(["old", "new"])
    assert await found(store, "birthDate=2020-01-02") == ["old", "new"]
    await store.commit(SYSTEM, [Put({**own, "status": "retired"})])
    store.indexing = await definitions.load(store)
    await store.commit(SYSTEM, [Put(patient("newer", birthDate="2020-01-02"))])
    await r4s(["old", "new", "newer"])
    await consumer.drain()
    store.indexing = await definitions.load(store)
    await r4s(["old", "new", "newer"])
    assert await store.check() == []


async def test_of_two_parameters_with_one_expression_either_may_go(store: Store) -> None:
    both = [
        parameter(id, base=["Patient"], type="string", expression="Patient.name.suffix | Patient.name.suffix")
        for id in ("a", "b")
    ]
    consumer = definitions.Reindexing(store)
    await store.commit(SYSTEM, [Put(patient("p") | {"name": [{"suffix": ["Jr"]}]})])
    for resource in both:
        await store.commit(SYSTEM, [Put(resource)])
        await consumer.drain()
    store.indexing = await definitions.load(store)
    assert [await found(store, f"{code}=jr") for code in "ab"] == [["p"], ["p"]]
    await store.commit(SYSTEM, [Put({**both[0], "status": "retired"})])
    store.indexing = await definitions.load(store)
    assert await found(store, "b=jr") == ["p"]


async def test_what_each_of_several_versions_left_in_the_index_is_taken_out(store: Store) -> None:
    name = {"family": "x", "suffix": ["Jr"]}
    await store.commit(SYSTEM, [Put(patient("p") | {"name": [name]}), Put(observation("o", "p"))])
    consumer = definitions.Reindexing(store)
    await store.commit(SYSTEM, [Put(parameter(base=["Patient"], type="string", expression="Patient.name.suffix"))])
    await consumer.drain()
    for base, expression in (("Observation", "Observation.value.ofType(string)"), ("Condition", "Condition.code.text")):
        await store.commit(SYSTEM, [Put(parameter(base=[base], type="string", expression=expression))])
    await consumer.drain()
    assert await store.check() == []


async def test_the_marker_moves_with_every_commit_of_the_type_whatever_the_clock_says(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two nodes the clock of one may be behind, and of two commits the one that began first may end last."""
    seen = {await store.marker(("SearchParameter", "ValueSet"))}
    for n, at in enumerate((1_800_000_000_000_000, 1_700_000_000_000_000)):
        monkeypatch.setattr("app.store.sqlite.store.micros", lambda at=at: at)
        monkeypatch.setattr("app.store.mongo.store.micros", lambda at=at: at)
        if hasattr(store, "_last_order"):
            store._last_order = 0  # as another process
        await store.commit(SYSTEM, [Put(parameter(f"s{n}", base=["Patient"], type="date", expression="Patient.birthDate"))])
        seen.add(await store.marker(("SearchParameter", "ValueSet")))
        await store.commit(SYSTEM, [Put(parameter(f"s{n}", base=["Patient"], type="date", expression="Patient.birthDate"))])
        seen.add(await store.marker(("SearchParameter", "ValueSet")))
    assert len(seen) == 5
    await store.commit(SYSTEM, [Put(patient("p"))])
    assert await store.marker(("SearchParameter", "ValueSet")) in seen

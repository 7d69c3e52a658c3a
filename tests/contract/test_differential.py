"""The store against the plain meaning of a plan: generated searches over a small world must find the same resources, in order and in pages."""

import asyncio
import dataclasses
import random
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.fhir.search.types import (
    IN_BASE_UNITS,
    AnyOf,
    Chain,
    Clause,
    CompositeValue,
    DateValue,
    Has,
    Ids,
    LastUpdated,
    Match,
    Missing,
    Nothing,
    Param,
    Plan,
    QuantityValue,
    ReferenceValue,
    SortKey,
    StringValue,
    TokenValue,
)
from app.security.access import SHARED, SYSTEM, Access
from app.store.protocol import Delete, Put, Store
from tests.contract.builders import (
    AT_NORTH,
    BIRTHDATE,
    CODE,
    CODE_VALUE,
    DATE,
    DAY,
    FAMILY,
    GENDER,
    IDENTIFIER,
    NORTH,
    SOUTH,
    SUBJECT,
    VALUE,
    observation,
    patient,
)
from tests.fhir.search.naive import Indexed, World, indexed, matches, world_of
from tests.support import open_mongo_store, open_test_store

UCUM = "http://unitsofmeasure.org"
FAMILIES = ["Alpha", "Alphabet", "Álpha", "Beta", "Beta Gamma", "Z"]
DAYS = ["2020", "2020-02", "2020-02-29", "2021-01-01", "1999-12-31"]
CODES = ["a", "b", "c"]
Run = Callable[[Awaitable[Any]], Any]


def resources(seed: int) -> list[dict[str, Any]]:
    """Sixty patients and observations that share few values, so that searches overlap."""
    pick = random.Random(seed)
    made: list[dict[str, Any]] = []
    for n in range(25):
        one = patient(f"p{n}", pick.choice(FAMILIES))
        if pick.random() < 0.7:
            one["gender"] = pick.choice(["male", "female"])
        if pick.random() < 0.8:
            one["birthDate"] = pick.choice(DAYS)
        one["name"] += [{"family": pick.choice(FAMILIES)}] * pick.randrange(2)
        one["identifier"] = [
            {"value": pick.choice("123")} | ({"system": pick.choice(["urn:x", "urn:y"])} if pick.random() < 0.7 else {})
            for _ in range(pick.randrange(3))
        ]
        made.append({name: value for name, value in one.items() if value})
    for n in range(40):
        one = observation(f"o{n}", f"p{pick.randrange(28)}", pick.choice(CODES))
        if pick.random() < 0.7:
            one["valueQuantity"] = {"value": pick.randrange(5), "system": UCUM, "code": pick.choice(["mg", "g"]), "unit": "mg"}
        if pick.random() < 0.6:
            one["effectivePeriod"] = {"start": pick.choice(DAYS[:3])} | ({"end": DAYS[3]} if pick.random() < 0.5 else {})
        made.append(one)
    return made


async def fill(store: Store) -> None:
    """Creates, updates and deletions: the same in every store."""
    marks = [frozenset({NORTH}), frozenset({SOUTH}), frozenset({NORTH, SOUTH}), frozenset({SHARED}), frozenset()]

    for seed in (1, 2, 3):
        for n, resource in enumerate(resources(seed)):
            if seed == 3 or n % seed == 0:
                await store.commit(SYSTEM, [Put(resource, owners=marks[n % len(marks)])])
    await store.commit(SYSTEM, [Delete("Patient", "p3"), Delete("Patient", "p14"), Delete("Observation", "o5")])


@pytest.fixture(scope="module", params=["sqlite", "sqlite-walking", "mongodb"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Run, Store, World, World]]:
    """A filled store, what it holds, and what of that North sees.

    `sqlite-walking`: SQLite follows the index of the sort parameter, as it would only in a large store.
    """
    loop = asyncio.new_event_loop()
    if request.param == "mongodb":
        store: Store = loop.run_until_complete(open_mongo_store(request.getfixturevalue("mongodb")))
    else:
        store = loop.run_until_complete(open_test_store(tmp_path_factory.mktemp("differential")))

    async def look() -> tuple[World, World]:
        await fill(store)
        there = [stored async for stored in store.scan(SYSTEM)]
        seen = [stored async for stored in store.scan(AT_NORTH)]
        assert set(await store.check()) == {
            f"Observation/{stored.id} refers to a Patient that is not in the store."
            for stored in there
            if stored.type == "Observation"
            and stored.resource["subject"]["reference"] in ("Patient/p25", "Patient/p26", "Patient/p27")
        }
        return tuple(world_of(indexed(stored.resource, stored.updated) for stored in some) for some in (there, seen))  # type: ignore[return-value]

    everything, norths = loop.run_until_complete(look())
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "sqlite-walking":
            patch.setattr("app.store.sqlite.search.walk_from", lambda limit, resources: 1)
        yield loop.run_until_complete, store, everything, norths
    loop.run_until_complete(store.close())
    loop.close()


def micros(day: str) -> int:
    year, month, dom = (*map(int, day.split("-")), 1, 1)[:3]
    from datetime import date

    return (date(year, month, dom) - date(1970, 1, 1)).days * DAY


PREFIXES = st.sampled_from(["eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"])
date_values = st.builds(
    lambda prefix, day, length: DateValue(prefix, micros(day), micros(day) + length * DAY),
    PREFIXES,
    st.sampled_from(DAYS),
    st.sampled_from([1, 29, 366]),
)
quantity_values = st.builds(
    lambda prefix, value, half, unit: QuantityValue(prefix, value - half, value + half, *unit),
    PREFIXES,
    st.integers(0, 5),
    st.sampled_from([0.0, 0.5, 1.5]),
    st.sampled_from([(None, None), (UCUM, "mg"), (None, "mg"), (None, "g"), (UCUM, "kg")]),
)
code_values = st.builds(TokenValue, st.sampled_from([None, "urn:code", ""]), st.sampled_from([*CODES, None]))


def matching(param: Param, values: st.SearchStrategy[Any], *modifiers: str) -> st.SearchStrategy[Match]:
    return st.builds(
        lambda some, modifier: Match(param, tuple(some), modifier),
        st.lists(values, min_size=1, max_size=3),
        st.sampled_from([None, *modifiers]),
    )


common = st.one_of(
    st.builds(lambda ids: Ids(tuple(ids)), st.lists(st.sampled_from(["p1", "p2", "p3", "o1", "o2", "o9"]), min_size=1)),
    st.builds(lambda prefix: LastUpdated((DateValue(prefix, micros("2020"), micros("2021")),)), PREFIXES),
    st.just(Nothing()),
)
of_patients = st.one_of(
    matching(
        FAMILY,
        st.sampled_from([StringValue(text.lower(), text) for text in ["Alpha", "a", "Beta", "", "zz"]]),
        "exact",
        "contains",
    ),
    matching(
        IDENTIFIER, st.builds(TokenValue, st.sampled_from([None, "", "urn:x", "urn:y"]), st.sampled_from(["1", "2", None])), "not"
    ),
    matching(GENDER, st.sampled_from([TokenValue(None, "male"), TokenValue(None, "female")]), "not"),
    matching(BIRTHDATE, date_values),
    st.builds(Missing, st.sampled_from([GENDER, BIRTHDATE, IDENTIFIER, FAMILY]), st.booleans()),
    common,
)
of_observations = st.one_of(
    matching(CODE, code_values, "not"),
    matching(CODE, st.sampled_from([StringValue(text, text) for text in ("display", "display a", "play", "")])).map(
        lambda match: dataclasses.replace(match, modifier="text")
    ),
    matching(DATE, date_values),
    matching(VALUE, quantity_values),
    matching(CODE_VALUE, st.builds(lambda code, value: CompositeValue((code, value)), code_values, quantity_values)),
    matching(
        SUBJECT, st.builds(ReferenceValue, st.sampled_from([None, "Patient", "Group"]), st.sampled_from(["p1", "p2", "p26"]))
    ),
    st.builds(Missing, st.sampled_from([DATE, VALUE, SUBJECT, CODE_VALUE]), st.booleans()),
    common,
)


def deeper(depth: int) -> tuple[st.SearchStrategy[Clause], st.SearchStrategy[Clause]]:
    """Clauses on patients and on observations, with chains `depth` steps long."""
    if depth == 0:
        return of_patients, of_observations
    patients, observations = deeper(depth - 1)
    several = st.lists(st.deferred(lambda: patients), min_size=1, max_size=3).map(lambda some: AnyOf(tuple(some)))
    return (
        st.one_of(of_patients, several, st.builds(lambda where: Has("Observation", SUBJECT, where), observations)),
        st.one_of(of_observations, st.builds(lambda where: Chain(SUBJECT, ("Patient",), where), patients)),
    )


patient_clauses, observation_clauses = deeper(2)
plans = st.one_of(
    st.builds(lambda where: Plan(("Patient",), tuple(where), total="accurate"), st.lists(patient_clauses, max_size=3)),
    st.builds(lambda where: Plan(("Observation",), tuple(where), total="accurate"), st.lists(observation_clauses, max_size=3)),
    st.builds(lambda where: Plan(("Patient", "Observation"), tuple(where), total="accurate"), st.lists(common, max_size=2)),
    st.builds(lambda where: Plan((), tuple(where), total="accurate"), st.lists(common, max_size=2)),
)
quick = settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@quick
@given(plan=plans, north=st.booleans())
def test_a_search_finds_what_its_plan_means(world, plan: Plan, north: bool) -> None:
    run, store, everything, norths = world
    there, access = (norths, AT_NORTH) if north else (everything, SYSTEM)
    expected = {name for name, resource in there.items() if matches(plan, resource, there)}
    found = run(store.search(access, dataclasses.replace(plan, count=1000)))
    assert {stored.reference for stored in found.matches} == expected
    assert len(found.matches) == len(expected) == found.total


@quick
@given(
    plan=plans,
    keys=st.lists(st.builds(SortKey, st.sampled_from([FAMILY, BIRTHDATE, GENDER, DATE, VALUE, CODE]), st.booleans()), max_size=2),
    count=st.integers(1, 9),
)
def test_pages_in_order_make_up_the_whole(world, plan: Plan, keys: list[SortKey], count: int) -> None:
    run, store, everything, _ = world
    plan = dataclasses.replace(plan, sort=tuple(keys), count=count)
    seen: list[str] = run(all_pages(store, SYSTEM, plan))
    expected = [resource for resource in everything.values() if matches(plan, resource, everything)]
    if keys:
        assert seen == [resource.id for resource in in_order(expected, keys)]
    else:
        assert sorted(seen) == sorted(resource.id for resource in expected)


async def all_pages(store: Store, access: Access, plan: Plan) -> list[str]:
    seen: list[str] = []
    while True:
        page = await store.search(access, plan)
        seen += [stored.id for stored in page.matches]
        if page.cursor is None:
            return seen
        plan = dataclasses.replace(plan, cursor=page.cursor)


def in_order(found: list[Indexed], keys: list[SortKey]) -> list[Indexed]:
    """By the least value ascending, by the greatest descending, those without a value last, then by id."""
    ordered = sorted(found, key=lambda resource: resource.id)
    for key in reversed(keys):
        values = {id(resource): sort_value(resource, key) for resource in found}
        present = [resource for resource in ordered if values[id(resource)] is not None]
        absent = [resource for resource in ordered if values[id(resource)] is None]
        present.sort(key=lambda resource, values=values: values[id(resource)], reverse=key.descending)
        if key.descending:  # a reversed sort keeps the order of equals, as it should
            assert present == sorted(present, key=lambda resource, values=values: values[id(resource)], reverse=True)
        ordered = present + absent
    return ordered


def sort_value(resource: Indexed, key: SortKey) -> Any:
    entries = resource.entries
    codes = key.param.codes(resource.type)
    values: list[Any] = [token.code for token in entries.tokens if token.param in codes]
    values += [string.folded for string in entries.strings if string.param in codes]
    values += [date.low for date in entries.dates if date.param in codes]
    values += [one.low for one in entries.quantities if one.param in codes and one.system != IN_BASE_UNITS]
    return (max if key.descending else min)(values) if values else None

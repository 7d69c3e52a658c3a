"""Searches of every kind, asked of both stores: the same matches in the same order, page by page, totals and what comes along.

`make torture` asks many more (`tests/torture/test_asked.py`).
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from app.fhir.errors import FHIRError
from app.security.access import SYSTEM
from app.store.mongo import clauses, conditions, order, search
from app.store.mongo.search import Search
from app.store.protocol import Put
from tests.contract import wide
from tests.contract.asked import Asked, codes_asked
from tests.contract.beside import Beside, beside, same
from tests.contract.test_differential import Run
from tests.store.mongo.test_query_plans import COUNT, faults, watched
from tests.support import MongoStore

SEED = 20_260


@pytest.fixture(scope="module")
def stores(mongodb: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Run, Beside]]:
    loop = asyncio.new_event_loop()
    both = beside(mongodb, tmp_path_factory.mktemp("asked"), wide.extract)

    async def filled() -> Beside:
        opened = await both.__aenter__()
        await wide.fill(opened.one, SEED)
        await same(opened)
        return opened

    yield loop.run_until_complete, loop.run_until_complete(filled())
    loop.run_until_complete(both.__aexit__(None, None, None))
    loop.close()


@pytest.mark.timeout(300)
def test_both_stores_answer_alike(stores: tuple[Run, Beside]) -> None:
    run, both = stores
    both.number.clear()
    assert run(both.differences(run(both.asking(1)), 1600)) == []
    assert both.number["found"] > 600, both.number


@pytest.fixture
def other_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the stores do only when they are large: chains asked of candidates, an index walked in order, sources that are counted."""
    monkeypatch.setattr("app.store.mongo.clauses.MANY", 1)
    for module in ("clauses", "search"):
        monkeypatch.setattr(f"app.store.mongo.{module}.BATCH", 7)
    monkeypatch.setattr("app.store.sqlite.search.walk_from", lambda limit, resources: 1)
    monkeypatch.setattr("app.store.sqlite.search.PROBE", 3)
    monkeypatch.setattr("app.store.sqlite.store.LOOP_STEPS", 1)


@pytest.mark.usefixtures("other_ways")
def test_and_by_the_ways_of_large_stores(stores: tuple[Run, Beside]) -> None:
    run, both = stores
    assert run(both.differences(run(both.asking(2)), 400)) == []


@pytest.mark.usefixtures("other_ways")
async def test_a_long_chain_sorted_by_what_has_no_index(mongodb: str, tmp_path: Path) -> None:
    async with beside(mongodb, tmp_path, wide.extract) as both:
        for number in range(40):
            patient: dict[str, object] = {
                "resourceType": "Patient",
                "id": f"{number * 7 % 40}",
                "name": [{"given": ["BCA"[number % 3]]}],
            }
            patient |= {"gender": ("male", "female", "other")[number % 3]} if number % 4 else {}
            seen = {"resourceType": "Observation", "id": f"o{number}", "subject": {"reference": f"Patient/{number}"}}
            await both.one.commit(SYSTEM, [Put(patient), *([Put(seen)] if number % 3 else [])])
        await same(both)
        for sort in ("gender", "-gender,given", "given,-gender", "-_id,gender"):
            for count in ("3", "20", "40"):
                params = (("_has:Observation:subject:_lastUpdated", "ge2000"), ("_sort", sort), ("_count", count))
                plan = Asked(SYSTEM, ("Patient",), params).plan(both.extract.parameters)
                mine, yours = await both.answers(SYSTEM, plan)
                assert len({name for matches, *_ in mine for name, *_ in matches}) == 26 or count == "3"  # not all of its pages
                assert mine == yours


def test_nothing_that_can_be_asked_is_left_out(stores: tuple[Run, Beside]) -> None:
    run, both = stores
    asking = run(both.asking(1))
    number = codes_asked(asking.one()[1] for _ in range(4000))
    kinds = ["token", "string", "reference", "date", "number", "quantity", "uri", "composite"]
    prefixes = ["eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"]
    modifiers = ["exact", "contains", "not", "text", "above", "below", "of-type", "identifier"]
    wanted = [f"Param.kind={kind}" for kind in kinds] + [f"Match.modifier={modifier}" for modifier in modifiers]
    wanted += [f"{value}.prefix={prefix}" for value in ("DateValue", "NumberValue", "QuantityValue") for prefix in prefixes]
    wanted += [
        "Chain",
        "Has",
        "AnyOf",
        "Ids",
        "LastUpdated",
        "Missing",
        "Nothing",
        "Include.iterate=True",
        "SortKey.descending=True",
    ]
    assert [name for name in wanted if number[name] < 3] == []
    assert asking.refused < 2000  # what the parser does not take is no question


def test_no_search_scans_a_collection(stores: tuple[Run, Beside]) -> None:
    run, both = stores
    store = both.other
    assert isinstance(store, MongoStore)

    async def explained() -> tuple[int, list[str]]:
        """Of all that some hundred searches send: how much there was, and what MongoDB says against it."""
        asking = await both.asking(3)
        wrong: list[str] = []
        number = 0
        async with watched(store) as (db, sent):
            for _ in range(250):
                asked, plan = asking.one()
                with suppress(FHIRError):
                    await Search(db.resource, None, asked.access, replace(plan, count=COUNT)).page(b"k" * 32)
                for command in sent:
                    plans = await store._db.command("explain", command, verbosity="queryPlanner")
                    wrong += [f"{fault}: {asked}\n  {command}" for fault in faults(plans)]
                number += len(sent)
                sent.clear()
        return number, wrong

    number, wrong = run(explained())
    assert wrong == []
    assert number > 250


# What a careless change might do to the compiler for MongoDB, each of which must be found.
def _swapped(name: str, module: object, wrong: Callable) -> Callable[[pytest.MonkeyPatch], None]:
    return lambda patch: patch.setattr(module, name, wrong)


_number, _token, _after, _owned, _string, _date = (
    conditions._number,
    conditions._token,
    order._after,
    clauses.owned,
    conditions._string,
    conditions.date_range,
)
MISTAKES = {
    "numbers above are numbers from": _swapped(
        "_number", conditions, lambda value: {"h": {"$gte": value.high}} if value.prefix == "gt" else _number(value)
    ),
    "a date's end is forgotten": _swapped(
        "date_range",
        conditions,
        lambda low, high, value, span=0: _date(low, low, value) if value.prefix == "ge" else _date(low, high, value, span),
    ),
    "a token's system is ignored": _swapped(
        "_token", conditions, lambda key, value, modifier: f"{key}={value.code}" if value.code else _token(key, value, modifier)
    ),
    "a page begins with ties of the last": _swapped("_after", order, lambda sort, last: _after(sort, ["/", *last[1:]])),
    "exact means begins": _swapped("_string", conditions, lambda key, value, modifier: _string(key, value, None)),
    "chains see what the caller does not": _swapped("owned", clauses, lambda access: {}),
    "includes bring what the caller does not see": _swapped(
        "owned", search, lambda access: _owned(access) if access.who == "south" else {}
    ),
    "elements of a composite need not belong together": _swapped(
        "_composite",
        conditions,
        lambda param, value, types: {"k": conditions.present(conditions.keys(types, param)[0])},
    ),
    "not is any": _swapped("NEGATIVE", conditions, ()),
    "iterate stops after one round": _swapped("MAX_ROUNDS", search, 1),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found(stores: tuple[Run, Beside], mistake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run, both = stores
    MISTAKES[mistake](monkeypatch)
    assert run(both.differences(run(both.asking(1)), 1600)) != []

"""A store moved into another: everything is there, byte for byte, and goes on from there."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from app.fhir.errors import Conflict, NotFound
from app.fhir.search.query import parse
from app.security.access import SYSTEM
from app.store.definitions import Reindexing, load
from app.store.moving import Movable, copy
from app.store.protocol import Delete, Put, PutRecord, Record, Share
from tests.contract.builders import AT_NORTH, AT_SOUTH, NORTH, SOUTH, identified, observation, patient
from tests.support import open_mongo_store, open_test_store


@pytest.fixture(params=[("sqlite", "mongodb"), ("mongodb", "sqlite"), ("sqlite", "sqlite")], ids=lambda pair: "-to-".join(pair))
async def pair(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[Any, Any]]:
    stores = []
    for number, kind in enumerate(request.param):
        if kind == "mongodb":
            stores.append(await open_mongo_store(request.getfixturevalue("mongodb")))
        else:
            (tmp_path / str(number)).mkdir()
            stores.append(await open_test_store(tmp_path / str(number)))
    yield stores[0], stores[1]
    for store in stores:
        await store.close()


async def fill(store: Movable) -> None:
    await store.commit(
        SYSTEM, [Put(identified(f"p{n}", str(n)), owners=frozenset({NORTH, SOUTH} if n % 2 else {NORTH})) for n in range(40)]
    )
    await store.commit(SYSTEM, [Put(observation(f"o{n}", f"p{n}", value=n), owners=frozenset({NORTH})) for n in range(40)])
    await store.commit(SYSTEM, [Put(patient("p1", "Changed"))])
    await store.commit(SYSTEM, [Delete("Patient", "p2"), Delete("Observation", "o2"), Share("Patient", "p4", frozenset({SOUTH}))])
    await store.commit(SYSTEM, [Put(patient("p2", "Again"), owners=frozenset({SOUTH}))])
    for n in range(3):
        await store.commit(
            SYSTEM, [PutRecord(Record("k", "often", b"{}", raw=bytes([n]), state="s", tag="t", due=n, owner=NORTH))]
        )
    await store.commit(SYSTEM, [PutRecord(Record("k", f"r{n}")) for n in range(30)])


async def everything(store: Movable) -> list[Any]:
    return [
        await store.versions(0, 10_000),
        sorted([record async for _, page in store.moment() for record in page], key=lambda record: (record.kind, record.key)),
        await store.counts(SYSTEM),
        await store.counts(AT_SOUTH),
        await store.feed_head(),
        [stored.raw for stored in (await store.history(AT_NORTH, "Patient", count=1000)).matches],
    ]


async def test_everything_comes_along(pair: tuple[Movable, Movable]) -> None:
    source, target = pair
    await fill(source)
    outcome = await copy(source, target)
    assert (outcome.versions, outcome.records, outcome.differences) == (84, 31, ())
    assert await everything(target) == await everything(source)
    assert await target.check() == []
    assert (await target.get_record(SYSTEM, "k", "often")).revision == 3  # type: ignore[union-attr]


async def test_the_target_goes_on_from_there(pair: tuple[Movable, Movable]) -> None:
    source, target = pair
    await fill(source)
    await copy(source, target)
    (stored,) = await target.commit(SYSTEM, [Put(patient("p1", "Later"), if_version=2)])
    assert stored is not None and stored.version == 3
    assert [change.seq for change in await target.feed(84)] == [85]
    assert [found.version for found in (await target.history(SYSTEM, "Patient", "p1")).matches] == [3, 2, 1]
    assert await target.check() == []


async def test_an_interrupted_copy_goes_on(pair: tuple[Movable, Movable], monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = pair
    await fill(source)
    monkeypatch.setattr("app.store.moving.PAGE", 10)
    before = target.adopt
    for _ in range(3):
        calls = 0

        async def adopt(versions: Any) -> None:
            nonlocal calls
            calls += 1
            if calls == 3:
                raise KeyboardInterrupt
            await before(versions)

        monkeypatch.setattr(target, "adopt", adopt)
        with pytest.raises(KeyboardInterrupt):
            await copy(source, target)
        assert 0 < await target.feed_head() < 84
    monkeypatch.setattr(target, "adopt", before)
    await source.commit(SYSTEM, [Put(patient("late"))])
    assert (await copy(source, target)).versions == 85
    assert await everything(target) == await everything(source)


async def test_a_store_in_use_is_copied_as_it_is_at_one_moment(pair: tuple[Movable, Movable]) -> None:
    source, target = pair
    await fill(source)
    stop = asyncio.Event()

    async def write() -> None:
        n = 0
        while not stop.is_set():
            n += 1
            await source.commit(SYSTEM, [Put(patient(f"w{n}")), PutRecord(Record("written", f"w{n}"))])

    writing = asyncio.create_task(write())
    outcome = await copy(source, target)
    stop.set()
    await writing
    assert outcome.differences == ()
    assert await target.check() == []
    patients = {stored.id async for stored in target.scan(SYSTEM, ["Patient"])}
    records = {record.key for record in await target.find_records(SYSTEM, "written", limit=100_000)}
    assert records <= patients


async def test_owner_marks_that_change_meanwhile_are_those_of_the_source(
    pair: tuple[Movable, Movable], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child is treated at a second hospital while a store in use is copied: before it is copied, after, and while it is compared."""
    source, target = pair
    await fill(source)
    monkeypatch.setattr("app.store.moving.PAGE", 5)
    read, calls = source.versions, 0
    shared = {2: "p0", 3: "p38", 22: "p20"}  # seventeen pages are copied, then compared

    async def versions(after: int, limit: int) -> Any:
        nonlocal calls
        calls += 1
        if calls in shared:
            await source.commit(SYSTEM, [Share("Patient", shared[calls], frozenset({SOUTH}))])
        if calls == 25:  # its first version was compared, its second not yet
            await source.commit(SYSTEM, [Put(patient("p1", "Elsewhere"), owners=frozenset({SOUTH}))])
        return await read(after, limit)

    monkeypatch.setattr(source, "versions", versions)
    assert (await copy(source, target)).differences == ()
    assert await target.check() == []
    assert [one.owners for one in await target.versions(0, 84)] == [one.owners for one in await read(0, 84)]
    assert calls == 34


async def test_owner_marks_that_changed_before_an_interrupted_copy_goes_on_are_those_of_the_source(
    pair: tuple[Movable, Movable], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = pair
    await fill(source)
    monkeypatch.setattr("app.store.moving.PAGE", 10)
    before = target.adopt

    async def adopt(versions: Any) -> None:
        if versions[0].seq > 70:
            raise KeyboardInterrupt
        await before(versions)

    monkeypatch.setattr(target, "adopt", adopt)
    with pytest.raises(KeyboardInterrupt):
        await copy(source, target)
    monkeypatch.setattr(target, "adopt", before)
    await source.commit(SYSTEM, [Share("Patient", "p0", frozenset({SOUTH}))])
    await source.commit(SYSTEM, [Put(patient("p1", "Elsewhere"), owners=frozenset({SOUTH}))])
    assert (await copy(source, target)).differences == ()
    assert await everything(target) == await everything(source)
    assert await target.check() == []


async def test_no_more_bytes_than_a_store_bears_are_moved_at_once(
    pair: tuple[Movable, Movable], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = pair
    for kind in ("sqlite", "mongo"):
        monkeypatch.setattr(f"app.store.{kind}.moving.BYTES", 3000)
    await source.commit(SYSTEM, [Put(patient(f"p{n}", "x" * (7000 if n == 5 else 900))) for n in range(20)])
    before, sizes = target.adopt, []

    async def adopt(versions: Any) -> None:
        sizes.append([len(one.raw) for one in versions])
        await before(versions)

    monkeypatch.setattr(target, "adopt", adopt)
    assert (await copy(source, target)).differences == ()
    assert max(sum(some[:-1]) for some in sizes) <= 3000 and len(sizes) > 5
    assert await everything(target) == await everything(source)


@pytest.mark.parametrize(
    "what",
    [lambda store: store.commit(SYSTEM, [Put(patient("x"))]), lambda store: store.commit(SYSTEM, [PutRecord(Record("k", "x"))])],
)
async def test_what_is_there_is_never_overwritten(pair: tuple[Movable, Movable], what: Callable[[Movable], Any]) -> None:
    source, target = pair
    await fill(source)
    await what(target)
    with pytest.raises(Conflict):
        await copy(source, target)
    with pytest.raises(NotFound):
        await target.read(SYSTEM, "Patient", "p1")


async def test_a_difference_is_found(pair: tuple[Movable, Movable], monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = pair
    await fill(source)
    before = target.adopt

    async def spoil(versions: Any) -> None:
        await before([one._replace(raw=one.raw.replace(b"Changed", b"CHANGED")) for one in versions])

    monkeypatch.setattr(target, "adopt", spoil)
    outcome = await copy(source, target)
    assert outcome.differences == ("Patient/p1 version 2 (number 81) differs.",)


async def test_what_the_nation_searches_by_finds_in_the_copy(
    pair: tuple[Movable, Movable], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.store.definitions.SETTLE", 0.0)
    source, target = pair
    parameter = {"resourceType": "SearchParameter", "id": "said", "url": "http://example.org/said", "name": "Said"}
    parameter |= {"status": "active", "code": "said", "base": ["Patient"], "type": "string", "expression": "Patient.name.text"}
    await source.commit(SYSTEM, [Put(patient("a") | {"name": [{"text": "Angus"}]})])
    await source.commit(SYSTEM, [Put(parameter)])
    await Reindexing(source).drain()
    assert (await copy(source, target)).differences == ()
    target.indexing = await load(target)  # as whoever opens it does
    plan = parse("Patient", [("said", "angus")], strict=True, parameters=target.indexing.parameters)
    assert [found.id for found in (await target.search(SYSTEM, plan)).matches] == ["a"]
    assert await target.check() == []

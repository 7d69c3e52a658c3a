"""Reads that share a look-up: each its own answer, its own refusal, and never an old one."""

import asyncio

import pytest
from pymongo.errors import AutoReconnect

from app.fhir.errors import Gone, NotFound, Unavailable
from app.security.access import SYSTEM
from app.store.protocol import Delete, Put
from tests.contract.builders import AT_NORTH, NORTH, SOUTH, patient
from tests.support import MongoStore


async def test_each_gets_its_own_answer(store: MongoStore) -> None:
    await store.commit(SYSTEM, [Put(patient(f"p{n}"), owners=frozenset({NORTH if n % 2 else SOUTH})) for n in range(10)])
    await store.commit(SYSTEM, [Delete("Patient", "p3")])
    answers = await asyncio.gather(
        *(store.read(access, "Patient", f"p{n}") for n in range(300) for access in (SYSTEM, AT_NORTH)), return_exceptions=True
    )
    for n in range(300):
        whole, north = answers[2 * n : 2 * n + 2]
        if n >= 10:
            assert isinstance(whole, NotFound) and isinstance(north, NotFound)
        elif n == 3:
            assert isinstance(whole, Gone) and isinstance(north, Gone)
        else:
            assert whole.id == f"p{n}"
            assert north == whole if n % 2 else isinstance(north, NotFound)


async def test_a_read_after_a_write_is_never_of_before(store: MongoStore) -> None:
    stop = asyncio.Event()

    async def others() -> None:
        while not stop.is_set():
            await asyncio.gather(*(store.read(SYSTEM, "Patient", "a") for _ in range(5)))

    await store.commit(SYSTEM, [Put(patient("a"))])
    reading = [asyncio.create_task(others()) for _ in range(3)]
    for version in range(2, 40):
        await store.commit(SYSTEM, [Put(patient("a", f"N{version}"))])
        assert (await store.read(SYSTEM, "Patient", "a")).version == version
    stop.set()
    await asyncio.gather(*reading)


async def test_a_caller_who_goes_away_takes_nobody_along(store: MongoStore) -> None:
    await store.commit(SYSTEM, [Put(patient("a"))])
    tasks = [asyncio.create_task(store.read(SYSTEM, "Patient", "a")) for _ in range(10)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(answer).__name__ for answer in answers] == ["CancelledError"] + ["Stored"] * 9


async def test_a_lost_connection_is_told_to_all(store: MongoStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*_arguments: object) -> object:
        raise AutoReconnect("gone")

    monkeypatch.setattr(store._reads, "_resources", type("Lost", (), {"find": staticmethod(lost)}))
    answers = await asyncio.gather(*(store.read(SYSTEM, "Patient", f"p{n}") for n in range(5)), return_exceptions=True)
    assert all(isinstance(answer, Unavailable) for answer in answers)

"""The feed between processes: nothing that another commits falls between two looks."""

import asyncio

import pytest

from app.security.access import SYSTEM
from app.store.mongo import feed
from app.store.protocol import Put
from tests.contract.builders import patient
from tests.support import MongoStore, open_mongo_store


async def test_what_comes_between_a_look_and_the_next_wakes(
    store: MongoStore, mongodb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = await open_mongo_store(mongodb)
    head = store._feed.head

    async def slow() -> int:
        found = await head()
        if not found:
            await other.commit(SYSTEM, [Put(patient("a"))])
            await other.feed_head()  # so that it has its number, too
        return found

    monkeypatch.setattr(store._feed, "head", slow)
    assert await asyncio.wait_for(store.wait_for_change(0, 60), 10) is True
    await other.close()


async def test_a_moment_while_much_waits_for_its_number(store: MongoStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """More names than one question holds (here they are long, else they would have to be a quarter of a million)."""
    monkeypatch.setattr(feed, "BATCH", 100)

    async def wait_for_numbers(part: str) -> None:
        version = {"v": 1, "u": 1, "a": "create", "raw": b"{}", "w": [], "pending": True}
        names = [f"Patient/{part}{n:060000}" for n in range(300)]
        await store._db.version.insert_many([version | {"_id": f"{name}/1", "r": name, "t": "Patient", "o": 1} for name in names])

    await wait_for_numbers("a")
    assert [head async for head, _ in store.moment()] == [300]

    number = store._feed.number

    async def too_early() -> None:
        """Others commit before the snapshot is there."""
        monkeypatch.setattr(store._feed, "number", number)
        await number()
        await wait_for_numbers("b")

    monkeypatch.setattr(store._feed, "number", too_early)
    assert [head async for head, _ in store.moment()] == [600]
    await store.empty()

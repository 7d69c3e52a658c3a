"""The feed between processes: nothing that another commits falls between two looks."""

import asyncio

import pytest

from app.security.access import SYSTEM
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

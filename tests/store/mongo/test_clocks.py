"""Clocks of several machines: one that is ahead harms what it writes, and nothing else."""

import pytest

from app.security.access import SYSTEM
from app.store.protocol import Put
from tests.contract.builders import patient
from tests.support import MongoStore, open_mongo_store

DAY = 86_400_000_000
NOW = 1_800_000_000_000_000


async def test_a_clock_that_is_ahead_does_not_set_those_of_others(
    store: MongoStore, mongodb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead = await open_mongo_store(mongodb)
    monkeypatch.setattr("app.store.mongo.store.micros", lambda: NOW + DAY)
    await ahead.commit(SYSTEM, [Put(patient("a"))])
    monkeypatch.setattr("app.store.mongo.store.micros", lambda: NOW)
    # In one transaction with it, and afterwards.
    second, beside = await store.commit(SYSTEM, [Put(patient("a", "Beta")), Put(patient("b"))])
    (after,) = await store.commit(SYSTEM, [Put(patient("c"))])
    (third,) = await store.commit(SYSTEM, [Put(patient("a", "Gamma"))])
    assert second and beside and after and third
    assert [one.updated for one in (second, beside, after, third)] == [NOW + DAY, NOW, NOW, NOW + DAY]
    assert second.resource["meta"]["lastUpdated"] > beside.resource["meta"]["lastUpdated"]
    found = (await store.history(SYSTEM, "Patient")).matches
    assert [(one.id, one.version) for one in found] == [("a", 3), ("a", 2), ("a", 1), ("c", 1), ("b", 1)]
    assert [change.version for change in await store.feed(0) if change.id == "a"] == [1, 2, 3]
    assert await store.check() == []
    await ahead.close()

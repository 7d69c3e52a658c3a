"""A clock that jumps, as clocks of machines do: order and numbers are those of the writes, whatever the time says."""

import pytest

from app.security.access import SYSTEM
from app.store.protocol import Put, Store
from tests.contract.builders import patient

HOUR = 3_600_000_000
NOW = 1_800_000_000_000_000


async def test_a_clock_that_jumps_changes_no_order(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    times = [NOW, NOW + 5 * HOUR, NOW - 7 * HOUR, NOW - 7 * HOUR, NOW + HOUR]
    for n, at in enumerate(times):
        monkeypatch.setattr("app.store.sqlite.store.micros", lambda at=at: at)
        monkeypatch.setattr("app.store.mongo.store.micros", lambda at=at: at)
        await store.commit(SYSTEM, [Put(patient("a", f"N{n}")), Put(patient(f"p{n}"))])
    assert [found.version for found in (await store.history(SYSTEM, "Patient", "a")).matches] == [5, 4, 3, 2, 1]
    everything = (await store.history(SYSTEM)).matches
    assert [found.reference for found in everything if found.id != "a"] == [f"Patient/p{n}" for n in (4, 3, 2, 1, 0)]
    assert [(change.id, change.version) for change in await store.feed(0) if change.id == "a"] == [("a", n) for n in range(1, 6)]
    assert await store.check() == []

"""Helpers that tests of every room may use."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from app.store.mongo import store as store_module
from app.store.open import open_store
from app.store.protocol import Store


async def open_test_store(directory: Path) -> Store:
    """An open store in a directory of the test's own; the caller closes it."""
    store = open_store(f"sqlite:///{directory / 'store.db'}")
    await store.open()
    return store


async def open_mongo_store(url: str, extract: store_module.Extract | None = None) -> Store:
    """An open, empty store in a database of this test process. Emptied, not dropped: thirty indexes are slow to make."""
    store = MongoStore(with_database(url, f"csor_test_{os.environ.get('PYTEST_XDIST_WORKER', '0')}"), extract)
    await store.open()
    await store.empty()
    return store


async def empty_mongo_url(url: str) -> str:
    """Where such a store is, for other processes to open."""
    await (await open_mongo_store(url)).close()
    return with_database(url, f"csor_test_{os.environ.get('PYTEST_XDIST_WORKER', '0')}")


def with_database(url: str, name: str) -> str:
    """The same servers, another database."""
    parts = urlsplit(url)
    return parts._replace(path=f"/{name}").geturl()


class MongoStore(store_module.MongoStore):
    """With a way to begin anew, which no other store should have."""

    async def empty(self) -> None:
        for name in ("resource", "version", "record", "claim"):
            await self._db[name].delete_many({})
        await self._db.setting.update_one({"_id": "feed"}, {"$set": {"seq": 0}})


def until(true: Callable[[], Any], seconds: float = 90) -> Any:
    """What `true` returns, once it is something."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := true():
            return found
        time.sleep(0.1)
    raise AssertionError("it did not come about in time")

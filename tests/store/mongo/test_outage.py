"""While no primary answers, everybody hears so after one wait for it, however many wait together."""

import asyncio
import time
from pathlib import Path

import pytest

from app.fhir.errors import Unavailable
from app.security.access import SYSTEM
from app.store.protocol import Guard, Put
from tests import mongod
from tests.contract.builders import by_identifier, identified
from tests.support import MongoStore


async def test_the_last_of_many_waits_no_longer_than_the_first(tmp_path: Path, mongodb: str) -> None:
    if mongod.binary() is None:
        pytest.skip("no mongod of our own to take away")
    servers = mongod.ReplicaSet(tmp_path)
    servers.start()
    store = MongoStore(f"{servers.url}&serverSelectionTimeoutMS=1000")
    try:
        await store.open()
        servers.members[0].kill()

        async def waited(n: int, *guards: Guard) -> float:
            begun = time.monotonic()
            with pytest.raises(Unavailable):
                await store.commit(SYSTEM, [Put(identified(f"p{n}", f"n{n}"))], guards)
            return time.monotonic() - begun

        assert await waited(0) < 4
        assert max(await asyncio.gather(*map(waited, range(400)))) < 4
        assert max(await asyncio.gather(*(waited(n, Guard(by_identifier(f"n{n}"))) for n in range(80)))) < 4
    finally:
        await store.close()
        servers.stop()

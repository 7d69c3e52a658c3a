"""The MongoDB store beside bare MongoDB with the same write concern and beside the SQLite store, on a replica set of one that it starts.

`CSOR_BENCH_PATIENTS` sets the greater of the two sizes (default 16,000).
"""

import asyncio
import itertools
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from pymongo import AsyncMongoClient

from app.fhir.search.query import parse
from app.security.access import SYSTEM
from app.store.mongo.connection import MAJORITY
from app.store.open import open_store
from app.store.protocol import Put, Store
from bench.http import _free_port, _load, _one, _request, _serving
from bench.report import Report
from bench.store import ROUND, cost, create_rate, patient
from tests import mongod

SMALL, GREAT = 1_000, int(os.environ.get("CSOR_BENCH_PATIENTS", "16000"))
SEARCHES = [
    "identifier=urn:bench|7",
    "family=family7&_count=20",
    "birthdate=ge2012&gender=female&_count=20",
    "_sort=birthdate&_count=20",
    "_sort=-_lastUpdated&_count=20",
    "name:contains=mily7&_count=20",
]


async def run(report: Report) -> None:
    """See the module's docstring."""
    if mongod.binary() is None:
        report.line("not run", "no mongod: `make install-dev` brings one")
        return
    with tempfile.TemporaryDirectory() as directory:
        servers = mongod.ReplicaSet(Path(directory) / "mongod")
        servers.start()
        store = open_store(servers.url)
        sqlite = open_store(f"sqlite:///{Path(directory) / 'store.db'}")
        await store.open()
        await sqlite.open()
        try:
            await _creates(report, store, servers.url)
            await _reads(report, store, sqlite)
            rates = [await asyncio.to_thread(_http_reads, url) for url in (servers.url, f"sqlite:///{directory}/store.db") * 2]
            report.rate("read by id over HTTP, 16 connections", max(rates[::2]), "SQLite store", max(rates[1::2]), target=0.4)
        finally:
            await store.close()
            await sqlite.close()
            servers.stop()


async def bare_rate(url: str, writers: int) -> float:
    """`insert_one` of 1 kB a second, one document each, with the store's own write concern."""
    numbers = itertools.count(writers * 1_000_000)
    done = 0
    async with AsyncMongoClient[dict[str, Any]](url) as client:
        bare = client.csor_bare.get_collection("t", write_concern=MAJORITY)
        end = time.perf_counter() + ROUND

        async def write() -> None:
            nonlocal done
            while time.perf_counter() < end:
                await bare.insert_one({"_id": next(numbers), "raw": b"x" * 1000})
                done += 1

        await asyncio.gather(*(write() for _ in range(writers)))
    return done / ROUND


async def rate(call: Callable[[], Awaitable[Any]], callers: int) -> float:
    """Calls a second of so many callers."""
    done = 0
    end = time.perf_counter() + ROUND

    async def work() -> None:
        nonlocal done
        while time.perf_counter() < end:
            await call()
            done += 1

    await asyncio.gather(*(work() for _ in range(callers)))
    return done / ROUND


async def _creates(report: Report, store: Store, url: str) -> None:
    for writers in (1, 16):
        bare = await bare_rate(url, writers)
        ours = await create_rate(store, writers, writers * 1_000_000)
        target = 0.5 if writers == 16 else None
        report.rate(f"durable create, {writers} at once", ours, "bare insert_one, same concern", bare, target=target)


async def _reads(report: Report, store: Store, sqlite: Store) -> None:
    have, before = 0, dict[str, float]()
    for size in (SMALL, GREAT):
        start = time.perf_counter()
        for first in range(have, size, 400):
            await store.commit(SYSTEM, [Put(patient(n)) for n in range(first, min(first + 400, size))])
        spent = (time.perf_counter() - start) / (size - have)
        have = size
        report.line(f"bulk insert to {size:,} patients", f"{spent * 1e6:,.0f} µs each")
        for query in SEARCHES:
            plan = parse("Patient", [tuple(part.split("=", 1)) for part in query.split("&")])  # type: ignore[misc]
            spent = await cost(lambda plan=plan: store.search(SYSTEM, plan))  # type: ignore[misc]
            if query in before:
                report.cost(f"Patient?{query}, {size:,}", spent, f"at {SMALL:,}", before[query], target=1 / 1.5)
            else:
                before[query] = spent
    await sqlite.commit(SYSTEM, [Put(patient(n)) for n in range(SMALL)])
    names = itertools.cycle([f"p{n}" for n in range(SMALL)])
    ours = await rate(lambda: store.read(SYSTEM, "Patient", next(names)), 16)
    theirs = await rate(lambda: sqlite.read(SYSTEM, "Patient", next(names)), 1)
    report.rate("read by id, 16 at once, without HTTP", ours, "SQLite store", theirs)


def _http_reads(url: str) -> float:
    """Reads a second of one `csor serve` on a store that holds the patients."""
    port = _free_port()
    command = [sys.executable, "-m", "app.cli", "serve", "--sandbox", "--port", str(port), "--mllp-port", "-1", "--store", url]
    with _serving(command, port):
        status, _ = asyncio.run(_one(port, _request("GET", "/fhir/Patient/p7")))
        assert status == 200
        return asyncio.run(_load(port, 16, lambda n: _request("GET", f"/fhir/Patient/p{n % SMALL}"), 200))

"""The MongoDB store beside bare MongoDB with the same write concern and beside the SQLite store, on a replica set of one that it starts.

`CSOR_BENCH_PATIENTS` sets the greater of the two sizes (default 16,000).
"""

import asyncio
import itertools
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import uvloop
from pymongo import AsyncMongoClient

from app.fhir.search.query import parse
from app.security.access import SYSTEM
from app.store.mongo.connection import MAJORITY
from app.store.open import open_store
from app.store.protocol import Put, Store
from bench.http import ROUNDS, _free_port, _load, _one, _request, _serving, _turns
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
            ours, theirs = await asyncio.to_thread(_http_reads, servers.url, f"sqlite:///{directory}/store.db")
            report.rate("read by id over HTTP, 16 connections", ours, "SQLite store", theirs, target=0.4)
        finally:
            await store.close()
            await sqlite.close()
            servers.stop()


async def bare_rate(url: str, writers: int, turn: int) -> float:
    """`insert_one` of 1 kB a second, one document each, with the store's own write concern."""
    numbers = itertools.count((writers * 10 + turn) * 1_000_000)
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
        rounds = []
        for turn in range(ROUNDS):  # in turns, as in `bench.http`
            bare = await bare_rate(url, writers, turn)
            rounds.append((await create_rate(store, writers, (writers * 10 + turn) * 1_000_000), bare))
        ours, bare = (statistics.median(column) for column in zip(*rounds, strict=True))
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


def _http_reads(*urls: str) -> list[float]:
    """Reads a second of one `csor serve` on each store, both up, asked in turns."""
    ports = [_free_port() for _ in urls]
    serve = [sys.executable, "-m", "app.cli", "serve", "--sandbox", "--mllp-port", "-1"]
    with ExitStack() as stack:
        for port, url in zip(ports, urls, strict=True):
            stack.enter_context(_serving([*serve, "--port", str(port), "--store", url], port))
            status, _ = asyncio.run(_one(port, _request("GET", "/fhir/Patient/p7")))
            assert status == 200

        def reads(port: int) -> float:
            return uvloop.run(_load(port, 16, lambda n: _request("GET", f"/fhir/Patient/p{n % SMALL}"), 200))

        for port in ports:
            reads(port)  # a server that has just begun has other things to do
        return _turns(*(partial(reads, port) for port in ports))

"""The store beside bare SQLite and beside its own targets: durable creates, reads, searches at two sizes, bulk insertion."""

import asyncio
import sqlite3
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from app.fhir.search.query import parse
from app.security.access import SYSTEM
from app.store.open import open_store
from app.store.protocol import Put, Store
from bench.report import Report

ROUND = 1.5  # seconds for each rate
FAMILIES = 500


def observation(n: int) -> dict[str, Any]:
    """About 1 kB and 20 index rows."""
    return {
        "resourceType": "Observation",
        "id": f"o{n}",
        "status": "final",
        "category": [
            {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "vital-signs"}]}
        ],
        "code": {
            "coding": [{"system": "http://loinc.org", "code": f"code-{n % 50}", "display": "A measured thing"}],
            "text": "A measured thing",
        },
        "subject": {"reference": f"Patient/p{n % FAMILIES}"},
        "encounter": {"reference": f"Encounter/e{n % 5000}"},
        "effectiveDateTime": f"20{10 + n % 15}-{1 + n % 12:02}-{1 + n % 28:02}T10:00:00Z",
        "valueQuantity": {"value": n % 200, "unit": "cm", "system": "http://unitsofmeasure.org", "code": "cm"},
        "note": [{"text": "x" * 400}],
    }


def patient(n: int) -> dict[str, Any]:
    """A child of nobody."""
    return {
        "resourceType": "Patient",
        "id": f"p{n}",
        "identifier": [{"system": "urn:bench", "value": str(n)}],
        "name": [{"family": f"Family{n % 100}", "given": ["Given"]}],
        "gender": "female" if n % 2 else "male",
        "birthDate": f"20{10 + n % 15}-01-01",
    }


def bare_rate(path: str, writers: int) -> float:
    """Commits a second of threads that each insert one row of 1 kB durably: what SQLite and the disk allow without us."""
    sqlite3.connect(path).executescript("PRAGMA journal_mode = WAL; CREATE TABLE t (id INTEGER PRIMARY KEY, raw BLOB)")
    end = time.perf_counter() + ROUND
    done = [0] * writers

    def write(number: int) -> None:
        connection = sqlite3.connect(path, isolation_level=None, timeout=30)
        connection.execute("PRAGMA synchronous = FULL")
        while time.perf_counter() < end:
            connection.execute("INSERT INTO t (raw) VALUES (?)", (b"x" * 1000,))
            done[number] += 1
        connection.close()

    threads = [threading.Thread(target=write, args=(number,)) for number in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(done) / ROUND


async def create_rate(store: Store, writers: int, first: int) -> float:
    """Durable creates a second, one resource a commit."""
    numbers = iter(range(first, first + 10_000_000))
    end = time.perf_counter() + ROUND
    done = 0

    async def write() -> None:
        nonlocal done
        while time.perf_counter() < end:
            await store.commit(SYSTEM, [Put(observation(next(numbers)))])
            done += 1

    await asyncio.gather(*(write() for _ in range(writers)))
    return done / ROUND


async def cost(call: Callable[[], Awaitable[Any]], seconds: float = 0.4) -> float:
    """Seconds a call, the best of five rounds."""
    await call()
    best = 1e9
    for _ in range(5):
        done, start = 0, time.perf_counter()
        while (spent := time.perf_counter() - start) < seconds / 5:
            await call()
            done += 1
        best = min(best, spent / done)
    return best


SEARCHES = [
    ("Patient", "identifier=urn:bench|7"),
    ("Patient", "family=family7"),
    ("Observation", "patient=p7&code=http://loinc.org|code-7"),
    ("Observation", "code=http://loinc.org|code-7&_sort=-date&_count=50"),
    ("Observation", "code=http://loinc.org|code-7&date=ge2020&_count=20"),
    ("Observation", "subject:Patient.family=family7&_count=20"),
    ("Patient", "identifier=urn:bench|7&_revinclude=Observation:subject"),
]


async def run(report: Report) -> None:
    """See the module's docstring."""
    with tempfile.TemporaryDirectory() as directory:
        store = open_store(f"sqlite:///{Path(directory) / 'store.db'}")
        await store.open()
        try:
            await _creates(report, store, directory)
            await _reads(report, store)
        finally:
            await store.close()


async def _creates(report: Report, store: Store, directory: str) -> None:
    for writers in (1, 16):
        bare = await asyncio.to_thread(bare_rate, str(Path(directory) / f"bare{writers}.db"), writers)
        ours = await create_rate(store, writers, writers * 1_000_000)
        report.rate(f"durable create, {writers} at once", ours, "bare SQLite commits", bare, target=0.4)


async def _reads(report: Report, store: Store) -> None:
    await store.commit(SYSTEM, [Put(patient(n)) for n in range(FAMILIES)])
    have = 0
    for size in (1_000, 20_000):
        start = time.perf_counter()
        for first in range(have, size, 400):
            await store.commit(SYSTEM, [Put(observation(n)) for n in range(first, min(first + 400, size))])
        spent = (time.perf_counter() - start) / (size - have)
        have = size
        report.cost(f"bulk insert to {size:,}, extraction included", spent, "wanted", 500e-6, target=1.0)
        report.line(f"read by id, {size:,}", f"{await cost(lambda: store.read(SYSTEM, 'Observation', 'o7')) * 1e6:.1f} µs")
        for type, query in SEARCHES:
            plan = parse(type, [tuple(part.split("=", 1)) for part in query.split("&")])  # type: ignore[misc]
            report.line(f"{type}?{query}, {size:,}", f"{await cost(lambda plan=plan: store.search(SYSTEM, plan)) * 1e6:,.0f} µs")  # type: ignore[misc]

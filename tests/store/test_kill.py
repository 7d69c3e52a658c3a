"""Kill -9 under load, and several processes on one store: what was acknowledged is there."""

import subprocess
import sys
from pathlib import Path

import pytest

from app.security.access import SYSTEM
from app.store.open import open_store
from tests.support import empty_mongo_url

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(params=["sqlite", "mongodb"])
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A store with nothing in it."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store.db'}"
    return await empty_mongo_url(request.getfixturevalue("mongodb"))


def start(url: str, name: str, *more: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "tests.store.writer_process", url, name, *more]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)


async def verify(url: str, acknowledged: set[str]) -> None:
    store = open_store(url)
    await store.open()
    try:
        patients = {stored.id async for stored in store.scan(SYSTEM, ["Patient"])}
        observations = {stored.id async for stored in store.scan(SYSTEM, ["Observation"])}
        assert acknowledged <= patients
        assert patients == observations
        assert await store.count_records(SYSTEM, "k") == len(patients)
        changes = [change.seq for change in await store.feed(0, limit=1_000_000)]
        assert changes == list(range(1, 2 * len(patients) + 1))
        assert await store.check() == []
    finally:
        await store.close()


async def test_nothing_acknowledged_is_lost_to_kill_9(url: str) -> None:
    acknowledged: set[str] = set()
    for round_ in range(3):
        process = start(url, f"r{round_}")
        assert process.stdout is not None
        for _ in range(150 + 70 * round_):
            acknowledged.add(process.stdout.readline().decode().strip())
        process.kill()
        rest = process.stdout.read().decode().split("\n")
        process.wait()
        acknowledged.update(rest[:-1])
        await verify(url, acknowledged)
    assert len(acknowledged) >= 660


async def test_two_processes_share_one_store(url: str) -> None:
    store = open_store(url)
    await store.open()
    processes = [start(url, name, "120") for name in ("one", "two")]
    seen = 0
    while seen < 480:
        if not await store.wait_for_change(seen, 30):
            pytest.fail("another process' commits were not noticed")
        for change in await store.feed(seen):
            seen += 1
            assert change.seq == seen
    for process in processes:
        process.communicate(timeout=60)
        assert process.returncode == 0
    await store.close()
    await verify(url, {f"{name}-{n}" for name in ("one", "two") for n in range(120)})

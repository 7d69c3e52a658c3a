"""Two processes after the same thing, `CSOR_TORTURE_ATTEMPTS` times (default 10,000): no duplicate, no lost update, on either store."""

import asyncio
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from app.security.access import SYSTEM
from app.store.open import open_store
from app.store.protocol import Put
from tests.contract.builders import patient
from tests.torture.racer import AT_ONCE, RACES

ATTEMPTS = int(os.environ.get("CSOR_TORTURE_ATTEMPTS", "10000"))
ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.torture, pytest.mark.timeout(1800)]


@pytest.mark.parametrize("kind", RACES)
async def test_of_two_processes_one_wins(url: str, kind: str) -> None:
    store = open_store(url)
    await store.open()
    await store.commit(SYSTEM, [Put(patient("counter", "0"))])
    command = [sys.executable, "-m", "tests.torture.racer", url, kind, str(ATTEMPTS // 2)]
    racers = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [await asyncio.to_thread(racer.communicate) for racer in racers]
    assert [racer.returncode for racer in racers] == [0, 0]
    won = sum(int(output) for output, _ in outputs)
    things = -(-(ATTEMPTS // 2) // AT_ONCE)
    if kind == "update":
        counter = await store.read(SYSTEM, "Patient", "counter")
        assert counter.resource["name"][0]["family"] == str(won)
        assert counter.version == won + 1
    else:
        there = [stored async for stored in store.scan(SYSTEM, ["Patient"]) if stored.id != "counter"]
        values = Counter(stored.resource["identifier"][0]["value"] for stored in there)
        assert [value for value, number in values.items() if number > 1] == []
        assert len(values) == won == things
    subjects = Counter([stored.resource["subject"]["reference"] async for stored in store.scan(SYSTEM, ["Observation"])])
    assert set(subjects.values()) <= {1}
    assert await store.check() == []
    await store.close()

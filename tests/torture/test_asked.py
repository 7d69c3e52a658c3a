"""Tens of thousands of searches, asked of both stores over the same data: made ones of every type, and HL7's own examples where they are.

`CSOR_TORTURE_SEARCHES` sets how many for each of the worlds (default 10,000).
"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from app.fhir.codec import decode
from app.security.access import SHARED, SYSTEM
from app.store.protocol import Put, Store
from tests.contract import wide
from tests.contract.beside import Beside, beside, same
from tests.contract.builders import NORTH, SOUTH

SEARCHES = int(os.environ.get("CSOR_TORTURE_SEARCHES", "10000"))
pytestmark = [pytest.mark.torture, pytest.mark.timeout(3600)]


@pytest.mark.parametrize("seed", [1, 2])
async def test_both_stores_answer_alike_about_what_is_made(mongodb: str, tmp_path: Path, seed: int) -> None:
    async with beside(mongodb, tmp_path, wide.extract) as both:
        await wide.fill(both.one, seed)
        await _ask(both, seed)


async def test_and_about_examples(mongodb: str, tmp_path: Path, csor_data: Callable[[str], Path]) -> None:
    async with beside(mongodb, tmp_path, wide.extract) as both:
        await _fill(both.one, csor_data("hl7.fhir.r4.examples-4.0.1"))
        await _ask(both, 3)


async def _fill(store: Store, examples: Path) -> None:
    marks = [frozenset({NORTH}), frozenset({SOUTH}), frozenset({SHARED})]
    writes: list[Put] = []
    for file in sorted(examples.rglob("*.json")):
        resource = decode(file.read_bytes())
        if "id" in resource and "resourceType" in resource and file.stat().st_size < 100_000:
            writes.append(Put(resource, owners=marks[len(writes) % 3]))
    for start in range(0, len(writes), 20):
        await store.commit(SYSTEM, writes[start : start + 20])


async def _ask(both: Beside, seed: int) -> None:
    await same(both)
    assert await both.differences(await both.asking(seed), SEARCHES, enough=10) == []
    print(f"\n{SEARCHES:,} searches: {dict(both.number)}")
    assert both.number["found"] > SEARCHES / 4

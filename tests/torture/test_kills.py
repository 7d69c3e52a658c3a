"""kill -9 of the application under load, again and again, on either store: nothing acknowledged is lost, nothing is half, the feed has no gap.

`CSOR_TORTURE_KILLS` sets how often (default 20).
"""

import asyncio
import os
import random
from collections import defaultdict
from pathlib import Path

import pytest

from app.store.open import open_store
from tests.journeys.conftest import csor, launch
from tests.torture.history import anomalies
from tests.torture.workload import Workload

KILLS = int(os.environ.get("CSOR_TORTURE_KILLS", "20"))
pytestmark = [pytest.mark.torture, pytest.mark.timeout(1800)]


async def test_nothing_acknowledged_dies_with_the_application(url: str, tmp_path: Path) -> None:
    pick = random.Random(KILLS)
    node = await asyncio.to_thread(launch, tmp_path, "--store", url)
    port = node.base.rpartition(":")[2]
    workload = Workload([node.fhir])
    working = asyncio.create_task(workload.run(3600))
    try:
        for _ in range(KILLS):
            await workload.more(pick.randrange(20, 200))
            assert not working.done()
            await asyncio.to_thread(node.kill)
            node = await asyncio.to_thread(launch, tmp_path, "--store", url, "--port", port)
        await workload.more(100)
        workload.stop()
        await working
        history = workload.history
        print(
            f"\n{url.partition(':')[0]}, {KILLS} kills: {workload.answers} answers, {history.unknown} unknown,"
            f" {sum(map(len, history.refused.values()))} refused, {len(workload.created)} children,"
            f" {sum(map(len, workload.appended.values()))} appended"
        )
        assert anomalies(history) == []
        assert await workload.lost() == []
    finally:
        workload.stop()
        node.kill()
    checked = await asyncio.to_thread(csor, "check", "--store", url)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    await _feed_is_whole(url)


async def _feed_is_whole(url: str) -> None:
    """Numbers and versions without a gap; both of a pair are written equally often."""
    store = open_store(url)
    await store.open()
    versions: dict[str, list[int]] = defaultdict(list)
    seen = 0
    while changes := await store.feed(seen):
        for change in changes:
            seen += 1
            assert change.seq == seen
            versions[f"{change.type}/{change.id}"].append(change.version)
    await store.close()
    assert seen > KILLS
    for name, numbers in versions.items():
        assert numbers == list(range(1, len(numbers) + 1)), name
    for pair in ("0", "1"):
        assert versions[f"Patient/t{pair}a"] == versions[f"Patient/t{pair}b"] != []

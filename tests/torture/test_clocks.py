"""Clocks that jump by hours under load, forward and back, at one node and not at another: nothing acknowledged is lost, no order changes, and what follows
the change feed goes on following it.

MongoDB's own clock stays: what a member's clock does is between MongoDB and its operators.
"""

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests import mongod
from tests.journeys.conftest import Server, csor, launch
from tests.torture.history import anomalies
from tests.torture.workload import Workload

SECONDS = float(os.environ.get("CSOR_TORTURE_SECONDS", "12"))
HOUR = 3600
JUMPS = (5 * HOUR, -7 * HOUR, 0, -26 * HOUR, 26 * HOUR, 1, -HOUR)
pytestmark = [pytest.mark.torture, pytest.mark.timeout(600)]

# Python runs this before anything else in a node: its one clock is then as wrong as the file says.
SHIFT = """
import datetime, os
import app.clock

class Shifted(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        with open(os.environ["CSOR_TEST_CLOCK"]) as file:
            return super().now(tz) + datetime.timedelta(seconds=float(file.read() or 0))

app.clock.datetime = Shifted
"""


class Node:
    """A server with a clock of its own."""

    def __init__(self, directory: Path, url: str) -> None:
        directory.mkdir()
        (directory / "sitecustomize.py").write_text(SHIFT)
        self._clock = directory / "clock"
        self.set(0)
        env = {"PYTHONPATH": str(directory), "CSOR_TEST_CLOCK": str(self._clock)}
        self.server: Server = launch(directory / "data", "--store", url, env=env)

    def set(self, seconds: float) -> None:
        """Wrong by so much from now on. Renamed into place: it is read all the time."""
        fresh = self._clock.with_suffix(".new")
        fresh.write_text(str(seconds))
        fresh.rename(self._clock)


@pytest.fixture(params=["sqlite", "mongodb"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'csor.db'}"
        return
    if mongod.binary() is None:
        pytest.skip("no mongod to torture: install the development dependencies")
    servers = mongod.ReplicaSet(tmp_path / "mongod")
    try:
        servers.start()
        yield servers.url
    finally:
        servers.stop()


async def test_clocks_that_jump_lose_nothing_and_hold_nothing_up(url: str, tmp_path: Path) -> None:
    nodes: list[Node] = []
    try:
        for number in range(2):
            nodes.append(await asyncio.to_thread(Node, tmp_path / f"node{number}", url))
        workload = Workload([node.server.fhir for node in nodes])
        working = asyncio.create_task(workload.run(2 * SECONDS))
        for turn, jump in enumerate(JUMPS):
            await asyncio.sleep(2 * SECONDS / (len(JUMPS) + 1))
            nodes[turn % 2].set(jump)
        await working
        history = workload.history
        print(f"\n{len(history.events)} answers, {sum(map(len, history.refused.values()))} refused, {history.unknown} unknown")
        assert anomalies(history) == []
        assert await workload.lost() == []
        assert len(history.events) > 50
        assert history.unknown == 0
        # The node that held the leases dies while its clock is a day ahead; the other, whose clock is right, is not held up by them.
        nodes[0].set(26 * HOUR)
        nodes[1].set(26 * HOUR)
        await _settled(nodes[1].server)
        nodes[0].server.kill()
        nodes[1].set(0)
        await workload_once(nodes[1].server)
        await _settled(nodes[1].server)
    finally:
        for node in nodes:
            node.server.kill()
    checked = await asyncio.to_thread(csor, "check", "--store", url)
    assert checked.returncode == 0, checked.stdout + checked.stderr


async def workload_once(server: Server) -> None:
    """One more change for the consumers."""
    async with httpx.AsyncClient(base_url=server.fhir, timeout=60) as client:
        body = {"resourceType": "Patient", "id": "after", "name": [{"text": "after"}]}
        assert (await client.put("/Patient/after", json=body)).status_code in (200, 201)


async def _settled(server: Server) -> None:
    """Until every consumer has come to the end of the feed: a dead node's lease ends after ten seconds."""
    end = time.monotonic() + 60
    async with httpx.AsyncClient(base_url=server.base, timeout=60) as client:
        while time.monotonic() < end:
            feed = (await client.get("/health/detail")).json()["feed"]
            if feed["consumers"] and all(cursor["seq"] == feed["head"] for cursor in feed["consumers"].values()):
                return
            await asyncio.sleep(0.2)
    raise AssertionError(f"the consumers stand still: {feed}")

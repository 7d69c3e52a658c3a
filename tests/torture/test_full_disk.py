"""A disk that fills up under load, on both stores: callers hear of it, and nothing that was acknowledged is lost.

Each store lies on a small file system of its own, which only root may mount.
"""

import asyncio
import errno
import os
import subprocess
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
PATIENCE = 90.0
pytestmark = [pytest.mark.torture, pytest.mark.timeout(600)]


class SmallDisk:
    """A file system in memory, and a ballast file that fills it."""

    def __init__(self, path: Path, megabytes: int) -> None:
        self.path, self._ballast = path, path / "ballast"
        path.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "none", str(path)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            pytest.skip(f"no small file system could be mounted, which only root may: {done.stderr.strip()}")

    def fill(self) -> None:
        """To the last byte."""
        with self._ballast.open("ab", buffering=0) as file:
            for size in (1 << 20, 4096, 1):
                try:
                    while True:
                        file.write(b"\0" * size)
                except OSError as error:
                    assert error.errno == errno.ENOSPC

    def free(self) -> None:
        """As if somebody had cleared up."""
        self._ballast.unlink()

    def unmount(self) -> None:
        subprocess.run(["umount", "--lazy", str(self.path)], check=True)


@pytest.fixture(params=[("sqlite", 60), ("mongodb", 500)], ids=lambda param: param[0])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SmallDisk]:
    if request.param[0] == "mongodb" and mongod.binary() is None:
        pytest.skip("no mongod to torture: install the development dependencies")
    small = SmallDisk(tmp_path / request.param[0], request.param[1])
    yield small
    small.unmount()


async def test_a_full_disk_is_told_and_loses_nothing(disk: SmallDisk, tmp_path: Path) -> None:
    servers = mongod.ReplicaSet(disk.path / "mongod") if disk.path.name == "mongodb" else None
    node: Server | None = None
    caring: asyncio.Task[None] | None = None
    try:
        if servers is not None:
            await asyncio.to_thread(servers.start)
        url = servers.url if servers else f"sqlite:///{disk.path / 'csor.db'}"
        node = await asyncio.to_thread(launch, tmp_path / "node", "--store", url)
        workload = Workload([node.fhir])
        working = asyncio.create_task(workload.run(3 * SECONDS))
        await asyncio.sleep(SECONDS / 4)
        await asyncio.to_thread(disk.fill)
        refused = await _asked_until(node, 503)
        assert "retry-after" in refused.headers
        sentence = refused.json()["issue"][0]["diagnostics"]
        print(f"\n{disk.path.name}: {sentence}")
        if servers is None:
            assert "disk is full" in sentence
            assert (await _read(node)).status_code in (200, 404)  # reading goes on
        await asyncio.to_thread(disk.free)
        if servers is not None:
            caring = asyncio.create_task(_looked_after(servers.members[0]))
        assert (await _asked_until(node, 200, 201)).status_code in (200, 201)
        await working
        history = workload.history
        print(f"{len(history.events)} answers, {sum(map(len, history.refused.values()))} refused, {history.unknown} unknown")
        assert anomalies(history) == []
        assert await workload.lost() == []
        assert len(history.events) > 50
        node.kill()
        end = time.monotonic() + PATIENCE  # MongoDB keeps a killed node's transaction for a while, and the feed's counter with it
        checked = await asyncio.to_thread(csor, "check", "--store", url)
        while "try again" in checked.stderr and time.monotonic() < end:
            checked = await asyncio.to_thread(csor, "check", "--store", url)
        assert checked.returncode == 0, checked.stdout + checked.stderr
    finally:
        if caring is not None:
            caring.cancel()
        if node is not None:
            node.kill()
        if servers is not None:
            servers.stop()


async def _asked_until(node: Server, *wanted: int) -> httpx.Response:
    """The first answer to a write that has one of these codes."""
    end = time.monotonic() + PATIENCE
    async with httpx.AsyncClient(base_url=node.fhir, timeout=60) as client:
        while time.monotonic() < end:
            body = {"resourceType": "Patient", "id": "asked", "name": [{"text": f"{time.monotonic()}" + "x" * 50_000}]}
            try:
                answer = await client.put("/Patient/asked", json=body)
            except httpx.TimeoutException:
                continue
            if answer.status_code in wanted:
                return answer
    raise AssertionError(f"no answer was one of {wanted}")


async def _read(node: Server) -> httpx.Response:
    async with httpx.AsyncClient(base_url=node.fhir, timeout=60) as client:
        return await client.get("/Patient/l0")


async def _looked_after(member: mongod.Member) -> None:
    """MongoDB stops where it cannot write, at once or at its next checkpoint; whoever looks after it starts it again."""
    while True:
        if member.process is not None and member.process.poll() is not None:
            member.start()
        await asyncio.sleep(1)

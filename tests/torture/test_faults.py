"""Two nodes on three members, and what may happen to them: nothing acknowledged is lost, nothing half is seen, no version is given twice.

`CSOR_TORTURE_SECONDS` sets how long each fault's workload runs (default 12).
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from tests import mongod
from tests.journeys.conftest import Server, csor, launch
from tests.torture.history import anomalies
from tests.torture.workload import Workload

SECONDS = float(os.environ.get("CSOR_TORTURE_SECONDS", "12"))
pytestmark = [pytest.mark.torture, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[mongod.ReplicaSet]:
    if mongod.binary() is None:
        reason = "no mongod to torture: install the development dependencies"
        if os.environ.get("CSOR_TEST_REQUIRE") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    running = mongod.ReplicaSet(tmp_path_factory.mktemp("servers"), members=3)
    try:
        running.start()
        yield running
    finally:
        running.stop()


Fault = Callable[[mongod.ReplicaSet, list[Server]], Awaitable[None]]


async def nothing(servers: mongod.ReplicaSet, nodes: list[Server]) -> None:
    return


async def kill_the_primary(servers: mongod.ReplicaSet, nodes: list[Server]) -> None:
    primary = await asyncio.to_thread(servers.primary)
    primary.kill()
    await asyncio.sleep(SECONDS / 4)
    primary.start()  # and it comes back


async def freeze_the_primary(servers: mongod.ReplicaSet, nodes: list[Server]) -> None:
    primary = await asyncio.to_thread(servers.primary)
    primary.freeze()
    await asyncio.sleep(SECONDS / 3)
    primary.thaw()


async def all_members_gone(servers: mongod.ReplicaSet, nodes: list[Server]) -> None:
    for member in servers.members:
        member.kill()
    await asyncio.sleep(10)
    for member in servers.members:
        member.start()


async def kill_a_node(servers: mongod.ReplicaSet, nodes: list[Server]) -> None:
    for _ in range(2):
        nodes[1].kill()
        nodes[1] = await asyncio.to_thread(
            launch, nodes[1].data, "--store", servers.url, "--port", nodes[1].base.rpartition(":")[2]
        )
        await asyncio.sleep(SECONDS / 8)


@pytest.mark.parametrize("fault", [nothing, kill_the_primary, freeze_the_primary, all_members_gone, kill_a_node])
async def test_what_was_acknowledged_holds(servers: mongod.ReplicaSet, fault: Fault, tmp_path: Path) -> None:
    await asyncio.to_thread(_empty, servers)
    nodes = list(await asyncio.gather(*(asyncio.to_thread(launch, tmp_path / str(n), "--store", servers.url) for n in range(2))))
    try:
        workload = Workload([node.fhir for node in nodes])
        working = asyncio.create_task(workload.run(SECONDS + (10 if fault is all_members_gone else 0)))
        await asyncio.sleep(SECONDS / 4)
        await fault(servers, nodes)
        await working
        await asyncio.to_thread(servers.primary)
        history = workload.history
        print(
            f"\n{fault.__name__}: {len(history.events)} answers, {sum(map(len, history.refused.values()))} refused, {history.unknown} unknown"
        )
        assert anomalies(history) == []
        assert await workload.lost() == []
        assert len(history.events) > 50
    finally:
        for node in nodes:
            node.kill()
    checked = await asyncio.to_thread(csor, "check", "--store", servers.url)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def _empty(servers: mongod.ReplicaSet) -> None:
    from pymongo import MongoClient

    servers.primary()
    with MongoClient(servers.url) as client:
        client.drop_database("csor")

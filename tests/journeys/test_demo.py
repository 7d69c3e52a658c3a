"""The whole loop in one command: a small nation through every door, equal to the truth, safe to run twice and to stop anywhere."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from app.demo.setting import opened, recall, store_url
from app.security.access import SYSTEM
from app.store.protocol import Put
from tests.journeys.conftest import csor
from tests.support import empty_mongo_url

EQUAL = "every reported count are equal"
HEAD = 2200  # of the change feed when 72 children have nearly been played


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "mongodb"])
def test_a_small_nation_plays_equal_to_the_truth_and_twice_is_safe(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setenv("CSOR_STORE", "mongodb://127.0.0.1:1/real-children")  # of a site: no demonstration goes there
    arguments = ("demo", "--once", "--per-year", "24", "--port", "0", "--data", str(tmp_path / "demo"))
    if kind == "mongodb":
        arguments += ("--store", asyncio.run(empty_mongo_url(request.getfixturevalue("mongodb"))))
    first = csor(*arguments, timeout=240)
    assert first.returncode == 0, first.stdout + first.stderr
    assert EQUAL in " ".join(first.stdout.split())
    assert "/fhir" in first.stdout and "/follow-up/parent_" in first.stdout and "Ratio" in first.stdout
    again = csor(*arguments, timeout=240)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "nothing is sent twice" in again.stdout


async def test_it_plays_among_no_real_children_and_with_no_letters_of_another_nation(tmp_path: Path) -> None:
    async with opened(store_url(tmp_path)) as store:
        await store.commit(SYSTEM, [Put({"resourceType": "Patient", "id": "real"}, owners=frozenset({"RXX"}))])
    refused = csor("demo", "--once", "--data", str(tmp_path))
    assert refused.returncode == 1 and "holds something that is no demonstration" in refused.stderr
    async with opened(store_url(tmp_path)) as store:
        assert await store.feed_head() == 1
    (tmp_path / "letters").mkdir()
    refused = csor("demo", "--once", "--data", str(tmp_path), "--store", f"sqlite:///{tmp_path / 'other.db'}")
    assert refused.returncode == 1 and "the letters of a demonstration on another store" in refused.stderr


@pytest.mark.slow
async def test_stopped_while_it_plays_it_goes_on_from_there(tmp_path: Path) -> None:
    assert await interrupted(tmp_path, 1, "everything killed") == ""
    assert "run it again to go on" in await interrupted(tmp_path, 500, "ctrl-c")
    assert "The server fell" in await interrupted(tmp_path, 1500, "server killed")
    assert await interrupted(tmp_path, HEAD, "everything killed") == ""
    await ends_equal(tmp_path)


def command(data: Path) -> list[str]:
    return [sys.executable, "-m", "app.cli", "demo", "--once", "--per-year", "24", "--port", "0", "--data", str(data)]


async def interrupted(data: Path, head: int, how: str) -> str:
    """Play until the change feed has come to `head`, then break it off; what the player had to say at the end."""
    player = subprocess.Popen(command(data), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    async with opened(store_url(data)) as store:
        while await store.feed_head() < head:
            assert player.poll() is None, f"it came to its end before {head}: {player.communicate()[0]}"
            await asyncio.sleep(0.01)
    while not (server := children_of(player.pid)) and how == "server killed":
        await asyncio.sleep(0.01)  # what an earlier run left may be past `head` already
    if how == "ctrl-c":
        player.send_signal(signal.SIGINT)
    if how in ("everything killed", "player killed"):
        player.kill()
    if how in ("everything killed", "server killed"):
        for process in server:
            os.kill(process, signal.SIGKILL)
    said, _ = await asyncio.to_thread(player.communicate, timeout=120)
    for process in server:
        while alive(process):  # a server whose player was killed stops by itself
            await asyncio.sleep(0.01)
    assert player.returncode != 0
    return "" if how == "everything killed" else said.replace("\n", " ")


async def ends_equal(data: Path) -> None:
    """One more run plays to the end, and finds everything as it truly is."""
    last = await asyncio.to_thread(subprocess.run, command(data), capture_output=True, text=True, timeout=240, check=False)
    assert last.returncode == 0, last.stdout + last.stderr
    assert EQUAL in " ".join(last.stdout.split())
    assert re.search(r"Letters to parents +\S+ +(\d+)/\1 ", last.stdout)
    async with opened(store_url(data)) as store:
        cast = await recall(store)
        assert cast is not None and cast.played


def children_of(process: int) -> list[int]:
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    return [int(pid) for pid, parent in (line.split() for line in listed.splitlines()) if int(parent) == process]


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True

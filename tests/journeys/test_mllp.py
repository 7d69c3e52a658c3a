"""A hospital's integration engineer: registers the feed, sends, reads the work list, replays, and loses nothing when the power goes."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from app.intake.hl7v2.client import Client
from app.intake.hl7v2.er7 import parse
from tests.intake.hl7v2.messages import message, pid, pv1
from tests.journeys.conftest import Server, csor


async def listening(server: Server) -> tuple[str, int]:
    """The MLLP address, once somebody listens there (HTTP may be up a moment earlier)."""
    assert server.mllp is not None
    for _ in range(300):
        try:
            _, writer = await asyncio.open_connection(*server.mllp)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return server.mllp
    raise AssertionError("nobody listens for HL7v2:\n" + "\n".join(server.lines))


def sent(server: Server, *messages: bytes) -> list[str]:
    """MSA-1 of each answer, over one connection."""

    async def run() -> list[str]:
        async with Client(*await listening(server)) as client:
            return [parse(await client.send(raw))["MSA-1"] for raw in messages]

    return asyncio.run(run())


def test_a_message_becomes_resources_that_fhir_shows(server: Server) -> None:
    assert sent(
        server, message("A01", pid(), pv1()), message("A03", pid(), pv1(f36="19", f45="202403101400"), at="20240310140500")
    ) == ["AA", "AA"]
    with server.client() as client:
        found = client.get("/Patient", params={"identifier": "https://fhir.nhs.uk/Id/nhs-number|9990000018"}).json()
        [patient] = [entry["resource"] for entry in found["entry"]]
        visits = client.get("/Encounter", params={"patient": f"Patient/{patient['id']}"}).json()
        assert [entry["resource"]["status"] for entry in visits["entry"]] == ["finished"]


def test_a_feed_is_registered_watched_and_replayed(start_server: Callable[..., Server], tmp_path: Path) -> None:
    server = start_server(sandbox=False)
    host, port = asyncio.run(listening(server))
    to = ("--to", f"{host}:{port}")
    good, bad = tmp_path / "good.hl7", tmp_path / "bad.hl7"
    good.write_bytes(message("A01", pid(), pv1()))
    bad.write_bytes(message("A08", pid(f7="20240230"), pv1(), at="20240302000000"))

    refused = csor("hl7", "send", str(good), *to)
    assert refused.returncode == 1 and "AR MSH-3" in refused.stdout + refused.stderr
    added = csor("hl7", "sender", "add", "PAS", "RXX", "--hospital", "RXX", "--store", server.store)
    assert added.returncode == 0, added.stderr
    taken = csor("hl7", "send", str(good), *to)
    assert taken.returncode == 0 and "1 accepted, 0 not." in taken.stdout
    wrong = csor("hl7", "send", str(bad), *to)
    assert wrong.returncode == 1 and "AE PID-7" in wrong.stdout + wrong.stderr
    listed = csor("hl7", "errors", "--store", server.store)
    assert listed.returncode == 1 and "PID-7" in listed.stdout and "processed 1" in listed.stdout
    replayed = csor("hl7", "replay", "--all-errors", "--store", server.store)
    assert replayed.returncode == 1 and "0 mapped, 1 not." in replayed.stdout
    assert server.stop() == 0


SENDER = """
import asyncio, sys
from app.intake.hl7v2.client import Client
from tests.intake.hl7v2.messages import message, pid, pv1

async def feed(which):
    async with Client("127.0.0.1", int(sys.argv[1])) as client:
        for number in range(100000):
            name = f"K{sys.argv[2]}x{which}x{number}"
            mode = {"f15": "AL", "f16": "NE"} if which % 2 else {}
            await client.send(message("A01", pid(mrn=name, nhs=""), pv1(visit=name), control=name, **mode))
            print(name, flush=True)

async def main():
    await asyncio.gather(*map(feed, range(6)), return_exceptions=True)

asyncio.run(main())
"""


@pytest.mark.slow
def test_what_was_acknowledged_survives_a_kill_and_is_mapped_after_it(start_server: Callable[..., Server]) -> None:
    data, acknowledged = None, set()
    for life in range(2):
        server = start_server(data=data)
        data = server.data
        arguments = [sys.executable, "-c", SENDER, str(asyncio.run(listening(server))[1]), str(life)]
        sender = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
        assert sender.stdout is not None
        for _ in range(60):
            acknowledged.add(sender.stdout.readline().strip())
        server.kill()
        acknowledged.update(line.strip() for line in sender.stdout if line.strip())
        sender.wait(timeout=30)
    server = start_server(data=data)
    with server.client() as client:
        waited = 0
        while _waiting(server):
            waited += 1
            assert waited < 100, "stored messages stay unmapped"
        missing = []
        for name in acknowledged:
            system = "https://csor.example.org/Id/mrn/RXX"
            found = client.get("/Patient", params={"identifier": f"{system}|{name}", "_summary": "count"}).json()
            if found["total"] != 1:
                missing.append(name)
    assert len(acknowledged) >= 120 and missing == []
    assert server.stop() == 0


def _waiting(server: Server) -> bool:
    listed = csor("hl7", "errors", "--state", "received", "--store", server.store)
    return "received 0" not in listed.stdout


def test_two_server_processes_share_the_port_and_the_work(start_server: Callable[..., Server]) -> None:
    server = start_server("--workers", "2")

    async def run() -> list[str]:
        address = await listening(server)

        async def hospital(number: int) -> str:
            async with Client(*address) as client:
                await client.send(message("A01", pid(), pv1(), control=f"a{number}"))
                return parse(await client.send(message("A08", pid(f8="1"), pv1(), at="20240302000000", control=f"b{number}")))[
                    "MSA-1"
                ]

        return await asyncio.gather(*map(hospital, range(8)))

    assert set(asyncio.run(run())) == {"AA"}
    with server.client() as client:
        found = client.get("/Patient", params={"_summary": "count"}).json()
        assert found["total"] == 1, json.dumps(found)
    assert server.stop() == 0

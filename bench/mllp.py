"""MLLP: durable accepts (enhanced mode) beside a bare asyncio server with one SQLite commit a message, and mapped messages a second.

Each server runs in a process of its own, so that the sender's work is not counted as the server's.
"""

import asyncio
import multiprocessing
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from app import logs
from app.intake.hl7v2 import er7
from app.intake.hl7v2.client import Client
from app.intake.hl7v2.mllp import Framer, frame
from bench.report import Report, timed

COUNT = 1500
PID = "PID|1||{nhs}M{n}^^^ZAA^MR||Example^Baby^^^^^L||20240228|2|||1 Road^^Town^^AB1 2CD^^H||0123|||||||||A"
NK1 = "NK1|1|Example^Parent|MTH||^NET^Internet^parent@example.org"
PV1 = "PV1|1|I|NICU^^^ZAA|82|||||C3456789^Darwin^Sam^^^Dr^^^GMC|171||||19|||||V{n}|||||||||||||||||||||||||202403010900"
DG1 = "DG1|1||Q39.1^Oesophageal atresia^ICD10||20240301|F"
PR1 = "PR1|1||G07.1^Repair of fistula^OPCS4||202402291030"


def admission(number: int, *, enhanced: bool, event: str = "A01", at: str = "20240301090000") -> bytes:
    """A typical admission, 0.6 kB."""
    mode = "|||AL|NE" if enhanced else ""
    head = f"MSH|^~\\&|PAS|ZAA|CSOR|CSOR|{at}||ADT^{event}|{event}{number}|T|2.4{mode}"
    parts = [head, f"EVN|{event}|{at}", PID.format(n=number, nhs=""), NK1, PV1.format(n=number), DG1, PR1]
    return ("\r".join(parts) + "\r").encode()


async def run(report: Report) -> None:
    """Parsing, then accepting with 1, 4 and 16 connections, then mapping."""
    raw = admission(1, enhanced=False)
    report.line("parse an admission", f"{timed(lambda: er7.parse(raw)) * 1e6:,.1f} µs")
    for connections in (1, 4, 16):
        with _server(_yardstick) as (address, _):
            bare, _ = await _play(address, connections, enhanced=True)
        with _server(_ours, False) as (address, pid):
            before = _cpu(pid)
            rate, count = await _play(address, connections, enhanced=True)
            core = count / (_cpu(pid) - before)
        report.rate(f"durable accept, {connections} connections", rate, "asyncio and one commit each", bare)
        report.line(f"  of one core, {connections} connections", f"{core:,.0f} /s", "target 1,000 /s", core / 1000, 1.0)
    for connections in (1, 8):
        with _server(_ours, True) as (address, pid):
            before = _cpu(pid)
            rate, count = await _play(address, connections, enhanced=False)
            cost = (_cpu(pid) - before) / count
        report.line(f"mapped and acknowledged, {connections} connections", f"{rate:,.0f} /s", "", rate / 200, 1.0)
        report.line(
            f"  processor time a message, {connections} connections", f"{cost * 1e3:,.2f} ms", "target 2 ms", 0.002 / cost, 1.0
        )


async def _play(address: tuple[str, int], connections: int, *, enhanced: bool) -> tuple[float, int]:
    """Messages a second, and how many."""
    share = COUNT // connections

    async def sender(which: int) -> None:
        async with Client(*address) as client:
            for number in range(share):
                event, at = ("A01", "20240301090000") if number % 2 == 0 else ("A08", "20240302090000")
                answer = await client.send(admission(which * share + number // 2, enhanced=enhanced, event=event, at=at))
                assert b"|AA|" in answer or b"|CA|" in answer, answer

    start = time.perf_counter()
    await asyncio.gather(*map(sender, range(connections)))
    return share * connections / (time.perf_counter() - start), share * connections


def _cpu(pid: int) -> float:
    """Seconds of processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


@contextmanager
def _server(target: Callable[..., None], *arguments: Any) -> Iterator[tuple[tuple[str, int], int]]:
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    with tempfile.TemporaryDirectory(prefix="csor-bench-") as directory:
        process = spawn.Process(target=target, args=(directory, theirs, *arguments), daemon=True)
        process.start()
        try:
            yield ours.recv(), process.pid or 0
        finally:
            process.kill()
            process.join()


def _ours(directory: str, pipe: Any, maps: bool) -> None:
    """The listener on a store; with `maps` False the worker leaves what is stored to a later hour, as in a burst."""
    from app.intake.hl7v2.listener import MLLPServer
    from app.store.open import open_store

    async def serve() -> None:
        logs.configure("error")
        store = open_store(f"sqlite:///{directory}/bench.db")
        await store.open()
        server = MLLPServer(store, port=0, sandbox=True)
        if not maps:
            server.worker.run = lambda stop: stop.wait()  # type: ignore[method-assign,assignment,return-value]
        task = asyncio.create_task(server.run(asyncio.Event()))
        await server.ready.wait()
        pipe.send(server.address)
        await task

    asyncio.run(serve())


def _yardstick(directory: str, pipe: Any) -> None:
    """What anybody would write first: frame, one INSERT with its own durable commit, a canned answer."""
    database = sqlite3.connect(f"{directory}/yardstick.db", isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")
    database.execute("CREATE TABLE message (id INTEGER PRIMARY KEY, raw BLOB)")

    async def serve() -> None:
        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            framer = Framer()
            while data := await reader.read(65536):
                for event in framer.feed(data):
                    database.execute("INSERT INTO message (raw) VALUES (?)", (event.data,))
                    writer.write(frame(b"MSH|^~\\&|||||1||ACK|1|T|2.4\rMSA|CA|1\r"))
                await writer.drain()
            writer.close()

        server = await asyncio.start_server(connected, "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname()[:2])
        await server.serve_forever()

    asyncio.run(serve())

"""The FHIR facade over HTTP, against a bare Starlette route under the same uvicorn and against a bare loop of SQLite commits.

One process serves at a time; the client is a raw asyncio loop on keep-alive connections, the same for both.
"""

import asyncio
import contextlib
import os
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import uvloop

from bench.report import Report

SECONDS = float(os.environ.get("BENCH_SECONDS", "0.7"))  # of one run
ROUNDS = 5
READERS, WRITERS = 8, 16
PATIENT = (
    b'{"resourceType":"Patient","identifier":[{"system":"https://example.org/mrn","value":"%d"}],"active":true,'
    b'"name":[{"family":"Example","given":["One","Two"]}],"gender":"female","birthDate":"2023-05-06",'
    b'"address":[{"line":["1 Street"],"city":"Town","postalCode":"AB1 2CD"}],"text":{"status":"generated",'
    b'"div":"<div xmlns=\\"http://www.w3.org/1999/xhtml\\">' + b"x" * 1200 + b'</div>"}}'
)
BARE = """
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route
RAW = open({file!r}, "rb").read()
async def read(request):
    return Response(RAW, media_type="application/fhir+json")
app = Starlette(routes=[Route("/fhir/{{type}}/{{id}}", read)])
"""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def _serving(command: list[str], port: int, cwd: str | None = None) -> Iterator[int]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=cwd)
    try:
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            time.sleep(0.05)
        yield process.pid
    finally:
        process.terminate()
        process.wait(20)


def _request(method: str, path: str, body: bytes = b"", headers: str = "") -> bytes:
    kind = f"content-type: application/fhir+json\r\ncontent-length: {len(body)}\r\n" if body else ""
    return f"{method} {path} HTTP/1.1\r\nhost: localhost\r\naccept: application/fhir+json\r\n{headers}{kind}\r\n".encode() + body


class _Client(asyncio.Protocol):
    """One keep-alive connection that asks again as soon as it is answered: cheap, so that it does not hide the server's cost."""

    def __init__(self, shared: "_Shared") -> None:
        self._shared, self._buffer, self._missing = shared, b"", 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._ask()

    def _ask(self) -> None:
        self._transport.write(self._shared.make(self._shared.done))  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        if self._missing:
            self._missing -= len(data)
        else:
            self._buffer += data
            head, mark, body = self._buffer.partition(b"\r\n\r\n")
            if not mark:
                return
            assert int(head[9:12]) == self._shared.expected, head
            length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            self._missing, self._buffer = int(length or 0) - len(body), b""
        if self._missing == 0:
            self._shared.done += 1
            if time.perf_counter() < self._shared.end:
                self._ask()
            else:
                self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        self._shared.open -= 1
        if not self._shared.open:
            self._shared.over.set()


class _Shared:
    def __init__(self, make: Callable[[int], bytes], expected: int, connections: int) -> None:
        self.make, self.expected, self.open, self.done = make, expected, connections, 0
        self.end, self.over = time.perf_counter() + SECONDS, asyncio.Event()


async def _load(port: int, connections: int, make: Callable[[int], bytes], expected: int) -> float:
    """Answers a second; `make(n)` is the bytes of request n."""
    loop, shared = asyncio.get_running_loop(), _Shared(make, expected, connections)
    start = time.perf_counter()
    for _ in range(connections):
        await loop.create_connection(lambda: _Client(shared), "127.0.0.1", port)
    await shared.over.wait()
    return shared.done / (time.perf_counter() - start)


def _processor(pid: int, port: int, request: bytes) -> float:
    """Processor seconds that a server spends on one answer: what neighbours on the machine cannot distort."""
    before = _used(pid)
    rate = uvloop.run(_load(port, READERS, lambda n: request, 200))
    return (_used(pid) - before) / (rate * SECONDS)


def _used(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _one(port: int, request: bytes) -> tuple[int, bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
    body = await reader.readexactly(length)
    writer.close()
    return int(head[9:12]), body


def _sqlite_loop(path: Path, writers: int) -> float:
    """Commits a second of a bare loop: one row of the same bytes each, WAL, synchronous=FULL, as many writers as threads."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, raw BLOB)")
    counts, end = [0] * writers, time.perf_counter() + SECONDS

    def write(n: int) -> None:
        with contextlib.closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as db:
            db.execute("PRAGMA synchronous=FULL")
            while time.perf_counter() < end:
                db.execute("BEGIN IMMEDIATE")
                db.execute("INSERT INTO t (raw) VALUES (?)", (PATIENT,))
                db.execute("COMMIT")
                counts[n] += 1

    threads = [threading.Thread(target=write, args=(n,)) for n in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / SECONDS


def _turns(*measures: Callable[[], float]) -> list[float]:
    """Medians of `ROUNDS` short runs of each, in turns: on a machine with other work a ratio of neighbours is the only honest one."""
    samples = [[measure() for measure in measures] for _ in range(ROUNDS)]
    return [statistics.median(column) for column in zip(*samples, strict=True)]


def run(report: Report) -> None:
    """Read by id, search and durable create."""
    with tempfile.TemporaryDirectory() as name:
        data = Path(name)
        _bench(report, data)


def _bench(report: Report, data: Path) -> None:
    token = subprocess.run(
        [sys.executable, "-m", "app.cli", "client", "add", "bench", "--role", "national", "--data", str(data)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    bearer = f"authorization: Bearer {token}\r\n"
    port, bare_port = _free_port(), _free_port()
    serve = [sys.executable, "-m", "app.cli", "serve", "--port", str(port), "--mllp-port", "-1", "--data", str(data)]
    bare_serve = [
        sys.executable,
        "-m",
        "uvicorn",
        "bare:app",
        "--port",
        str(bare_port),
        "--no-access-log",
        "--log-level",
        "error",
    ]
    (data / "raw.json").write_bytes(b"")
    (data / "bare.py").write_text(BARE.format(file=str(data / "raw.json")))
    with _serving(serve, port) as pid:
        status, raw = asyncio.run(_one(port, _request("POST", "/fhir/Patient", PATIENT % 0, bearer)))
        assert status == 201
        (data / "raw.json").write_bytes(raw)
        id = raw.partition(b'"id":"')[2].partition(b'"')[0].decode()
        read = _request("GET", f"/fhir/Patient/{id}", headers=bearer)
        search = _request("GET", "/fhir/Patient?identifier=https://example.org/mrn%7C0", headers=bearer)
        with _serving(bare_serve, bare_port, cwd=str(data)) as bare_pid:
            ours, searched, bare = _turns(
                lambda: _processor(pid, port, read),
                lambda: _processor(pid, port, search),
                lambda: _processor(bare_pid, bare_port, read),
            )
        report.cost(
            "read by id, with a token (server's processor time)", ours, "bare Starlette route, same bytes", bare, target=0.6
        )
        report.cost("search by identifier", searched, "the same bare route", bare)

        def create(n: int) -> bytes:
            return _request("POST", "/fhir/Patient", PATIENT % n, bearer)

        for writers, target in ((WRITERS, 0.4), (1, None)):
            created, loop = _turns(
                lambda writers=writers: uvloop.run(_load(port, writers, create, 201)),  # type: ignore[misc]
                lambda writers=writers: _sqlite_loop(data / "loop.db", writers),  # type: ignore[misc]
            )
            report.rate(
                f"durable create, {writers} writer(s)", created, "bare SQLite commits, as many threads", loop, target=target
            )

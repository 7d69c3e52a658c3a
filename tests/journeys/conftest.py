"""A real server in a process of its own, as a hospital meets it: `csor serve` on free ports and a data directory that goes away.

`server` is a sandbox shared by a module; `start_server(...)` starts others (`start_server(sandbox=False)`, `start_server("--workers", "2")`).
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

START_SECONDS = 60


@dataclass
class Server:
    """`base` is the root URL, `fhir` the FHIR base, `mllp` where HL7v2 listens."""

    process: subprocess.Popen[str]
    data: Path
    base: str
    mllp: tuple[str, int] | None
    lines: list[str] = field(default_factory=list)  # what it printed, both streams

    @property
    def fhir(self) -> str:
        return f"{self.base}/fhir"

    @property
    def store(self) -> str:
        """The store's URL, for `csor … --store`."""
        return f"sqlite:///{self.data.resolve() / 'csor.db'}"

    def client(self, token: str | None = None, **more: Any) -> httpx.Client:
        """A client with the FHIR base as its base URL."""
        headers = {"authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(base_url=self.fhir, headers=headers, timeout=60, **more)

    def stop(self) -> int:
        """Ctrl-C, and the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=60)

    def kill(self) -> None:
        """As if the power went."""
        self.process.kill()
        self.process.wait(timeout=60)


def csor(*arguments: str, input: str | None = None, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """Runs one command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "app.cli", *arguments], input=input, capture_output=True, text=True, timeout=timeout, check=False
    )


def launch(data: Path, *arguments: str, sandbox: bool = True, env: dict[str, str] | None = None) -> Server:
    """`csor serve`, up and answering."""
    command = [sys.executable, "-m", "app.cli", "serve", "--port", "0", "--mllp-port", "0", "--data", str(data)]
    command += ["--sandbox"] if sandbox else []
    process = subprocess.Popen(
        [*command, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})},
    )
    lines: list[str] = []
    announced = threading.Event()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line.rstrip("\n"))
            if line.startswith("Ctrl-C"):
                announced.set()
        announced.set()

    threading.Thread(target=read, daemon=True).start()
    announced.wait(START_SECONDS)
    text = "\n".join(lines)
    base = re.search(r"FHIR base\s+(http://\S+)/fhir", text)
    if base is None:
        process.kill()
        raise AssertionError(f"the server did not start:\n{text}")
    mllp = re.search(r"MLLP\s+(\S+):(\d+)", text)
    server = Server(process, data, base[1], (mllp[1], int(mllp[2])) if mllp else None, lines)
    transport = httpx.HTTPTransport(retries=5)
    with httpx.Client(transport=transport, timeout=START_SECONDS) as client:
        # the socket listens before the application is up, so one request waits for it
        for _ in range(200):
            try:
                if client.get(f"{server.base}/health").status_code == 200:
                    return server
            except httpx.TransportError:
                if process.poll() is not None:
                    raise AssertionError("the server fell:\n" + "\n".join(lines)) from None
                threading.Event().wait(0.05)
    raise AssertionError("the server never became healthy")


@pytest.fixture(scope="session")
def start_server() -> Iterator[Callable[..., Server]]:
    """A factory; whatever it started is stopped at the end."""
    with tempfile.TemporaryDirectory(prefix="csor-journeys-") as root:
        started: list[Server] = []

        def start(*arguments: str, sandbox: bool = True, data: Path | None = None, env: dict[str, str] | None = None) -> Server:
            server = launch(data or Path(tempfile.mkdtemp(dir=root)), *arguments, sandbox=sandbox, env=env)
            started.append(server)
            return server

        yield start
        for server in started:
            if server.process.poll() is None:
                server.kill()


@pytest.fixture(scope="module")
def server(start_server: Callable[..., Server]) -> Iterator[Server]:
    """A sandbox for one module of tests."""
    running = start_server()
    yield running
    running.stop()

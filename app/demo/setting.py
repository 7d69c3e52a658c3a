"""The stage: a store, who may come in, and a running `csor serve` on it, as a site would set them up."""

import asyncio
import contextlib
import os
import secrets
import socket
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import msgspec

from app.demo.nation import Nation
from app.fhir.errors import Conflict, Unavailable
from app.intake.hl7v2 import senders
from app.registry.identity import organisation
from app.security.access import SHARED, SYSTEM
from app.security.identity import Identities
from app.store import open_store
from app.store.protocol import Put, PutRecord, Record, Store

KEY = "simulated-nation"


class Cast(msgspec.Struct):
    """Which nation, and who may come in. Kept in the store, so that another run finds the same."""

    seed: int
    today: str  # the day for which the nation was simulated
    per_year: int = 550
    tokens: dict[str, str] = {}  # by ODS code; "national" for the national body
    passwords: dict[str, str] = {}  # of the staff users, by user name
    played: bool = False
    child: str = ""  # Patient id of a child at the hospital that stands out, to fill in an operative record for
    link: str = ""  # path of the link of a parent who has not answered, to try the pages with


@dataclass(frozen=True, slots=True)
class Server:
    """A running server: its store, its addresses, its process, and the file in which it says what troubles it."""

    store: str = field(repr=False)  # its URL, which may hold a password
    base: str
    mllp_port: int
    process: Process
    log: Path


def store_url(data: Path) -> str:
    """The embedded store of a data directory."""
    return f"sqlite:///{data.resolve() / 'csor.db'}"


@contextlib.asynccontextmanager
async def opened(url: str) -> AsyncIterator[Store]:
    """The store, made where there is none, closed at the end."""
    store = open_store(url)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def recall(store: Store) -> Cast | None:
    """What an earlier run left, if there was one. Raises Conflict for a store that holds anything else: real children stay apart from simulated ones."""
    record = await store.get_record(SYSTEM, "demo", KEY)
    if record is None and await store.feed_head():
        raise Conflict(f"{store.url} holds something that is no demonstration: name an empty store.")
    return msgspec.json.decode(record.body, type=Cast) if record else None


async def remember(store: Store, cast: Cast) -> None:
    """Keep the cast for the next run."""
    await store.commit(SYSTEM, [PutRecord(Record("demo", KEY, msgspec.json.encode(cast)))])


async def prepare(store: Store, nation: Nation, cast: Cast) -> None:
    """Hospitals, API clients, staff users and HL7v2 senders; goes on where an earlier run was stopped.

    Passwords are kept before they are given out and tokens after, so that what was left half done can be done again.
    """
    identities = Identities(store)
    entitled = {"national": ("national", ())} | {f"audit-{h.ods.lower()}": ("hospital", (h.ods,)) for h in nation.hospitals}
    cast.passwords = {name: _password() for name in entitled} | cast.passwords
    await remember(store, cast)
    puts = [Put(organisation(h.ods, h.name), owners=frozenset((SHARED,)), unchanged_ok=True) for h in nation.hospitals]
    await store.commit(SYSTEM, puts)
    for name, (role, hospitals) in entitled.items():
        with contextlib.suppress(Conflict):
            await identities.register_user(name, cast.passwords[name], role, hospitals, f"Demonstration user ({name})")
    tokens = {"national": await identities.register_client("Demonstration: national body", "national")}
    for hospital in nation.hospitals:
        tokens[hospital.ods] = await identities.register_client(f"{hospital.name} EPR", "vendor", (hospital.ods,))
        if hospital.channel == "hl7v2":
            await senders.add(store, senders.Sender("PAS", hospital.ods, hospital.ods, authorities=(hospital.ods,)))
    cast.tokens = tokens
    await remember(store, cast)


def _password() -> str:
    return f"{secrets.choice('abcdefghkmnp')}-{secrets.token_hex(3)}-{secrets.token_hex(3)}"


def free_port(wanted: int) -> int:
    """`wanted` if nobody listens there, else one that the system picks."""
    for port in (wanted, 0):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    raise Unavailable("No free port on this machine.")


async def start(*arguments: str, store: str, output: Any, **environment: str) -> Process:
    """A `csor` command on `store`, of its own session, so that Ctrl-C reaches us alone, which ends when we are gone."""
    command = [sys.executable, "-m", "app.demo.leash", *arguments]
    environment = {
        **os.environ,
        **environment,
        "CSOR_STORE": store,
    }  # whatever store the environment names, and for no other program to see
    return await asyncio.create_subprocess_exec(
        *command, stdin=PIPE, stdout=output, stderr=STDOUT, env=environment, start_new_session=True
    )


async def run(*arguments: str, store: str) -> bytes:
    """What a `csor` command on `store` prints, when it is done. Raises Unavailable where it fails."""
    process = await start(*arguments, store=store, output=PIPE)
    try:
        assert process.stdout is not None
        output = await process.stdout.read()
        failed = await process.wait()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    if failed:
        raise Unavailable(f"csor {' '.join(arguments[:2])}: {output.decode(errors='replace').strip()[-300:]}")
    return output


@contextlib.asynccontextmanager
async def serving(data: Path, store: str, smtp_url: str, port: int) -> AsyncIterator[Server]:
    """`csor serve` on `store` as a process of its own, ready to answer, with its log in `data`; stopped in good order at the end."""
    http, mllp = free_port(port), free_port(0)
    base = f"http://127.0.0.1:{http}"
    log = data / "server.log"
    with log.open("ab") as file:
        ports = ("--port", str(http), "--mllp-port", str(mllp))
        environment = {"CSOR_SMTP_URL": smtp_url, "CSOR_BASE_URL": base, "CSOR_LOG_LEVEL": "warning"}
        process = await start("serve", "--data", str(data), *ports, store=store, output=file, **environment)
    server = Server(store, base, mllp, process, log)
    try:
        await _ready(server)
        yield server
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


async def _ready(server: Server) -> None:
    async with httpx.AsyncClient() as client:
        for _ in range(300):
            if server.process.returncode is not None:
                break
            with contextlib.suppress(httpx.TransportError, OSError):
                if (await client.get(f"{server.base}/health")).status_code == 200:
                    _, mllp = await asyncio.open_connection("127.0.0.1", server.mllp_port)  # it may listen a moment later
                    mllp.close()
                    return
            await asyncio.sleep(0.1)
    raise Unavailable(f"The server did not start; {server.log} says why.")

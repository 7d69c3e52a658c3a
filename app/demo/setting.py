"""The stage: a data directory, who may come in, and a running `csor serve` on it, as a site would set them up."""

import asyncio
import contextlib
import os
import secrets
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import msgspec

from app.demo.nation import Nation
from app.fhir.errors import Unavailable
from app.intake.hl7v2 import senders
from app.registry.identity import organisation
from app.security.access import SHARED, SYSTEM
from app.security.identity import Identities
from app.store import open_store
from app.store.protocol import Put, PutRecord, Record, Store

KEY = "simulated-nation"


class Cast(msgspec.Struct):
    """Who may come in. Kept in the data directory (mode 600), so that a second run finds the same."""

    tokens: dict[str, str]  # by ODS code; "national" for the national body
    passwords: dict[str, str]  # of the staff users, by user name
    seed: int
    today: str  # the day for which the nation was simulated
    played: bool = False
    child: str = ""  # Patient id of a child at the hospital that stands out, to fill in an operative record for
    link: str = ""  # of a parent who has not answered, to try the pages with


@dataclass(frozen=True, slots=True)
class Server:
    """A running server's addresses."""

    base: str
    mllp_port: int


def store_url(data: Path) -> str:
    """The embedded store of a data directory."""
    return f"sqlite:///{data.resolve() / 'csor.db'}"


async def open_data(data: Path) -> Store:
    """The store in `data`, open."""
    data.mkdir(parents=True, exist_ok=True)
    store = open_store(store_url(data))
    await store.open()
    return store


async def recall(store: Store) -> Cast | None:
    """What an earlier run left, if there was one."""
    record = await store.get_record(SYSTEM, "demo", KEY)
    return msgspec.json.decode(record.body, type=Cast) if record else None


async def remember(store: Store, cast: Cast) -> None:
    """Keep the cast for the next run."""
    await store.commit(SYSTEM, [PutRecord(Record("demo", KEY, msgspec.json.encode(cast)))])


async def prepare(store: Store, nation: Nation, seed: int, today: str) -> Cast:
    """Hospitals, API clients, staff users and HL7v2 senders."""
    identities = Identities(store)
    cast = Cast({}, {}, seed, today)
    puts = [Put(organisation(h.ods, h.name), owners=frozenset((SHARED,)), unchanged_ok=True) for h in nation.hospitals]
    await store.commit(SYSTEM, puts)
    cast.tokens["national"] = await identities.register_client("Demonstration: national body", "national")
    await _user(identities, cast, "national", "national", ())
    for hospital in nation.hospitals:
        cast.tokens[hospital.ods] = await identities.register_client(f"{hospital.name} EPR", "vendor", (hospital.ods,))
        await _user(identities, cast, f"audit-{hospital.ods.lower()}", "hospital", (hospital.ods,))
        if hospital.channel == "hl7v2":
            await senders.add(store, senders.Sender("PAS", hospital.ods, hospital.ods, authorities=(hospital.ods,)))
    return cast


async def _user(identities: Identities, cast: Cast, name: str, role: str, hospitals: tuple[str, ...]) -> None:
    cast.passwords[name] = f"{secrets.choice('abcdefghkmnp')}-{secrets.token_hex(3)}-{secrets.token_hex(3)}"
    await identities.register_user(name, cast.passwords[name], role, hospitals, f"Demonstration user ({name})")


def free_port(wanted: int) -> int:
    """`wanted` if nobody listens there, else one that the system picks."""
    for port in (wanted, 0):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    raise Unavailable("No free port on this machine.")


@contextlib.asynccontextmanager
async def serving(data: Path, smtp_url: str, port: int) -> AsyncIterator[Server]:
    """`csor serve` as a process of its own, ready to answer; stopped in good order at the end."""
    http, mllp = free_port(port), free_port(2575)
    base = f"http://127.0.0.1:{http}"
    environment = os.environ | {"CSOR_SMTP_URL": smtp_url, "CSOR_BASE_URL": base, "CSOR_LOG_LEVEL": "warning"}
    command = [sys.executable, "-m", "app.cli", "serve", "--data", str(data), "--port", str(http), "--mllp-port", str(mllp)]
    log = data / "server.log"
    with log.open("ab") as file:
        process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=file, stderr=file)
    try:
        await _ready(base, process, log)
        yield Server(base, mllp)
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


async def _ready(base: str, process: asyncio.subprocess.Process, log: Path) -> None:
    async with httpx.AsyncClient() as client:
        for _ in range(300):
            if process.returncode is not None:
                break
            with contextlib.suppress(httpx.TransportError):
                if (await client.get(f"{base}/health")).status_code == 200:
                    return
            await asyncio.sleep(0.1)
    raise Unavailable(f"The server did not start; {log} says why.")

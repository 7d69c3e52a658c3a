"""Clients that write registers, append to lists, write pairs in transactions and create under conditions, through FHIR over HTTP.

They remember what they were told; `lost` then asks for it.
"""

import asyncio
import itertools
import time
from collections.abc import Sequence
from typing import Any

import httpx

from tests.torture.history import History

REGISTERS, LISTS, PAIRS = 3, 2, 2
SYSTEM = "urn:torture"
_values = itertools.count(1)


class Workload:
    """`bases` are the FHIR bases of the nodes; `clients` work at once."""

    def __init__(self, bases: Sequence[str], clients: int = 12) -> None:
        self.history = History()
        self.appended: dict[str, list[int]] = {}  # acknowledged, by list
        self.created: dict[int, set[str]] = {}  # ids that were acknowledged, by identifier
        self.answers = 0
        self._bases = bases
        self._clients = clients
        self._stop = asyncio.Event()

    async def run(self, seconds: float) -> None:
        """So long, then to the end of what is under way."""
        async with httpx.AsyncClient(base_url=self._bases[0], timeout=60) as client:
            for number in range(LISTS):
                await self._put(client, f"l{number}", "0")
        asyncio.get_running_loop().call_later(seconds, self._stop.set)
        await asyncio.gather(*(self._client(number) for number in range(self._clients)))

    async def _client(self, number: int) -> None:
        kinds = (self._write, self._read, self._append, self._write_pair, self._read_pair, self._create)
        async with httpx.AsyncClient(base_url=self._bases[number % len(self._bases)], timeout=60) as client:
            for turn in itertools.count(number):
                if self._stop.is_set():
                    return
                try:
                    await kinds[turn % len(kinds)](client, turn // len(kinds))
                except httpx.TransportError:
                    self.history.unknown += 1
                    await asyncio.sleep(0.1)

    async def more(self, number: int) -> None:
        """Wait for so many more good answers."""
        wanted = self.answers + number
        while self.answers < wanted and not self._stop.is_set():
            await asyncio.sleep(0.01)

    def stop(self) -> None:
        """Begin nothing more."""
        self._stop.set()

    def _answered(self, response: httpx.Response, *expected: int) -> bool:
        """Whether it is one of `expected`; anything else is counted, or is wrong."""
        self.answers += response.status_code in expected
        if response.status_code in expected:
            return True
        if response.status_code == 503:
            self.history.unknown += 1
            if "retry-after" not in response.headers:
                self.history.wrong.append("503 without Retry-After")
        elif response.status_code not in (404, 409, 412):
            self.history.wrong.append(f"{response.request.method} gave {response.status_code}: {response.text[:200]}")
        return False

    async def _put(self, client: httpx.AsyncClient, name: str, value: object, headers: dict[str, str] | None = None) -> bool:
        self.history.attempted[name].add(value)
        began = time.monotonic()
        response = await client.put(f"/Patient/{name}", json=_patient(name, str(value)), headers=headers)
        done = self._answered(response, 200, 201)
        if done:
            self.history.told("write", name, _version(response), value, began)
        elif response.status_code in (409, 412):
            self.history.refused[name].add(value)
        return done

    async def _get(self, client: httpx.AsyncClient, name: str) -> tuple[int, str] | None:
        began = time.monotonic()
        response = await client.get(f"/Patient/{name}")
        if not self._answered(response, 200):
            return None
        value = _value(response.json())
        self.history.told("read", name, _version(response), value, began)
        return _version(response), value

    async def _write(self, client: httpx.AsyncClient, turn: int) -> None:
        await self._put(client, f"r{turn % REGISTERS}", str(next(_values)))

    async def _read(self, client: httpx.AsyncClient, turn: int) -> None:
        await self._get(client, f"r{turn % REGISTERS}")

    async def _append(self, client: httpx.AsyncClient, turn: int) -> None:
        """Read, add, write back with If-Match."""
        name, element = f"l{turn % LISTS}", next(_values)
        found = await self._get(client, name)
        if found and await self._put(client, name, f"{found[1]},{element}", {"if-match": f'W/"{found[0]}"'}):
            self.appended.setdefault(name, []).append(element)

    async def _write_pair(self, client: httpx.AsyncClient, turn: int) -> None:
        value = str(next(_values))
        names = [f"t{turn % PAIRS}a", f"t{turn % PAIRS}b"]
        entries = [{"resource": _patient(name, value), "request": {"method": "PUT", "url": f"Patient/{name}"}} for name in names]
        response = await client.post("", json={"resourceType": "Bundle", "type": "transaction", "entry": entries})
        self._answered(response, 200)

    async def _read_pair(self, client: httpx.AsyncClient, turn: int) -> None:
        response = await client.get(f"/Patient?_id=t{turn % PAIRS}a,t{turn % PAIRS}b")
        if self._answered(response, 200):
            values = [_value(entry["resource"]) for entry in response.json().get("entry", []) if "resource" in entry]
            if values:
                self.history.pairs.append((values[0], values[-1] if len(values) == 2 else None))

    async def _create(self, client: httpx.AsyncClient, turn: int) -> None:
        """One child for each number; all clients want it, and each asks until it is answered."""
        number = turn
        resource = {"resourceType": "Patient", "identifier": [{"system": SYSTEM, "value": str(number)}]}
        headers = {"if-none-exist": f"identifier={SYSTEM}|{number}"}
        while not self._stop.is_set():
            try:
                response = await client.post("/Patient", json=resource, headers=headers)
            except httpx.TransportError:
                await asyncio.sleep(0.1)
                continue
            if self._answered(response, 200, 201):
                id = response.headers["location"].split("/Patient/")[1].split("/")[0]
                self.created.setdefault(number, set()).add(id)
                return

    async def lost(self) -> list[str]:
        """Acknowledged appends and children that are not there now, or are there twice."""
        found = []
        async with httpx.AsyncClient(base_url=self._bases[0], timeout=60) as client:
            for name, elements in self.appended.items():
                response = await client.get(f"/Patient/{name}")
                there = _value(response.json()).split(",")
                found += [f"{name}: {element} is lost" for element in elements if str(element) not in there]
                found += [f"{name}: something is there twice"] if len(there) != len(set(there)) else []
            for number, ids in self.created.items():
                response = await client.get("/Patient", params={"identifier": f"{SYSTEM}|{number}"})
                now = {entry["resource"]["id"] for entry in response.json().get("entry", [])}
                found += [] if now == ids and len(ids) == 1 else [f"child {number} was acknowledged as {ids} and is {now}"]
        return found


def _patient(name: str, value: str) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": name, "name": [{"text": value}]}


def _value(resource: dict[str, Any]) -> str:
    return str(resource["name"][0]["text"])


def _version(response: httpx.Response) -> int:
    return int(response.headers["etag"].split('"')[1])

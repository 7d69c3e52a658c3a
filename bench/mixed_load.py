"""A mixed load on running servers, through their front doors, at a fixed rate: what hospitals, surgeons, parents and national bodies do in a day.

Requests come when they are due, not when the one before is answered, so that a slow server is seen as slow. Nearly all writing goes over a fixed set of
children and observations: once that is in, the server's working set has its size, and memory that goes on growing is a leak.
What was acknowledged is remembered, and `lost` asks for it at the end.
"""

import asyncio
import itertools
import random
import re
import time
from collections import Counter, defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from app import names
from app.demo import hl7, vendor
from app.demo.nation import Child, Nation
from app.demo.records import records
from app.demo.setting import Cast
from app.fhir import codec
from app.intake.hl7v2.client import Client as Sender

CHILDREN, OBSERVATIONS = 120, 600  # of the fixed set
MOST_AT_ONCE = 64
LOINC = "http://loinc.org"
JSON = {"content-type": "application/fhir+json"}


class MixedLoad:
    """`bases` are the root URLs of the nodes and `mllp` their HL7v2 addresses, in the same order; `cast` has the tokens."""

    def __init__(self, bases: Sequence[str], mllp: Sequence[tuple[str, int]], cast: Cast, nation: Nation) -> None:
        self.answers: Counter[str] = Counter()  # by kind
        self.wrong: Counter[str] = Counter()  # answers that should not have been, in words
        self.waits: deque[float] = deque(maxlen=2000)  # seconds from due to answered, of the last ones
        self.left_out = 0  # requests that a server too slow was spared
        self._bases, self._mllp, self._cast, self._nation = bases, mllp, cast, nation
        self._fixed = list(nation.children[:CHILDREN])
        self._newcomers = iter(nation.children[CHILDREN:])
        self._rng = random.Random(7)
        self._serial = itertools.count(1)
        self._patients: dict[int, str] = {}  # id, by the child's number
        self._acknowledged: dict[str, int] = defaultdict(int)  # version, by reference
        self._extra: deque[tuple[str, str]] = deque()  # observations that come and go: hospital, id
        self._senders: dict[str, tuple[Sender, asyncio.Lock]] = {}
        self._messages: dict[str, list[bytes]] = {}
        self._kinds: list[tuple[Callable[[httpx.AsyncClient], Awaitable[object]], float]] = [
            (self._read, 24), (self._update, 24), (self._amend_patient, 6), (self._search, 10), (self._chain, 7),
            (self._history, 5), (self._transaction, 5), (self._create, 3), (self._delete, 3), (self._message, 6),
            (self._record, 2), (self._everything, 1), (self._newcomer, 0.3), (self._measure, 0.5), (self._page, 1),
            (self._staff, 0.1), (self._patch, 1), (self._bad, 1), (self._validate, 0.5),
        ]  # fmt: skip

    async def prepare(self) -> None:
        """The fixed set goes in, by the same doors."""
        async with self._clients() as clients:
            for child in self._fixed:
                await self._admit(next(clients), child)
            for number in range(OBSERVATIONS):
                await self._put(next(clients), number)
            for number in range(len(self._fixed)):
                await self._record(next(clients), number)
        home = Nation(self._nation.hospitals, tuple(self._fixed), self._nation.start, self._nation.end)
        for hospital in (h for h in self._nation.hospitals if h.channel == "hl7v2"):
            self._messages[hospital.ods] = [m for m in hl7.feed(home, hospital, 1) if b"ADT^A08" in m or b"ORU^R01" in m]

    async def fill(self, megabytes: int = 160) -> None:
        """So much goes in beside the fixed set and is read again, that a store's own caches are as large as they get."""
        note = [{"text": "x" * 4000}]
        ids = [f"filling-{number}" for number in range(megabytes * 200)]
        async with self._clients() as clients:
            for start in range(0, len(ids), 250):
                ods, resource = self._observation(start % OBSERVATIONS)
                entries = [
                    {"resource": resource | {"id": id, "note": note}, "request": {"method": "PUT", "url": f"Observation/{id}"}}
                    for id in ids[start : start + 250]
                ]
                await self._ask(
                    next(clients), "POST", "", ods, body={"resourceType": "Bundle", "type": "transaction", "entry": entries}
                )
            for start in range(0, len(ids), 16):
                await asyncio.gather(
                    *(self._ask(next(clients), "GET", f"/Observation/{id}", "national") for id in ids[start : start + 16 : 2]),
                    *(self._ask(next(clients), "GET", f"/Observation?_id={id}", "national") for id in ids[start : start + 16]),
                )

    async def run(self, seconds: float, rate: float) -> None:
        """`rate` requests a second for so long, then to the end of what is under way. What is due when too many are is left out, and counted."""
        calls, weights = zip(*self._kinds, strict=True)
        running: set[asyncio.Task[None]] = set()
        async with self._clients() as clients:
            begun = time.monotonic()
            for number in range(int(seconds * rate)):
                due = begun + number / rate
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                if len(running) >= MOST_AT_ONCE:
                    self.left_out += 1
                    continue
                task = asyncio.create_task(self._timed(self._rng.choices(calls, weights)[0], next(clients), due))
                running.add(task)
                task.add_done_callback(running.discard)
            await asyncio.gather(*running)
        for sender, _ in self._senders.values():
            await sender.__aexit__(None, None, None)

    async def lost(self) -> list[str]:
        """What was acknowledged and is not there."""
        found = []
        async with self._clients() as clients:
            for reference, version in self._acknowledged.items():
                answer = await next(clients).get(f"/fhir/{reference}", headers=self._as("national"))
                if answer.status_code != 200 or _version(answer) < version:
                    found.append(f"{reference}: version {version} was acknowledged, the answer is {answer.status_code}")
        return found

    # ---- means

    @asynccontextmanager
    async def _clients(self) -> "AsyncIterator[itertools.cycle[httpx.AsyncClient]]":
        opened = [httpx.AsyncClient(base_url=base, timeout=60) for base in self._bases]
        try:
            yield itertools.cycle(opened)
        finally:
            for client in opened:
                await client.aclose()

    async def _timed(self, call: Callable[[httpx.AsyncClient], Awaitable[object]], client: httpx.AsyncClient, due: float) -> None:
        kind = call.__name__.strip("_")  # type: ignore[attr-defined]
        try:
            await call(client)
        except Exception as error:  # whatever goes wrong is a finding, not the end of the load
            self.wrong[f"{kind}: {type(error).__name__}"] += 1
        self.answers[kind] += 1
        self.waits.append(time.monotonic() - due)

    async def _ask(
        self,
        client: httpx.AsyncClient,
        method: str,
        path: str,
        who: str,
        *,
        body: Any = None,
        ok: Sequence[int] = (200,),
        **more: Any,
    ) -> httpx.Response:
        headers = self._as(who) | (JSON if body is not None else {}) | more.pop("headers", {})
        content = body if isinstance(body, bytes | None) else codec.encode(body)
        answer = await client.request(method, f"/fhir{path}", headers=headers, content=content, **more)
        if answer.status_code not in ok:
            self.wrong[f"{method} {re.sub(r'[0-9a-f-]{20,}|[0-9]+', 'N', path)}: {answer.status_code}"] += 1
        elif method == "PUT" and answer.is_success:
            reference = f"{path.split('/')[1]}/{path.split('/')[2]}"
            self._acknowledged[reference] = max(self._acknowledged[reference], _version(answer))
        return answer

    def _as(self, who: str) -> dict[str, str]:
        return {"authorization": f"Bearer {self._cast.tokens[who]}"}

    def _child(self) -> Child:
        return self._rng.choice(self._fixed)

    async def _admit(self, client: httpx.AsyncClient, child: Child) -> None:
        ods = child.hospital.ods
        await self._ask(client, "POST", "", ods, body=vendor.transaction(child))
        query = {"identifier": f"{names.NHS_NUMBER}|{child.nhs_number}"}
        found = await self._ask(client, "GET", "/Patient", ods, params=query)
        self._patients[child.number] = found.json()["entry"][0]["resource"]["id"]

    def _observation(self, number: int) -> tuple[str, dict[str, Any]]:
        """Hospital and resource of one of the fixed set, with a new value."""
        child = self._fixed[number % len(self._fixed)]
        at = datetime(2025, 1, 1, tzinfo=UTC) + timedelta(hours=number)
        return child.hospital.ods, {
            "resourceType": "Observation",
            "id": f"load-{number}",
            "status": "final",
            "code": {"coding": [{"system": LOINC, "code": "1988-5", "display": "C reactive protein"}]},
            "subject": {"reference": f"Patient/{self._patients[child.number]}"},
            "effectiveDateTime": at.isoformat(),
            "valueQuantity": {
                "value": self._rng.randrange(1, 200),
                "unit": "mg/L",
                "system": "http://unitsofmeasure.org",
                "code": "mg/L",
            },
        }

    # ---- what is done

    async def _put(self, client: httpx.AsyncClient, number: int) -> None:
        ods, resource = self._observation(number)
        await self._ask(client, "PUT", f"/Observation/{resource['id']}", ods, body=resource, ok=(200, 201))

    async def _update(self, client: httpx.AsyncClient) -> None:
        await self._put(client, self._rng.randrange(OBSERVATIONS))

    async def _read(self, client: httpx.AsyncClient) -> None:
        child = self._child()
        await self._ask(client, "GET", f"/Patient/{self._patients[child.number]}", child.hospital.ods)

    async def _amend_patient(self, client: httpx.AsyncClient) -> None:
        """Read, change, write back what was read; somebody else may be faster."""
        child = self._child()
        path, ods = f"/Patient/{self._patients[child.number]}", child.hospital.ods
        read = await self._ask(client, "GET", path, ods)
        resource = codec.decode(read.content)
        resource["telecom"] = [{"system": "phone", "value": f"0300 {self._rng.randrange(10**6):06d}"}]
        await self._ask(client, "PUT", path, ods, body=resource, ok=(200, 412), headers={"if-match": read.headers["etag"]})

    async def _patch(self, client: httpx.AsyncClient) -> None:
        number = self._rng.randrange(OBSERVATIONS)
        ods, resource = self._observation(number)
        body = codec.encode([{"op": "replace", "path": "/valueQuantity/value", "value": self._rng.randrange(200)}])
        kind = {"content-type": "application/json-patch+json"}
        await self._ask(client, "PATCH", f"/Observation/{resource['id']}", ods, body=body, headers=kind)

    async def _search(self, client: httpx.AsyncClient) -> None:
        child = self._child()
        patient = self._patients[child.number]
        path, query = self._rng.choice(
            [
                ("/Patient", f"identifier={names.NHS_NUMBER}|{child.nhs_number}"),
                ("/Patient", f"family={child.family}&_count=10"),
                ("/Patient", f"birthdate=ge{child.born}&gender={child.sex}&_sort=birthdate&_count=10"),
                ("/Observation", f"patient={patient}&code={LOINC}|1988-5&_sort=-date&_count=5"),
                ("/Observation", f"value-quantity=gt{self._rng.randrange(200)}|http://unitsofmeasure.org|mg/L&_count=10"),
                ("/Condition", f"code={names.ICD10}|{hl7.ICD10[child.condition]}&_count=10"),
                ("/Patient", f"name:contains={child.family[1:4]}&_count=10&_total=accurate"),
                ("/Observation", f"_lastUpdated=gt{datetime.now(UTC) - timedelta(minutes=2):%Y-%m-%dT%H:%M:%SZ}&_count=10"),
            ]
        )
        found = await self._ask(client, "GET", f"{path}?{query}", child.hospital.ods)
        following = [link["url"] for link in found.json().get("link", ()) if link["relation"] == "next"]
        if following:
            await self._ask(client, "GET", following[0].partition("/fhir")[2], child.hospital.ods)

    async def _chain(self, client: httpx.AsyncClient) -> None:
        child = self._child()
        patient = self._patients[child.number]
        query = self._rng.choice(
            [
                f"/Observation?subject:Patient.identifier={names.NHS_NUMBER}|{child.nhs_number}&_include=Observation:subject&_count=10",
                f"/Encounter?subject:Patient.family={child.family}&_include=Encounter:subject&_count=10",
                f"/Patient?_has:Condition:patient:code={hl7.ICD10[child.condition]}&_count=10",
                f"/Patient?_id={patient}&_revinclude=Condition:subject&_revinclude=EpisodeOfCare:patient",
                f"/EpisodeOfCare?patient={patient}&_include=*",
            ]
        )
        await self._ask(client, "GET", query, child.hospital.ods)

    async def _history(self, client: httpx.AsyncClient) -> None:
        number = self._rng.randrange(OBSERVATIONS)
        ods, resource = self._observation(number)
        path = self._rng.choice([f"/Observation/{resource['id']}/_history?_count=10", "/Patient/_history?_count=10"])
        await self._ask(client, "GET", path, ods)

    async def _everything(self, client: httpx.AsyncClient) -> None:
        child = self._child()
        await self._ask(client, "GET", f"/Patient/{self._patients[child.number]}/$everything?_count=50", child.hospital.ods)

    async def _transaction(self, client: httpx.AsyncClient) -> None:
        """Three observations of a child, and the child by what identifies it."""
        first = self._rng.randrange(len(self._fixed))
        ods = self._fixed[first].hospital.ods
        resources = [self._observation(first + turn * len(self._fixed))[1] for turn in range(3)]
        entries = [{"resource": r, "request": {"method": "PUT", "url": f"Observation/{r['id']}"}} for r in resources]
        bundle = vendor.transaction(self._fixed[first])
        bundle["entry"][1:] = entries
        await self._ask(client, "POST", "", ods, body=bundle)

    async def _create(self, client: httpx.AsyncClient) -> None:
        ods, resource = self._observation(self._rng.randrange(OBSERVATIONS))
        resource.pop("id")
        answer = await self._ask(client, "POST", "/Observation", ods, body=resource, ok=(201,))
        self._extra.append((ods, answer.headers["location"].split("/Observation/")[1].split("/")[0]))

    async def _delete(self, client: httpx.AsyncClient) -> None:
        if len(self._extra) > 50:
            ods, id = self._extra.popleft()
            await self._ask(client, "DELETE", f"/Observation/{id}", ods, ok=(200, 204))

    async def _message(self, client: httpx.AsyncClient) -> None:
        """One of a hospital's messages with a control id of its own, over the hospital's connection; one in twenty makes no sense."""
        ods = self._rng.choice([ods for ods, messages in self._messages.items() if messages])
        if ods not in self._senders:
            sender = Sender(*self._mllp[len(self._senders) % len(self._mllp)])
            self._senders[ods] = (sender, asyncio.Lock())
            async with self._senders[ods][1]:
                await sender.__aenter__()
        head, mark, rest = self._rng.choice(self._messages[ods]).partition(b"\r")
        fields = head.split(b"|")
        fields[6] = f"{datetime.now(UTC):%Y%m%d%H%M%S}".encode()
        fields[9] = f"L{next(self._serial)}".encode()
        bad = self._rng.random() < 0.05
        message = b"|".join(fields) + mark + (b"ZZZ|nonsense\r" if bad else rest)
        sender, lock = self._senders[ods]
        async with lock:
            try:
                answer = await sender.send(message)
            except Exception:
                del self._senders[ods]  # a late answer must not be taken for the next one's
                raise
        code = answer.partition(b"MSA|")[2][:2].decode()
        if code != ("AE" if bad else "AA"):
            self.wrong[f"MLLP: {code}{' to nonsense' if bad else ''}"] += 1

    async def _record(self, client: httpx.AsyncClient, number: int | None = None) -> None:
        """An operative record is completed, or amended."""
        amended = number is None
        number = self._rng.randrange(len(self._fixed)) if number is None else number
        child = self._fixed[number]
        response = records(child)[0][1]
        for item in _flat(response["item"]):
            if item["linkId"] == "blood-loss":
                item["answer"] = [{"valueInteger": self._rng.randrange(1, 60)}]
        response |= {
            "id": f"load-{number}",
            "status": "amended" if amended else "completed",
            "subject": {"reference": f"Patient/{self._patients[child.number]}"},
        }
        await self._ask(client, "PUT", f"/QuestionnaireResponse/load-{number}", child.hospital.ods, body=response, ok=(200, 201))

    async def _newcomer(self, client: httpx.AsyncClient) -> None:
        child = next(self._newcomers)
        await self._ask(client, "POST", "", child.hospital.ods, body=vendor.transaction(child))
        subject = {"reference": f"Patient?identifier={names.NHS_NUMBER}|{child.nhs_number}"}
        for number, response in records(child):
            body = vendor.operative_record(number, response | {"subject": subject, "identifier": _business(number)})
            await self._ask(client, "POST", "", child.hospital.ods, body=body)

    async def _measure(self, client: httpx.AsyncClient) -> None:
        period = {"periodStart": self._nation.start.isoformat(), "periodEnd": datetime.now(UTC).date().isoformat()}
        hospital = self._rng.choice(self._nation.hospitals).ods
        query = period | {"reporter": hospital} if self._rng.random() < 0.8 else period
        path = "/Measure/treatment-success/$evaluate-measure"
        await self._ask(client, "GET", path, hospital if "reporter" in query else "national", params=query)

    async def _validate(self, client: httpx.AsyncClient) -> None:
        ods, resource = self._observation(self._rng.randrange(OBSERVATIONS))
        await self._ask(client, "POST", "/Observation/$validate", ods, body=resource)

    async def _page(self, client: httpx.AsyncClient) -> None:
        answer = await client.get("/")
        if answer.status_code != 200:
            self.wrong[f"GET / (page): {answer.status_code}"] += 1

    async def _staff(self, client: httpx.AsyncClient) -> None:
        """Someone signs in and looks at the hospital's page."""
        hospital = self._rng.choice(self._nation.hospitals).ods
        name = f"audit-{hospital.lower()}"
        async with httpx.AsyncClient(base_url=client.base_url, timeout=60, follow_redirects=True) as browser:
            form = re.search(r'name="form_token" value="([^"]+)"', (await browser.get("/sign-in")).text)
            given = {"form_token": form[1] if form else "", "username": name, "password": self._cast.passwords[name], "next": "/"}
            await browser.post("/sign-in", data=given)
            answer = await browser.get("/hospital")
        if answer.status_code != 200:
            self.wrong[f"GET /hospital: {answer.status_code}"] += 1

    async def _bad(self, client: httpx.AsyncClient) -> None:
        ods = self._child().hospital.ods
        method, path, body, expected = self._rng.choice(
            [
                ("POST", "/Patient", b'{"resourceType":"Patient",', 400),
                ("POST", "/Patient", b'{"resourceType":"Patient","birthDate":"yesterday"}', 400),
                ("GET", f"/Patient/nobody-{next(self._serial)}", None, 404),
                ("GET", "/Patient?birthdate=nonsense", None, 400),
                (
                    "POST",
                    "",
                    b'{"resourceType":"Bundle","type":"transaction","entry":[{"resource":{"resourceType":"Patient"}}]}',
                    400,
                ),
            ]
        )
        await self._ask(client, method, path, ods, body=body, ok=(expected,))


def _version(answer: httpx.Response) -> int:
    return int(answer.headers["etag"].split('"')[1])


def _flat(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [each for item in items for each in (item, *_flat(item.get("item", [])))]


def _business(number: str) -> dict[str, str]:
    return {"system": f"{names.CSOR}/Id/record", "value": number}

"""The play: what hospitals, vendors, surgeons, national data and parents send, each through its own door, with progress."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

import httpx
from rich.progress import Progress, TaskID

from app import names
from app.demo import hes, hl7, vendor
from app.demo.letters import Letters
from app.demo.nation import Child, Hospital, Nation
from app.demo.parents import answer, choices
from app.demo.records import records
from app.demo.setting import Cast, Server, run
from app.fhir import codec
from app.fhir.errors import FHIRError
from app.intake.hl7v2.mllp import Framer, frame
from app.outcomes.quality_of_life import demonstration
from app.registry.follow_up.answers import shipped_questionnaires
from app.registry.follow_up.consumer import FollowUp
from app.registry.follow_up.outbox import letters_under_way
from app.store.protocol import Store

FHIR_JSON = {"content-type": "application/fhir+json", "prefer": "return=minimal"}
LOOKED_AT = 25  # parents whose every page is fetched
PATIENCE = 120  # seconds without a letter, twice as long as a crashed server's claim on one


class Refused(FHIRError):
    """A door did not take what the simulation sent."""


class Play:
    """One performance. Every part may be played again: the server takes each thing once."""

    def __init__(self, nation: Nation, cast: Cast, server: Server, data: Path, progress: Progress) -> None:
        self._nation, self._cast, self._server, self._data, self._progress = nation, cast, server, data, progress
        self.refused: list[str] = []
        self.written_to: set[str] = set()

    async def hospital_messages(self) -> None:
        """HL7v2 over MLLP, one connection for each hospital."""
        feeds = {h: hl7.feed(self._nation, h, self._cast.seed) for h in self._nation.hospitals if h.channel == "hl7v2"}
        bar = self._bar("HL7v2 messages over MLLP", sum(map(len, feeds.values())))
        await asyncio.gather(*(self._feed(messages, bar) for messages in feeds.values()))

    async def vendor_transactions(self) -> None:
        """FHIR transactions of the hospitals whose EPR speaks FHIR, and conditional updates for deaths."""
        children = [child for child in self._nation.children if child.hospital.channel == "fhir"]
        bar = self._bar("FHIR transactions of EPR vendors", len(children))

        async def send(client: httpx.AsyncClient, child: Child) -> None:
            await self._post(client, "/fhir", vendor.transaction(child))
            if child.died and child.death_known_by != "statistics":
                query = f"/fhir/Patient?identifier={names.NHS_NUMBER}|{child.nhs_number}"
                await self._post(client, query, vendor.death_notice(child), method="PUT")

        await self._each(children, send, bar)

    async def episode_statistics(self) -> None:
        """The national CSV file, by the command that a site would use."""
        path = self._data / "episode-statistics.csv"
        rows = await asyncio.to_thread(hes.write, self._nation, path, self._cast.seed)
        bar = self._bar(f"Episode statistics ({rows:,} rows)", 1)
        output = await run("hes", "import", str(path), store=self._server.store)
        (self._data / "episode-statistics.log").write_bytes(output)
        self._progress.update(bar, advance=1)

    async def operative_records(self) -> None:
        """Each completed record in a transaction of its own, by the hospital's own client."""
        bar = self._bar("Operative records", len(self._nation.children))

        async def send(client: httpx.AsyncClient, child: Child) -> None:
            subject = {"reference": f"Patient?identifier={names.NHS_NUMBER}|{child.nhs_number}"}
            for number, response in records(child):
                business = {"system": f"{names.CSOR}/Id/record", "value": number}
                resource = response | {"subject": subject, "identifier": business}
                await self._post(client, "/fhir", vendor.operative_record(number, resource))

        await self._each(self._nation.children, send, bar)

    async def parents_answers(self, mail: Letters) -> None:
        """Letters arrive by e-mail; parents who answer do so by the link, at the level that is true for their child.

        Letters of an earlier run are read again, and a link that is closed was answered then: the comparison would say if it was not.
        """
        by_address = {child.email: child for child in self._nation.children}
        expected = sum(child.died is None for child in self._nation.children)
        letters, answered = self._bar("Letters to parents", expected), self._bar("Parents' answers by link", None)
        questionnaire = next(iter(shipped_questionnaires().values()))
        totals = [0, *(int(worst) + 1 for worst in next(iter(demonstration().values())).worst_of)]
        limits, tasks = asyncio.Semaphore(8), list[asyncio.Task[None]]()

        async def reply(link: str, child: Child, look: bool) -> None:
            given = choices(questionnaire, totals[child.quality_of_life])
            async with limits:
                await asyncio.to_thread(answer, self._server.base, link, child, given, look)
            self._progress.update(answered, advance=1)

        async for address, link in mail:
            if address in self.written_to:
                continue
            self.written_to.add(address)
            self._progress.update(letters, advance=1)
            child = by_address[address]
            if child.responds:
                tasks.append(asyncio.create_task(reply(link, child, look=len(tasks) < LOOKED_AT)))
                self._progress.update(answered, total=len(tasks))
            else:
                self._cast.link = link
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(outcome, BaseException):
                self.refused.append(f"a parent's link: {outcome}")

    async def last_letter(self, store: Store, mail: Letters) -> None:
        """Wait until every case has its follow-up and every letter that is due has gone; then let the parents' reading end."""
        follow_up, head = FollowUp(store), await store.feed_head()
        came, patience = -1, time.monotonic()
        while await follow_up.position() < head or await letters_under_way(store):
            if len(self.written_to) > came:
                came, patience = len(self.written_to), time.monotonic() + PATIENCE
            elif time.monotonic() > patience:
                break  # the comparison will say who got no letter
            await asyncio.sleep(0.25)
        mail.no_more()

    async def settle(self) -> None:
        """Wait until every consumer of the change feed has caught up."""
        bar = self._bar("Case facts and measures", None)
        headers = {"authorization": f"Bearer {self._cast.tokens['national']}"}
        async with httpx.AsyncClient(base_url=self._server.base, headers=headers, timeout=60) as client:
            while True:
                detail = (await client.get("/health/detail")).json()
                head, consumers = detail["feed"]["head"], detail["feed"]["consumers"]
                behind = min((cursor["seq"] for cursor in consumers.values()), default=0)
                self._progress.update(bar, total=max(head, 1), completed=behind)
                if behind >= head:
                    return
                await asyncio.sleep(0.25)

    # ---- means

    def _bar(self, what: str, total: int | None) -> TaskID:
        return self._progress.add_task(what, total=total)

    async def _feed(self, messages: Iterable[bytes], bar: TaskID) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._server.mllp_port)
        framer = Framer()
        try:
            for message in messages:
                writer.write(frame(message))
                await writer.drain()
                answers: list[bytes] = []
                while not answers:
                    data = await reader.read(65536)
                    if not data:
                        raise Refused("The MLLP listener closed the connection.")
                    answers = [event.data for event in framer.feed(data)]
                if b"|AA|" not in answers[0]:
                    self.refused.append(f"HL7v2: {answers[0].decode(errors='replace').splitlines()[1:]}")
                self._progress.update(bar, advance=1)
        finally:
            writer.close()

    async def _each(
        self, children: Iterable[Child], send: Callable[[httpx.AsyncClient, Child], Awaitable[None]], bar: TaskID
    ) -> None:
        """Each hospital sends its children's things one after another; the hospitals do so at once."""

        async def run(hospital: Hospital, own: list[Child]) -> None:
            headers = FHIR_JSON | {"authorization": f"Bearer {self._cast.tokens[hospital.ods]}"}
            async with httpx.AsyncClient(base_url=self._server.base, headers=headers, timeout=60) as client:
                for child in own:
                    await send(client, child)
                    self._progress.update(bar, advance=1)

        by_hospital: dict[Hospital, list[Child]] = {}
        for child in children:
            by_hospital.setdefault(child.hospital, []).append(child)
        await asyncio.gather(*(run(hospital, own) for hospital, own in by_hospital.items()))

    async def _post(self, client: httpx.AsyncClient, path: str, resource: dict[str, Any], method: str = "POST") -> None:
        response = await client.request(method, path, content=codec.encode(resource))
        if response.status_code >= 400:
            self.refused.append(f"{method} {path.partition('?')[0]}: {response.status_code} {response.text[:300]}")

"""A running application over a small nation: ten hospitals, one that does harm, one with hardly any children, and a reader of each kind."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import date, timedelta
from functools import cache
from pathlib import Path

import httpx
import msgspec
import pytest

from app import clock
from app.main import create
from app.measures import artefacts, fitting
from app.outcomes.case_facts import CaseFacts, Infection, Operation
from app.registry.identity import organisation
from app.security.access import SHARED, SYSTEM
from app.security.identity import SESSION_COOKIE, Identities
from app.settings import Settings
from app.store.protocol import Put, Store
from tests.measures.conftest import put
from tests.outcomes.cases import nation
from tests.support import open_test_store

TODAY = date(2026, 1, 1)
PASSWORD = "correct horse battery"
CHILD = "Quetzalcoatl"
SIZES = {0: 90, 1: 70, 2: 60, 3: 90, 4: 25, 5: 12, 6: 60, 7: 3, 8: 50, 9: 40}
NAMES = {"ZA0": "Zennor Hospital", "ZA1": "Amberley <Hospital>", "ZA3": "Moss Hospital"}


@cache
def small_nation() -> tuple[CaseFacts, ...]:
    """ZA3 does harm; ZA7 has three children; a fifth of the parents do not answer; those who did badly were operated on again and infected."""
    cases = nation(90, shift={3: 1.6}, known=0.8)
    return tuple(_troubled(facts) for facts in cases if int(facts.case[-5:]) < SIZES[int(facts.hospital[2:])])


def _troubled(facts: CaseFacts) -> CaseFacts:
    if facts.quality_of_life != 3 or facts.died_on:
        return facts
    later = (date.fromisoformat(facts.index_date) + timedelta(days=20)).isoformat()
    again = (*facts.operations, Operation(later, "major-emergency", "hes", "G531"))
    return msgspec.structs.replace(facts, operations=again, infections=(Infection(later, "A419", "hes"),))


def moved(facts: CaseFacts, by: timedelta) -> CaseFacts:
    """The same case at another time."""

    def later(day: str | None) -> str | None:
        return None if day is None else (date.fromisoformat(day) + by).isoformat()

    days = {name: later(getattr(facts, name)) for name in ("birth_date", "index_date", "as_of", "died_on")}
    operations = tuple(msgspec.structs.replace(each, on=later(each.on)) for each in facts.operations)
    infections = tuple(msgspec.structs.replace(each, on=later(each.on)) for each in facts.infections)
    return msgspec.structs.replace(facts, operations=operations, infections=infections, **days)


async def fill(store: Store, by: timedelta = timedelta(0)) -> None:
    """Cases (moved in time), hospitals, a fitted model, a Patient of ZA3, readers."""
    cases = [moved(facts, by) for facts in small_nation()]
    first = next(facts for facts in cases if facts.hospital == "ZA3")
    await put(store, cases)
    await artefacts.install(store)
    hospitals = [Put(organisation(ods, NAMES.get(ods)), owners=frozenset((SHARED,))) for ods in (f"ZA{n}" for n in range(10))]
    child = {"resourceType": "Patient", "id": first.patient, "name": [{"family": CHILD}], "birthDate": first.birth_date}
    await store.commit(SYSTEM, [*hospitals, Put(child, owners=frozenset(("ZA3",)))])
    await fitting.fit_all(store)
    identities = Identities(store)
    for name, role, codes in (
        ("lead", "hospital", ["ZA3"]),
        ("other", "hospital", ["ZA1"]),
        ("both", "hospital", ["ZA1", "ZA3"]),
    ):
        await identities.register_user(name, PASSWORD, role, codes)
    await identities.register_user("nation", PASSWORD, "national")


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data directory of that nation."""
    data = tmp_path_factory.mktemp("web")

    async def make() -> None:
        store = await open_test_store(data)
        await fill(store)
        await store.close()

    asyncio.run(make())
    return data


@pytest.fixture(scope="module")
def still_day() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clock, "today", lambda: TODAY)
        yield


class Site:
    """`await site.as_("lead")` is a browser signed in as that user; `site.stranger()` is nobody's."""

    def __init__(self, app: object) -> None:
        self.app = app
        self.context = app.state.context
        self._sessions: dict[str, str] = {}

    def stranger(self, **more: object) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.ASGITransport(app=self.app), base_url="http://localhost", **more)

    async def as_(self, user: str) -> httpx.AsyncClient:
        if user not in self._sessions:
            self._sessions[user] = await self.context.identities.sign_in(user, PASSWORD)
        return self.stranger(cookies={SESSION_COOKIE: self._sessions[user]})

    async def get(self, user: str, url: str) -> httpx.Response:
        async with await self.as_(user) if user else self.stranger() as browser:
            return await browser.get(url)


@pytest.fixture(scope="module")
async def site(filled: Path, still_day: None) -> AsyncIterator[Site]:
    app = create(Settings(data=filled, store=f"sqlite:///{filled}/store.db", mllp_port=-1))
    async with app.router.lifespan_context(app):
        yield Site(app)

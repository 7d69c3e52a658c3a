"""Two stores side by side: the same generated searches, page by page, and where their answers differ."""

import asyncio
import dataclasses
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.fhir.errors import FHIRError
from app.fhir.search.extract import Extraction
from app.fhir.search.types import Plan
from app.security.access import SYSTEM, Access
from app.store.moving import copy
from app.store.protocol import Store
from app.store.sqlite.store import SQLiteStore
from tests.contract.asked import Asked, Asking
from tests.support import open_mongo_store

AT_ONCE = 8
MOST_PAGES = 12


@dataclass
class Beside:
    """SQLite first. `number` counts searches that found something, found nothing, were refused, and pages."""

    one: Store
    other: Store
    extract: Extraction
    number: Counter[str] = field(default_factory=Counter)

    async def asking(self, seed: int) -> Asking:
        """Searches about what the stores hold."""
        there = [stored async for stored in self.one.scan(SYSTEM)]
        world = [(stored.type, stored.id, stored.updated, self.extract(stored.resource)) for stored in there]
        return Asking(seed, self.extract.parameters, world)

    async def differences(self, asking: Asking, many: int, enough: int = 1) -> list[str]:
        """What the stores answer differently among so many searches, made as small as can be; no more than `enough` and a few."""
        found: list[str] = []
        for _ in range(0, many, AT_ONCE):
            asked = [asking.one() for _ in range(AT_ONCE)]
            answers = await asyncio.gather(*(self.answers(one.access, plan) for one, plan in asked))
            for (one, _), (mine, yours) in zip(asked, answers, strict=True):
                self.number["refused" if isinstance(mine[0], str) else "found" if any(mine[0][0]) else "empty"] += 1
                self.number["pages"] += len(mine)
                if mine != yours:
                    found.append(await self._smallest(one, asking))
            if len(found) >= enough:
                break
        return found

    async def answers(self, access: Access, plan: Plan) -> tuple[list[Any], list[Any]]:
        """What each tells, page by page."""
        return await _pages(self.one, access, plan), await _pages(self.other, access, plan)

    async def _smallest(self, asked: Asked, asking: Asking) -> str:
        """Parameters are left out as long as the answers still differ."""
        for index in reversed(range(len(asked.params))):
            less = dataclasses.replace(asked, params=asked.params[:index] + asked.params[index + 1 :])
            mine, yours = await self.answers(less.access, less.plan(asking.parameters))
            if mine != yours:
                asked = less
        mine, yours = await self.answers(asked.access, asked.plan(asking.parameters))
        place = next((n for n, (a, b) in enumerate(zip(mine, yours, strict=False)) if a != b), min(len(mine), len(yours)))
        return f"{asked}\n  page {place + 1}: {mine[place : place + 1]}\n  against {yours[place : place + 1]}"


async def _pages(store: Store, access: Access, plan: Plan) -> list[Any]:
    """What a caller is told, page by page; the order of what is included is nobody's promise."""
    told: list[Any] = []
    for _ in range(MOST_PAGES):
        try:
            found = await store.search(access, plan)
        except FHIRError as error:
            return [*told, f"{type(error).__name__}: {error}"]
        matches = [(stored.reference, stored.version, stored.owners) for stored in found.matches]
        told.append((matches, sorted(stored.reference for stored in found.included), found.total, found.cursor is None))
        if found.cursor is None:
            break
        plan = dataclasses.replace(plan, cursor=found.cursor)
    return told


@asynccontextmanager
async def beside(mongodb: str, directory: Path, extract: Extraction) -> AsyncIterator[Beside]:
    """Both stores open and empty; `await same(…)` after filling the first makes them hold the same."""
    one = SQLiteStore(str(directory / "beside.db"), extract)
    await one.open()
    other = await open_mongo_store(mongodb, extract)
    try:
        yield Beside(one, other, extract)
    finally:
        await one.close()
        await other.close()


async def same(stores: Beside) -> None:
    """Copy the first to the second: versions, times and numbers are the same in both."""
    outcome = await copy(stores.one, stores.other)  # type: ignore[arg-type]
    assert outcome.differences == ()

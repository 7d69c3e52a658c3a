"""The definitions that a site stores, and that change how the server works: its search parameters, profiles, value sets and code systems.

What must stay true: every process has the same within a second of a change; what a hospital or vendor stores is data, only what the nation
stored counts; R4's own codes keep their meaning; a search parameter is offered when all that is stored is indexed by it, and not before.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from hashlib import blake2b
from typing import Any

import msgspec

from app.fhir.errors import FHIRError, Unavailable
from app.fhir.search.extract import Extraction, extract
from app.fhir.search.parameters import default
from app.fhir.search.types import Plan
from app.security.access import SHARED, SYSTEM
from app.store.consumer import Consumer
from app.store.paging import every
from app.store.protocol import Change, DeleteRecord, Indexing, PutRecord, Record, Store, Stored, Write

POLL = 0.3  # seconds
SETTLE = 1.5  # seconds in which every process has learned of a change
READY = "search-parameter"  # the kind of record that says by which version all that is stored is indexed


def national(stored: Stored) -> bool:
    """Whether it may change how the server works: it was stored by no hospital and by no vendor."""
    return stored.owners <= {SHARED}


async def stored_by_nation(store: Store, types: Sequence[str]) -> list[Stored]:
    """All such resources of `types`, read by their index: a scan would walk the whole store."""
    return [stored async for stored in every(store, SYSTEM, Plan(tuple(types), count=500)) if national(stored)]


async def load(store: Store) -> Indexing:
    """By what this store indexes now. A parameter that cannot work, is not active, or has a code of R4's is left out."""
    ready = {record.key: int(record.data["version"]) for record in await _ready(store)}
    used: list[dict[str, Any]] = []
    offered: list[dict[str, Any]] = []
    found = await stored_by_nation(store, ("SearchParameter",))
    for stored in sorted(found, key=lambda one: one.id):
        resource = stored.resource
        if resource.get("status") != "active" or not _own(resource):
            continue
        with suppress(FHIRError):
            default().with_custom([resource])
            used.append(resource)
            if ready.get(stored.id) == stored.version:
                offered.append(resource)
    if not used:
        return Indexing(extract, default())
    mark = blake2b(" ".join(f"{one['id']}/{one['meta']['versionId']}" for one in used).encode(), digest_size=8).hexdigest()
    return Indexing(Extraction(default().with_custom(used)), default().with_custom(offered), mark)


async def index_by_own(store: Store) -> None:
    """For a store that was copied: it took what the parameters find before it knew them, and the copied records say that all is indexed."""
    store.indexing = await load(store)
    await _reindex(store, {base for parameter in store.indexing.parameters.own for base in parameter.base})


async def _reindex(store: Store, types: set[str]) -> None:
    if types:
        await store.reindex(() if types & {"Resource", "DomainResource"} else sorted(types))


async def _ready(store: Store) -> list[Record]:
    return await store.find_records(SYSTEM, READY, limit=10_000)


def _own(resource: Mapping[str, Any]) -> bool:
    """Whether its code is free on all its types."""
    return not any(default().get(base, resource.get("code", "")) for base in resource.get("base", ()))


class Definitions:
    """Keeps a process's store at what is stored; every process runs one."""

    name = "definitions"

    def __init__(self, store: Store) -> None:
        self.store = store

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`."""
        known: tuple[object, ...] | None = None
        while not stop.is_set():
            with suppress(Unavailable):
                ready = tuple((record.key, record.revision) for record in await _ready(self.store))
                now = (await self.store.marker(("SearchParameter",)), ready)
                if now != known:
                    self.store.indexing = await load(self.store)
                    known = now
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), POLL)


class Reindexing(Consumer):
    """Indexes what is stored by a search parameter that came, changed or went; one process does it.

    And what a process stored that had not learned of it: one that stood still, or waited long for its commit.
    """

    name = "search-parameters"
    batch = 1000  # nearly all changes are none of its business

    async def handle(self, changes: list[Change]) -> Sequence[Write]:
        """The records that say so."""
        ours = [change for change in changes if change.type == "SearchParameter"]
        if ours:
            await asyncio.sleep(SETTLE)  # what others write from now on, they index by it
            self.store.indexing = await load(self.store)
            await _reindex(self.store, await self._bases(ours))
        await self._late(changes)
        return [
            DeleteRecord(READY, change.id)
            if change.action == "delete"
            else PutRecord(Record(READY, change.id, msgspec.json.encode({"version": change.version})))
            for change in {change.id: change for change in ours}.values()
        ]

    async def _late(self, changes: Sequence[Change]) -> None:
        if not self._otherwise(changes):
            return
        self.store.indexing = await load(self.store)  # perhaps this process has not learned of it
        if late := self._otherwise(changes):
            await self.store.reindex_only(late)

    def _otherwise(self, changes: Sequence[Change]) -> list[str]:
        """The resources that were not indexed by what is in force here."""
        mark = self.store.indexing.mark
        return list(
            dict.fromkeys(f"{each.type}/{each.id}" for each in changes if each.indexed != mark and each.action != "delete")
        )

    async def _bases(self, changes: Sequence[Change]) -> set[str]:
        """Of these versions and of those before them: each may have left its entries."""
        found: set[str] = set()
        for id, version in {(change.id, version) for change in changes for version in (change.version - 1, change.version)}:
            with suppress(FHIRError):
                stored = await self.store.vread(SYSTEM, "SearchParameter", id, version)
                if national(stored):
                    found.update(stored.resource.get("base", ()))
        return found


def services(store: Store) -> list[Any]:
    """Both."""
    return [Definitions(store), Reindexing(store)]

"""The clauses of a `Plan` as a filter on documents, and as a question about given documents.

`Clauses.filter` turns a clause into one filter; steps from one resource to another (chains, `_has`) are taken first, as a list of ids. Where such a
list would be longer than `MANY`, the clause is `late`: candidates are read in order, by an index where one has it, and `holds` asks about some
hundred at a time, so memory stays bounded whatever is asked. What must stay true: every step from one resource to another applies the owner filter to the other.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.cursor import AsyncCursor

from app.fhir.search import types as t
from app.security.access import Access
from app.store.meaning import CANONICAL, INSTANT, URL, VERSION
from app.store.mongo.conditions import NOTHING, all_of, any_of, condition, date_range, keys, one_of
from app.store.mongo.words import SEPARATOR, Document, present, referenced

MANY = 10_000  # ids that one filter may carry
BATCH = 500


class TooMany(Exception):
    """A step would carry more than `MANY` ids: the clause must be asked of candidates instead."""


def owned(access: Access) -> Document:
    """The owner filter; empty for a caller who may see everything."""
    if access.everything:
        return {}
    marks = sorted(access.owners())
    return {"w": one_of(marks)} if marks else NOTHING


class Clauses:
    """Compiles for one caller, in one session (and so in one snapshot)."""

    def __init__(self, resources: AsyncCollection[Document], session: AsyncClientSession | None, access: Access) -> None:
        self.resources = resources
        self.session = session
        self.access = access

    def find(self, where: Document, fields: Sequence[str] = ("_id",)) -> AsyncCursor[Document]:
        """Current resources for which `where` holds, whoever owns them."""
        return self.resources.find(where, dict.fromkeys(fields, 1), session=self.session)

    def visible(self, types: Sequence[str], where: Document) -> Document:
        """Living resources of `types` that the caller may see and for which `where` holds."""
        return all_of([{"t": one_of(types)}, where, owned(self.access)])

    # ---- as a filter

    async def filter(self, clause: t.Clause, types: Sequence[str]) -> Document:
        """Raises TooMany where the clause must be late."""
        match clause:
            case t.Match():
                return condition(clause, types)
            case t.Missing():
                words = [present(key) for key in keys(types, clause.param)]
                return {"k": {"$nin": words}} if clause.missing else {"k": one_of(words)}
            case t.Ids():
                return {"_id": {"$in": [f"{type}/{id}" for type in types for id in dict.fromkeys(clause.ids)]}}
            case t.LastUpdated():
                return any_of([date_range("u", "u", value, INSTANT) for value in clause.values])
            case t.AnyOf():
                return any_of([await self.filter(one, types) for one in clause.clauses])
            case t.Chain():
                return await self._chain(clause, types)
            case t.Has():
                return await self._has(clause)
            case t.Nothing():
                return NOTHING

    async def _chain(self, chain: t.Chain, types: Sequence[str]) -> Document:
        wanted = keys(types, chain.param)
        where = self.visible(chain.targets, await self.filter(chain.where, chain.targets))
        found = [one["_id"] async for one in self.find(where).limit(MANY + 1)]
        if len(found) * len(wanted) > MANY:
            raise TooMany
        words = [f"{key}r{name}" for key in wanted for name in found]
        if any(target in CANONICAL for target in chain.targets):
            words += await self._canonical_words(wanted, chain.targets, where)
        return {"k": {"$in": words}}

    async def _canonical_words(self, wanted: Sequence[str], targets: Sequence[str], where: Document) -> list[str]:
        """A canonical reference names a definition by URL, perhaps with a version."""
        words: list[str] = []
        urls, versions = set(keys(targets, URL)), set(keys(targets, VERSION))
        async for one in self.find(where, ("k", "s")).limit(MANY):
            told = [word[9:] for word in one["k"] if word[:8] in versions and word[8] == "="]
            for url in (word[9:].split(SEPARATOR)[0] for word in one["s"] if word[:8] in urls):
                words += [f"{key}v{url}{SEPARATOR}{version}" for key in wanted for version in ("", *told)]
        return words

    async def _has(self, has: t.Has) -> Document:
        wanted = set(keys((has.source,), has.param))
        where = self.visible((has.source,), await self.filter(has.where, (has.source,)))
        found: set[str] = set()
        read = 0
        async for one in self.find(where, ("k",)):
            read += 1
            found.update(referenced(one, wanted))
            if read > MANY * 2 or len(found) > MANY:
                raise TooMany
        return {"_id": {"$in": sorted(found)}}

    # ---- of given documents

    async def holds(self, clause: t.Clause, names: Iterable[str], types: Sequence[str]) -> set[str]:
        """Those of `names` (`Type/id`, at most `BATCH`, of `types`) for which `clause` holds."""
        asked = list(names)
        if not asked:
            return set()
        try:
            where = await self.filter(clause, types)
        except TooMany:
            pass
        else:
            return {one["_id"] async for one in self.find({"$and": [{"_id": {"$in": asked}}, where]})}
        match clause:
            case t.AnyOf():
                held: set[str] = set()
                for one in clause.clauses:
                    held |= await self.holds(one, [name for name in asked if name not in held], types)
                return held
            case t.Chain():
                return await self._holds_chain(clause, asked, types)
            case t.Has():
                return await self._holds_has(clause, asked)
        raise AssertionError(f"{type(clause).__name__} is never late")

    async def _holds_chain(self, chain: t.Chain, asked: list[str], types: Sequence[str]) -> set[str]:
        wanted = set(keys(types, chain.param))
        refers = {one["_id"]: referenced(one, wanted) async for one in self.find({"_id": {"$in": asked}}, ("k",))}
        held: set[str] = set()
        for part in _parts(sorted({name for names in refers.values() for name in names})):
            there = [one["_id"] async for one in self.find(self.visible(chain.targets, {"_id": {"$in": part}}))]
            held |= await self.holds(chain.where, there, chain.targets)
        return {name for name, names in refers.items() if not held.isdisjoint(names)}

    async def _holds_has(self, has: t.Has, asked: list[str]) -> set[str]:
        wanted = set(keys((has.source,), has.param))
        where = self.visible((has.source,), {"k": {"$in": [f"{key}r{name}" for key in sorted(wanted) for name in asked]}})
        held: set[str] = set()
        batch: dict[str, list[str]] = {}

        async def ask() -> None:
            for name in await self.holds(has.where, batch, (has.source,)):
                held.update(batch[name])
            batch.clear()

        async for one in self.find(where, ("k",)):
            batch[one["_id"]] = referenced(one, wanted)
            if len(batch) == BATCH:
                await ask()
        await ask()
        return held.intersection(asked)


def _parts(names: list[Any]) -> Iterable[list[Any]]:
    return (names[start : start + BATCH] for start in range(0, len(names), BATCH))

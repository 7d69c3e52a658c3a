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
from app.store.mongo.words import PREFIX, SEPARATOR, Document, present, referenced

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
        words: list[str] = []
        read = 0
        async for one in self.find(where, _naming(chain.targets)):
            read += 1
            if read * len(wanted) > MANY:
                raise TooMany
            words += _names(one, wanted, chain.targets)
        return {"k": {"$in": words}}

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
        wanted = keys(types, chain.param)
        marks = {f"{key}{mark}" for key in wanted for mark in ("rv" if _canonical(chain.targets) else "r")}
        refers: dict[str, set[str]] = {}
        async for one in self.find({"_id": {"$in": asked}}, ("k",)):
            refers[one["_id"]] = {word for word in one["k"] if word[:PREFIX] in marks}
        held: set[str] = set()  # the words that name a target for which the rest of the chain holds
        for words in _parts(sorted(set().union(*refers.values()))):
            where = self.visible(chain.targets, _named(words, chain.targets))
            there = {one["_id"]: one async for one in self.find(where, _naming(chain.targets))}
            for part in _parts(list(there)):
                for name in await self.holds(chain.where, part, chain.targets):
                    held.update(_names(there[name], wanted, chain.targets))
        return {name for name, words in refers.items() if not held.isdisjoint(words)}

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


def _canonical(targets: Sequence[str]) -> bool:
    """Whether what refers to `targets` may name one by its URL."""
    return any(target in CANONICAL for target in targets)


def _naming(targets: Sequence[str]) -> Sequence[str]:
    """The fields of a document from which `_names` knows how it is named."""
    return ("k", "s") if _canonical(targets) else ("_id",)


def _names(document: Document, wanted: Sequence[str], targets: Sequence[str]) -> list[str]:
    """The words by which the parameters `wanted` refer to it: by its id, and to a definition by its URL, perhaps with a version."""
    url_keys, version_keys = set(keys(targets, URL)), set(keys(targets, VERSION))
    urls = [word[PREFIX:].split(SEPARATOR)[0] for word in document.get("s", ()) if word[:8] in url_keys]
    versions = ["", *(word[PREFIX:] for word in document.get("k", ()) if word[:8] in version_keys and word[8] == "=")]
    names = [f"r{document['_id']}", *(f"v{url}{SEPARATOR}{version}" for url in urls for version in versions)]
    return [f"{key}{name}" for key in wanted for name in names]


def _named(words: Sequence[str], targets: Sequence[str]) -> Document:
    """What such words may name."""
    ids = sorted({word[PREFIX:] for word in words if word[8] == "r"})
    urls = sorted({word[PREFIX:].split(SEPARATOR)[0] for word in words if word[8] == "v"})
    by_url = [f"{key}={url}{SEPARATOR}" for key in keys(targets, URL) for url in urls]
    return any_of([{"_id": {"$in": ids}}, *([{"s": {"$in": by_url}}] if by_url else [])])


def _parts(names: list[Any]) -> Iterable[list[Any]]:
    return (names[start : start + BATCH] for start in range(0, len(names), BATCH))

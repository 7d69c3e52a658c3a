"""A `Plan` as one page of results.

What must stay true: all that a page says comes from one snapshot; a page begins after the last row of the page before, so that writes in between neither
repeat nor hide what was there all along. Which clause leads is MongoDB's own choice among the indexes; no search scans the collection.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Any

from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection

from app.fhir.errors import TooCostly
from app.fhir.search import types as t
from app.security.access import Access
from app.store.cursor import seal, unseal
from app.store.meaning import CANONICAL, MAX_INCLUDED, MAX_ROUNDS, URL
from app.store.mongo.clauses import BATCH, Clauses, TooMany, owned
from app.store.mongo.conditions import all_of, keys, one_of
from app.store.mongo.order import Order, after_indexed, after_missing, after_unsorted, indexed_field, sorted_pipeline
from app.store.mongo.words import SEPARATOR, Document, referenced
from app.store.protocol import Found, Stored

WORDS = 50_000  # of one filter: MongoDB takes none above 16 MB
STORED = {"v": 1, "u": 1, "raw": 1, "w": 1, "a": 1}

Row = list[Any]  # name, then what it is ordered by
After = Callable[[Row | None], Document]  # what comes after a row

_FIRST: Order = [("n", 1), ("_id", 1)]  # the order of first storing


def stored(document: Document) -> Stored:
    """From the fields of `STORED`, of a resource or of a version (whose name is in `r`).

    `int`, here and elsewhere: BSON's own kind of integer is one that JSON encoders refuse.
    """
    type, _, id = (document.get("r") or document["_id"]).partition("/")
    action = document["a"]
    return Stored(
        type, id, document["v"], int(document["u"]), document["raw"], frozenset(document["w"]), action == "delete", action=action
    )


def several_queries(plan: t.Plan) -> bool:
    """Whether a page of `plan` takes more than one look at the data, and so needs a snapshot."""
    return bool(
        not plan.types
        or plan.sort
        or plan.includes
        or plan.revincludes
        or plan.total != "none"
        or any(isinstance(clause, t.Chain | t.Has | t.AnyOf) for clause in plan.where)
    )


class Search:
    """One plan for one caller in one session."""

    def __init__(
        self, resources: AsyncCollection[Document], session: AsyncClientSession | None, access: Access, plan: t.Plan
    ) -> None:
        self._resources = resources
        self._session = session
        self._access = access
        self.plan = plan
        self._clauses = Clauses(resources, session, access)
        self.types: tuple[str, ...] = plan.types
        self._late: list[t.Clause] = []

    async def page(self, key: bytes) -> Found:
        """Matches, what they include, and the total where asked for."""
        plan = self.plan
        about = repr((plan.types, plan.where, plan.sort))
        last = unseal(key, about, plan.cursor) if plan.cursor else None
        where = await self.where()
        if not self.types:
            return Found(total=0 if plan.total != "none" or plan.summary == "count" else None)
        if plan.summary == "count" or plan.count == 0:
            return Found(total=await self._total(where))
        rows, documents = await self._page(where, last, plan.count + 1)
        more, rows = len(rows) > plan.count, rows[: plan.count]
        names = [row[0] for row in rows]
        return Found(
            matches=[stored(document) for document in documents[: plan.count]],
            included=await self._included(names) if plan.includes or plan.revincludes else [],
            total=None if plan.total == "none" else await self._total(where),
            cursor=seal(key, about, [plain(value) for value in rows[-1]]) if more else None,
        )

    async def matches_exactly(self, expects: frozenset[str]) -> bool:
        """Whether the plan matches just the resources `expects`, of all pages."""
        found: set[str] = set()
        where = await self.where()
        async for row in self._walk(where, after_unsorted, "n", _FIRST, None, len(expects) + 1):
            found.add(row[0])
            if len(found) > len(expects):
                return False
        return found == expects

    async def where(self) -> Document:
        """The filter that finds candidates; clauses that it leaves out are in `_late`."""
        if not self.types:
            self.types = tuple(sorted(filter(None, await self._resources.distinct("t", session=self._session))))
        pieces = []
        for clause in self.plan.where:
            try:
                pieces.append(await self._clauses.filter(clause, self.types))
            except TooMany:
                self._late.append(clause)
        return all_of([{"t": one_of(self.types)} if self.types else {"_id": {"$in": []}}, *pieces, owned(self._access)])

    # ---- rows in order

    async def _page(self, where: Document, last: Row | None, limit: int) -> tuple[list[Row], list[Document]]:
        if not self.plan.sort:
            return await self._direct(where, after_unsorted, "n", _FIRST, last, limit)
        if field := indexed_field(self.plan, self.types):
            return await self._by_index(where, field, last, limit)
        rows = await self._by_sorting(where, last, limit)
        return rows, await self._load([row[0] for row in rows])

    async def _direct(
        self, where: Document, after: After, field: str, order: Order, last: Row | None, limit: int
    ) -> tuple[list[Row], list[Document]]:
        """Rows and documents by an index that has the order: in one go, where no late clause must be asked."""
        if self._late:
            rows = [row async for row in self._walk(where, after, field, order, last, limit)]
            return rows, await self._load([row[0] for row in rows])
        cursor = self._resources.find(all_of([where, after(last)]), STORED | {field: 1}, session=self._session)
        documents = await cursor.sort(order).limit(limit).to_list()
        return [[document["_id"], _at(document, field)] for document in documents], documents

    async def _by_index(self, where: Document, field: str, last: Row | None, limit: int) -> tuple[list[Row], list[Document]]:
        descending = self.plan.sort[0].descending
        rows: list[Row] = []
        documents: list[Document] = []
        if last is None or last[1] is not None:
            order: Order = [(field, -1 if descending else 1), ("_id", 1)]
            rows, documents = await self._direct(where, partial(after_indexed, field, descending), field, order, last, limit)
            last = None
        if len(rows) < limit and field != "u":
            rest = await self._direct(where, partial(after_missing, field), field, [("_id", 1)], last, limit - len(rows))
            rows, documents = rows + rest[0], documents + rest[1]
        return rows, documents

    async def _by_sorting(self, where: Document, last: Row | None, limit: int) -> list[Row]:
        """Late clauses are asked of what sorts first; where that does not fill the page, of every candidate."""
        if not self._late:
            return await self._sorted(where, last, limit)
        first = await self._sorted(where, last, BATCH)
        held = (await self._ask(first))[:limit]
        if len(held) == limit or len(first) < BATCH:
            return held
        best: list[Row] = []
        rest = limit - len(held)
        async for names in _batches(self._walk(where, after_unsorted, "n", _FIRST, None, None)):
            best = await self._sorted({"_id": {"$in": [row[0] for row in best] + names}}, first[-1], rest)
        return held + best

    async def _sorted(self, where: Document, last: Row | None, limit: int) -> list[Row]:
        stages = sorted_pipeline(self.plan, self.types, last, limit)
        cursor = await self._resources.aggregate([{"$match": where}, *stages], session=self._session)
        number = range(len(self.plan.sort))
        return [[row["_id"], *(row.get(f"k{n}") for n in number)] async for row in cursor]

    async def _walk(
        self, where: Document, after: After, field: str, order: Order, last: Row | None, limit: int | None
    ) -> AsyncIterator[Row]:
        """Names of matches with `field`, in order, late clauses asked; so many at a time that MongoDB never sorts more than that."""
        size = BATCH if self._late or limit is None else limit
        given = 0
        while True:
            found = self._resources.find(all_of([where, after(last)]), {field: 1}, session=self._session).sort(order).limit(size)
            page: list[Row] = [[one["_id"], _at(one, field)] async for one in found]
            for row in await self._ask(page):
                yield row
                given += 1
                if given == limit:
                    return
            if len(page) < size:
                return
            last = page[-1]

    async def _ask(self, batch: list[Row]) -> list[Row]:
        held = {row[0] for row in batch}
        for clause in self._late:
            held = await self._clauses.holds(clause, held, self.types)
        return [row for row in batch if row[0] in held]

    async def _total(self, where: Document) -> int:
        if not self._late:
            return await self._resources.count_documents(where, session=self._session)
        number = 0
        async for _ in self._walk(where, after_unsorted, "n", _FIRST, None, None):
            number += 1
        return number

    async def _load(self, names: list[str]) -> list[Document]:
        found = {one["_id"]: one async for one in self._resources.find({"_id": {"$in": names}}, STORED, session=self._session)}
        return [found[name] for name in names]

    # ---- what comes along

    async def _included(self, names: list[str]) -> list[Stored]:
        """Everything that the matches include, each once, in the order of finding."""
        known = dict.fromkeys(names)
        found: dict[str, None] = {}
        fresh = list(names)
        once = True
        for _ in range(MAX_ROUNDS):
            news: list[str] = []
            for include in self.plan.includes:
                if once or include.iterate:
                    news += await self._forward(include, fresh)
            for include in self.plan.revincludes:
                if once or include.iterate:
                    news += await self._backward(include, fresh)
            fresh = [name for name in dict.fromkeys(news) if name not in known]
            known.update(dict.fromkeys(fresh))
            found.update(dict.fromkeys(fresh))
            once = False
            if len(found) > MAX_INCLUDED:
                raise TooCostly(f"This page would include more than {MAX_INCLUDED} resources; ask for fewer matches with _count.")
            if not fresh:
                break
        return [stored(document) for document in await self._load(list(found))]

    async def _forward(self, include: t.Include, names: list[str]) -> Iterable[str]:
        wanted = set(chain.from_iterable(keys((include.source,), param) for param in include.params))
        if not wanted:
            return []
        documents = {one["_id"]: one async for one in self._clauses.find({"_id": {"$in": names}}, ("k",))}
        asked = list(dict.fromkeys(name for one in names if one in documents for name in referenced(documents[one], wanted)))
        target = [{"t": include.target}] if include.target else [{"t": {"$exists": True}}]
        there: set[str] = set()
        for part in _parts(asked):
            where = all_of([{"_id": {"$in": part}}, *target, owned(self._access)])
            there.update([one["_id"] async for one in self._clauses.find(where)])
        return [name for name in asked if name in there] + await self._canonical(include, list(documents.values()), wanted)

    async def _canonical(self, include: t.Include, documents: list[Document], wanted: set[str]) -> list[str]:
        named = {include.target} if include.target else {target for param in include.params for target in param.targets}
        targets = sorted(named & CANONICAL)
        urls = {word[9:] for one in documents for word in one["k"] if word[:8] in wanted and word[8] == "u"}
        if not targets or not urls:
            return []
        words = [f"{key}={url}{SEPARATOR}" for key in keys(targets, URL) for url in sorted(urls)]
        return await self._with(targets, "s", words)

    async def _backward(self, include: t.Include, names: list[str]) -> Iterable[str]:
        asked = [name for name in names if not include.target or name.startswith(f"{include.target}/")]
        words = [f"{key}r{name}" for param in include.params for key in keys((include.source,), param) for name in asked]
        return await self._with((include.source,), "k", words)

    async def _with(self, types: Sequence[str], field: str, words: list[str]) -> list[str]:
        """Visible resources of `types` with one of `words` in `field`, in the order of first storing; or more than may be included."""
        found: dict[str, int] = {}
        for part in _parts(words):
            where = self._clauses.visible(types, {field: {"$in": part}})
            found.update({one["_id"]: one["n"] async for one in self._clauses.find(where, ("n",)).limit(2 * MAX_INCLUDED)})
            if len(found) >= 2 * MAX_INCLUDED:
                break
        return sorted(found, key=lambda name: (found[name], name))


async def _batches(rows: AsyncIterator[Row]) -> AsyncIterator[list[str]]:
    """The names of `rows`, `BATCH` at a time."""
    batch: list[str] = []
    async for row in rows:
        batch.append(row[0])
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _parts(words: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(words), WORDS):
        yield words[start : start + WORDS]


def plain(value: Any) -> Any:
    """A value as JSON can carry it."""
    return int(value) if isinstance(value, int) else value


def _at(document: Document, field: str) -> Any:
    """The value at `lo.date`, say; None where there is none."""
    value: Any = document
    for part in field.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value

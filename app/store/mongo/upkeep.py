"""Scan, count, reindex, check: what keeps a store honest."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any

from pymongo import UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.cursor import AsyncCursor
from pymongo.asynchronous.database import AsyncDatabase

from app.fhir.codec import decode
from app.fhir.search.types import Entries
from app.security.access import Access
from app.store.mongo.clauses import owned
from app.store.mongo.conditions import all_of
from app.store.mongo.search import STORED, stored
from app.store.mongo.transaction import EMPTY
from app.store.mongo.words import Document, words_of
from app.store.moving import BYTES
from app.store.protocol import Stored
from app.store.rules import intact

PAGE = 500
MAX_FINDINGS = 1000
INDEXED = ("k", "s", "d", "q", "c", "lo", "hi")
_TOLD = ("v", "u", "o", "n", "a", "t")
_FACTS = dict.fromkeys(("r", "v", "u", "o", "n", "a", "t", "w"), 1)
_TO_INDEX = _FACTS | {"raw": 1}
_IN_ORDER = [("r", 1), ("v", 1)]

Extract = Callable[[Mapping[str, Any]], Entries]
Transact = Callable[[Callable[[AsyncClientSession], Awaitable[None]]], Awaitable[None]]


def _living(types: Sequence[str]) -> Document:
    return {"t": {"$in": list(types)}} if types else {"t": {"$exists": True}}


async def scan(db: AsyncDatabase[Document], access: Access, types: Sequence[str]) -> AsyncIterator[Stored]:
    """Every current resource, in pages by name: no cursor stays open while the caller works."""
    after = ""
    while True:
        where = all_of([{"_id": {"$gt": after}}, _living(types), owned(access)])
        page = await _page(db.resource.find(where, STORED))
        if not page:
            return
        for one in page:
            yield stored(one)
        after = page[-1]["_id"]


async def _page(found: AsyncCursor[Document]) -> list[Document]:
    """The next resources by name, no more than `PAGE` and about `BYTES`."""
    page: list[Document] = []
    size = 0
    async with found.sort("_id", 1).hint("_id_").limit(PAGE) as cursor:
        async for one in cursor:
            page.append(one)
            size += len(one["raw"])
            if size > BYTES:
                break
    return page


async def counts(db: AsyncDatabase[Document], access: Access) -> dict[str, int]:
    """Current resources by type."""
    types = await db.resource.distinct("t")
    found = {
        type: await db.resource.count_documents(all_of([{"t": type}, owned(access)])) for type in sorted(filter(None, types))
    }
    return {type: number for type, number in found.items() if number}


async def reindex(db: AsyncDatabase[Document], transact: Transact, extract: Extract, types: Sequence[str]) -> int:
    """Index everything anew, page by page, once it agrees with its versions. A resource that is written meanwhile was indexed by that."""
    done, after = 0, ""
    while True:
        where = all_of([{"_id": {"$gt": after}}, {"t": {"$in": list(types)}} if types else {}])
        page = await _page(db.resource.find(where, _TO_INDEX))
        if not page:
            return done
        await _agree(db, transact, page)
        done, after = done + await _index_anew(db, extract, page), page[-1]["_id"]


async def _agree(db: AsyncDatabase[Document], transact: Transact, page: list[Document]) -> None:
    place = {one["_id"]: number for number, one in enumerate(page)}
    async for mine in _histories(db.version.find({"r": {"$in": list(place)}}, _FACTS).sort(_IN_ORDER)):
        name = mine[0]["r"]
        if not (_heads(page[place[name]], mine) and _owned_alike(page[place[name]], mine)):
            await transact(lambda session, name=name: _mend(db, session, name))  # type: ignore[misc]
            page[place[name]] = await db.resource.find_one({"_id": name}, _TO_INDEX) or page[place[name]]


async def _mend(db: AsyncDatabase[Document], session: AsyncClientSession, name: str) -> None:
    """Make the current document say what its versions say, and these have its owner marks. Which bytes are right is not for us to know."""
    one = await db.resource.find_one({"_id": name}, _TO_INDEX, session=session)
    mine = await db.version.find({"r": name}, _FACTS, session=session).sort("v", 1).to_list()
    if one is None or not mine:
        return
    told = _told(mine)
    if one["v"] == told["v"] and bool(one["raw"]) == ("t" in told):
        change = {"$set": told} if "t" in told else {"$set": told | EMPTY, "$unset": {"t": ""}}
        await db.resource.update_one({"_id": name}, change, session=session)
    marks = {"w": one["w"], "t": name.partition("/")[0]}
    await db.version.update_many({"r": name}, {"$set": marks}, session=session)


async def reindex_only(db: AsyncDatabase[Document], extract: Extract, references: Sequence[str]) -> None:
    """Index these `Type/id` anew."""
    left = sorted(references)
    while asked := left[:PAGE]:
        page = await _page(db.resource.find(all_of([{"_id": {"$in": asked}}, _living(())]), _TO_INDEX))
        await _index_anew(db, extract, page)
        after = page[-1]["_id"] if page else asked[-1]
        left = [name for name in left if name > after]


async def _index_anew(db: AsyncDatabase[Document], extract: Extract, page: Sequence[Document]) -> int:
    """How many of `page` live."""
    living = [one for one in page if "t" in one]
    changes = [
        UpdateOne({"_id": one["_id"], "v": one["v"]}, {"$set": words_of(one["t"], extract(decode(one["raw"])))})
        for one in living
        if _intact(one["_id"], one)  # the others are no worse for one that is not; the check tells
    ]
    if changes:
        await db.resource.bulk_write(changes, ordered=False)
    return len(living)


async def check(db: AsyncDatabase[Document], session: AsyncClientSession, extract: Extract) -> list[str]:
    """At most `MAX_FINDINGS` sentences; no content in them. All in one snapshot."""
    findings: list[str] = []
    async for finding in _findings(db, session, extract):
        findings.append(finding)
        if len(findings) >= MAX_FINDINGS:
            return [*findings, "There is more; the check stopped here."]
    return findings


async def _findings(db: AsyncDatabase[Document], session: AsyncClientSession, extract: Extract) -> AsyncIterator[str]:
    async for finding in _feed(db, session):
        yield finding
    async for finding in _resources(db, session, extract):
        yield finding
    async for finding in _references(db, session):
        yield finding


async def _feed(db: AsyncDatabase[Document], session: AsyncClientSession) -> AsyncIterator[str]:
    counter = await db.setting.find_one({"_id": "feed"}, session=session)
    head = int(counter["seq"]) if counter else 0
    numbered = await db.version.count_documents({"seq": {"$gte": 1, "$lte": head}}, session=session)
    beyond = await db.version.count_documents({"seq": {"$gt": head}}, session=session)
    nameless = await db.version.count_documents({"seq": {"$exists": False}, "pending": {"$ne": True}}, session=session)
    if numbered != head or beyond:
        yield f"The feed ends at {head}, but has {numbered + beyond} entries."
    if nameless:
        yield f"{nameless} versions are neither in the feed nor on their way into it."
    async for one in db.record.find({"kind": "cursor"}, session=session):
        if int(decode(one["body"])["seq"]) > head:
            yield f"The consumer '{one['_id'].partition(chr(31))[2]}' has read beyond the end of the feed."


async def _resources(db: AsyncDatabase[Document], session: AsyncClientSession, extract: Extract) -> AsyncIterator[str]:
    # Both collections in the order of names, side by side, so that neither has to fit in memory.
    histories = _histories(db.version.find({}, session=session).sort(_IN_ORDER).hint("instance"))
    ahead = await anext(histories, None)
    async for one in db.resource.find({}, session=session).sort("_id", 1):
        while ahead is not None and ahead[0]["r"] < one["_id"]:
            for finding in _alone(ahead):
                yield finding
            ahead = await anext(histories, None)
        mine: list[Document] = []
        if ahead is not None and ahead[0]["r"] == one["_id"]:
            mine, ahead = ahead, await anext(histories, None)
        for finding in (*_history(one, mine), *_index(one, extract)):
            yield finding
    while ahead is not None:
        for finding in _alone(ahead):
            yield finding
        ahead = await anext(histories, None)


async def _histories(found: AsyncCursor[Document]) -> AsyncIterator[list[Document]]:
    """The versions of each resource, from versions in the order of names and numbers. Only the last brings its bytes, if they were asked for."""
    mine: list[Document] = []
    async for one in found:
        if mine and mine[0]["r"] != one["r"]:
            yield mine
            mine = []
        if mine:
            mine[-1].pop("raw", None)
        one["spoilt"] = "raw" in one and one["a"] != "delete" and not _intact(one["r"], one)
        mine.append(one)
    if mine:
        yield mine


def _history(one: Document, mine: Sequence[Document]) -> Iterator[str]:
    yield from _spoilt(mine)
    if not (_heads(one, mine) and len(mine) == one["v"] and mine[-1]["raw"] == one["raw"]):
        yield f"The versions of {one['_id']} do not agree with what is current."
    elif not _owned_alike(one, mine):
        yield f"The owner marks of {one['_id']} do not agree."
    numbers = [version["seq"] for version in mine if "seq" in version]
    if numbers != sorted(numbers):
        yield f"The feed has the versions of {one['_id']} in another order."


def _alone(mine: Sequence[Document]) -> Iterator[str]:
    yield from _spoilt(mine)
    yield f"{mine[0]['r']} has versions but is not there."


def _spoilt(mine: Sequence[Document]) -> Iterator[str]:
    for version in mine:
        if version["spoilt"]:
            yield f"Version {version['v']} of {version['r']} is damaged; restore it from a backup."


def _heads(one: Document, mine: Sequence[Document]) -> bool:
    """Whether the current document says what its versions say, and these say whose they are."""
    type = one["_id"].partition("/")[0]
    alike = all(version["t"] == type for version in mine)
    return bool(mine) and alike and {name: one[name] for name in _TOLD if name in one} == _told(mine)


def _told(mine: Sequence[Document]) -> Document:
    last = mine[-1]
    told = {"v": last["v"], "u": last["u"], "o": last["o"], "n": mine[0]["o"], "a": last["a"]}
    return told if last["a"] == "delete" else told | {"t": last["r"].partition("/")[0]}


def _owned_alike(one: Document, mine: Sequence[Document]) -> bool:
    """Whether all versions have the resource's marks."""
    return all(version["w"] == one["w"] for version in mine)


def _intact(name: str, one: Document) -> bool:
    type, _, id = name.partition("/")
    return intact(one["raw"], type, id, one["v"])


def _index(one: Document, extract: Extract) -> list[str]:
    if "t" in one and not _intact(one["_id"], one):
        return []  # told already
    wanted = words_of(one["t"], extract(decode(one["raw"]))) if "t" in one else dict.fromkeys(INDEXED)
    names = {"k": "word", "s": "text", "d": "date", "q": "number", "c": "composite", "lo": "order", "hi": "order"}
    wrong = {names[field] for field in INDEXED if (one.get(field) or None) != (wanted[field] or None)}
    return [f"The {name} index of {one['_id']} does not agree with the resource." for name in sorted(wrong)]


async def _references(db: AsyncDatabase[Document], session: AsyncClientSession) -> AsyncIterator[str]:
    batch: list[tuple[str, str]] = []

    async def missing() -> list[str]:
        names = sorted({target for _, target in batch})
        there = {one["_id"] async for one in db.resource.find({"_id": {"$in": names}}, {"_id": 1}, session=session)}
        lost = dict.fromkeys((source, target.partition("/")[0]) for source, target in batch if target not in there)
        batch.clear()
        return [f"{source} refers to a {type} that is not in the store." for source, type in lost]

    async for one in db.resource.find({}, {"k": 1}, session=session):
        batch.extend((one["_id"], target) for target in {word[9:] for word in one["k"] if word[8] == "r"})
        if len(batch) >= PAGE:
            for finding in await missing():
                yield finding
    for finding in await missing():
        yield finding

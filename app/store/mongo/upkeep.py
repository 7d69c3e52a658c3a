"""Scan, count, reindex, check: what keeps a store honest."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from pymongo import UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.database import AsyncDatabase

from app.fhir.codec import decode
from app.fhir.search.types import Entries
from app.security.access import Access
from app.store.mongo.clauses import owned
from app.store.mongo.conditions import all_of
from app.store.mongo.search import STORED, stored
from app.store.mongo.words import Document, words_of
from app.store.protocol import Stored
from app.store.rules import intact

PAGE = 500
MAX_FINDINGS = 1000
INDEXED = ("k", "s", "d", "q", "c", "lo", "hi")
_TO_INDEX = {"v": 1, "t": 1, "raw": 1}

Extract = Callable[[Mapping[str, Any]], Entries]


def _living(types: Sequence[str]) -> Document:
    return {"t": {"$in": list(types)}} if types else {"t": {"$exists": True}}


async def scan(db: AsyncDatabase[Document], access: Access, types: Sequence[str]) -> AsyncIterator[Stored]:
    """Every current resource, in pages by name: no cursor stays open while the caller works."""
    after = ""
    while True:
        where = all_of([{"_id": {"$gt": after}}, _living(types), owned(access)])
        page = await db.resource.find(where, STORED).sort("_id", 1).hint("_id_").limit(PAGE).to_list()
        for one in page:
            yield stored(one)
        if len(page) < PAGE:
            return
        after = page[-1]["_id"]


async def counts(db: AsyncDatabase[Document], access: Access) -> dict[str, int]:
    """Current resources by type."""
    types = await db.resource.distinct("t")
    found = {
        type: await db.resource.count_documents(all_of([{"t": type}, owned(access)])) for type in sorted(filter(None, types))
    }
    return {type: number for type, number in found.items() if number}


async def reindex(db: AsyncDatabase[Document], extract: Extract, types: Sequence[str]) -> int:
    """Index everything anew, page by page. A resource that is written meanwhile was indexed by that."""
    done, after = 0, ""
    while True:
        where = all_of([{"_id": {"$gt": after}}, _living(types)])
        page = await db.resource.find(where, _TO_INDEX).sort("_id", 1).hint("_id_").limit(PAGE).to_list()
        if not page:
            return done
        await _index_anew(db, extract, page)
        done, after = done + len(page), page[-1]["_id"]


async def reindex_only(db: AsyncDatabase[Document], extract: Extract, references: Sequence[str]) -> None:
    """Index these `Type/id` anew."""
    for start in range(0, len(references), PAGE):
        where = all_of([{"_id": {"$in": list(references[start : start + PAGE])}}, _living(())])
        await _index_anew(db, extract, await db.resource.find(where, _TO_INDEX).to_list())


async def _index_anew(db: AsyncDatabase[Document], extract: Extract, page: Sequence[Document]) -> None:
    changes = [
        UpdateOne({"_id": one["_id"], "v": one["v"]}, {"$set": words_of(one["t"], extract(decode(one["raw"])))})
        for one in page
        if _intact(one["_id"], one)  # the others are no worse for one that is not; the check tells
    ]
    if changes:
        await db.resource.bulk_write(changes, ordered=False)


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
    async for one in db.version.find({"a": {"$ne": "delete"}}, {"r": 1, "v": 1, "raw": 1}, session=session):
        if not _intact(one["r"], one):
            yield f"Version {one['v']} of {one['r']} is damaged; restore it from a backup."
    async for finding in _versions(db, session):
        yield finding
    async for one in db.resource.find({}, session=session):
        for finding in _index(one, extract):
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


async def _versions(db: AsyncDatabase[Document], session: AsyncClientSession) -> AsyncIterator[str]:
    # Both collections in the order of names, side by side, so that neither has to fit in memory.
    order = {"$sort": {"_id": 1}}
    group: Document = {"_id": "$r", "number": {"$sum": 1}, "last": {"$max": "$v"}}
    grouped = await db.version.aggregate([{"$group": group}, order], session=session, allowDiskUse=True)
    resources = db.resource.find({}, {"k": 0, "s": 0, "d": 0, "q": 0, "c": 0}, session=session).sort("_id", 1)
    told = await anext(grouped, None)
    async for one in resources:
        while told is not None and told["_id"] < one["_id"]:
            yield f"{told['_id']} has versions but is not there."
            told = await anext(grouped, None)
        mine = told if told is not None and told["_id"] == one["_id"] else None
        if mine is not None:
            told = await anext(grouped, None)
        last = await db.version.find_one({"r": one["_id"], "v": one["v"]}, session=session)
        agrees = mine is not None and mine["number"] == mine["last"] == one["v"]
        if not agrees or last is None or last["raw"] != one["raw"] or (last["a"] == "delete") == ("t" in one):
            yield f"The versions of {one['_id']} do not agree with what is current."
        elif last["w"] != one["w"]:
            yield f"The owner marks of {one['_id']} do not agree."
    while told is not None:
        yield f"{told['_id']} has versions but is not there."
        told = await anext(grouped, None)


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

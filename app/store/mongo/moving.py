"""Giving and taking whole versions and records, for `app.store.moving`."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from bson.binary import Binary
from pymongo import InsertOne, ReplaceOne, UpdateMany, UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.database import AsyncDatabase

from app.fhir.codec import decode
from app.fhir.errors import Conflict
from app.fhir.search.types import Entries
from app.store.mongo import records
from app.store.mongo.transaction import EMPTY
from app.store.mongo.words import Document, words_of
from app.store.moving import BYTES, PAGE, Version
from app.store.protocol import PutRecord, Record

Extract = Callable[[Mapping[str, Any]], Entries]


async def versions(db: AsyncDatabase[Document], after: int, limit: int) -> list[Version]:
    """As `Movable.versions`."""
    found: list[Version] = []
    size = 0
    async with db.version.find({"seq": {"$gt": after}}).sort("seq", 1).limit(limit) as cursor:
        async for one in cursor:
            name = _named(one["r"])
            found.append(
                Version(int(one["seq"]), *name, one["v"], int(one["u"]), one["a"], bytes(one["raw"]), frozenset(one["w"]))
            )
            size += len(one["raw"])
            if size > BYTES:
                break
    return found


def _named(name: str) -> tuple[str, str]:
    type, _, id = name.partition("/")
    return type, id


async def moment(db: AsyncDatabase[Document], session: AsyncClientSession) -> AsyncIterator[tuple[list[str], int, list[Record]]]:
    """Pages of records in the session's snapshot, with its last number and the versions that had none yet."""
    counter = await db.setting.find_one({"_id": "feed"}, session=session)
    head = int(counter["seq"]) if counter else 0
    pending = [one["_id"] async for one in db.version.find({"pending": True}, {"_id": 1}, session=session)]
    page: list[Record] = []
    async for one in db.record.find({}, session=session).sort("_id", 1):
        page.append(records.from_document(one))
        if len(page) == PAGE:
            yield pending, head, page
            page = []
    yield pending, head, page


async def adopt(db: AsyncDatabase[Document], session: AsyncClientSession, extract: Extract, moved: Sequence[Version]) -> None:
    """As `Movable.adopt`, inside a transaction."""
    counter = await db.setting.find_one_and_update({"_id": "feed"}, {"$inc": {"seq": len(moved)}}, session=session)
    have = int(counter["seq"]) if counter else 0
    if moved[0].seq != have + 1:
        raise Conflict(f"Number {moved[0].seq} does not follow {have}: somebody else writes to this store.")
    newest = await db.version.find_one({}, {"o": 1}, session=session, sort=[("o", -1)])
    order = int(newest["o"]) if newest else 0
    firsts: dict[str, int] = {}
    lasts: dict[str, tuple[int, Version]] = {}
    documents: list[Document] = []
    for one in moved:
        order = max(order + 1, one.updated)
        name = f"{one.type}/{one.id}"
        firsts.setdefault(name, order)
        lasts[name] = order, one
        documents.append(
            {
                "_id": f"{name}/{one.version}",
                "r": name,
                "t": one.type,
                "v": one.version,
                "u": one.updated,
                "o": order,
                "a": one.action,
                "raw": Binary(one.raw),
                "seq": one.seq,
            }
        )
    for document in documents:
        document["w"] = sorted(lasts[document["r"]][1].owners)
    known = {one["_id"]: one async for one in db.resource.find({"_id": {"$in": list(lasts)}}, {"n": 1, "w": 1}, session=session)}
    firsts |= {name: int(one["n"]) for name, one in known.items()}
    changes = [
        ReplaceOne({"_id": name}, _current(name, at, firsts[name], one, extract), upsert=True)
        for name, (at, one) in lasts.items()
    ]
    await db.version.bulk_write([InsertOne(document) for document in documents], session=session)
    await db.resource.bulk_write(changes, session=session)
    others = {(one.type, one.id): one.owners for name, (_, one) in lasts.items() if name in known}
    await adopt_owners(db, session, {name: marks for name, marks in others.items() if marks != set(known["/".join(name)]["w"])})


def _current(name: str, order: int, first: int, one: Version, extract: Extract) -> Document:
    document: Document = {
        "_id": name,
        "v": one.version,
        "u": one.updated,
        "o": order,
        "n": first,
        "w": sorted(one.owners),
        "a": one.action,
        "raw": Binary(one.raw),
    }
    if one.action == "delete":
        return document | EMPTY
    return document | {"t": one.type} | words_of(one.type, extract(decode(one.raw)))


async def adopt_owners(
    db: AsyncDatabase[Document], session: AsyncClientSession, owners: Mapping[tuple[str, str], frozenset[str]]
) -> None:
    """As `Movable.adopt_owners`, inside a transaction: every version carries the marks of its resource."""
    wanted = [("/".join(name), {"$set": {"w": sorted(marks)}}) for name, marks in owners.items()]
    if wanted:
        await db.resource.bulk_write([UpdateOne({"_id": name}, change) for name, change in wanted], session=session)
        await db.version.bulk_write([UpdateMany({"r": name}, change) for name, change in wanted], session=session)


async def adopt_records(db: AsyncDatabase[Document], moved: Sequence[Record]) -> None:
    """As `Movable.adopt_records`."""
    documents = [records.document(records.name_of(PutRecord(one)), one, one.revision, one.updated) for one in moved]
    if documents:
        await db.record.bulk_write([ReplaceOne({"_id": one["_id"]}, one, upsert=True) for one in documents])

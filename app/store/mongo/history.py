"""Versions, newest first: of one resource, of one type, of everything. A version carries the owner marks that its resource has now."""

from pymongo.asynchronous.database import AsyncDatabase

from app.fhir.errors import NotFound
from app.security.access import Access
from app.store.cursor import seal, unseal
from app.store.mongo.clauses import owned
from app.store.mongo.conditions import all_of
from app.store.mongo.search import STORED, stored
from app.store.mongo.words import Document
from app.store.protocol import Found


async def page(
    db: AsyncDatabase[Document],
    access: Access,
    key: bytes,
    type: str | None,
    id: str | None,
    since: int | None,
    count: int,
    cursor: str | None,
) -> Found:
    """One page. Raises NotFound for the history of a resource that never was, or not for this caller."""
    about = repr(("history", type, id, since))
    last = unseal(key, about, cursor) if cursor else None
    pieces: list[Document] = [owned(access)]
    order = [("o", -1), ("_id", -1)]
    if id is not None:
        name = f"{type}/{id}"
        if await db.resource.find_one(all_of([{"_id": name}, owned(access)]), {"_id": 1}) is None:
            raise NotFound(f"{name} is not there.")
        pieces.append({"r": name})
        order = [("v", -1)]
        if last is not None:
            pieces.append({"v": {"$lt": last[0]}})
    else:
        if type is not None:
            pieces.append({"t": type})
        if last is not None:
            pieces.append({"$and": [{"o": {"$lte": last[0]}}, {"$or": [{"o": {"$lt": last[0]}}, {"_id": {"$lt": last[1]}}]}]})
    if since is not None:
        pieces.append({"u": {"$gte": since}})
    rows = await db.version.find(all_of(pieces), STORED | {"r": 1, "o": 1}).sort(order).limit(count + 1).to_list()
    more, rows = len(rows) > count, rows[:count]
    at = ([rows[-1]["v"]] if id is not None else [int(rows[-1]["o"]), rows[-1]["_id"]]) if rows else []
    return Found(matches=[stored(row) for row in rows], cursor=seal(key, about, at) if more and rows else None)

"""Collections, indexes and migrations of the MongoDB store.

What must stay true: each step may be interrupted and run again, by several processes at once; a program refuses a schema that is newer than its
own; an index has at most one array in it. Indexes are built by MongoDB in the background, so other nodes go on.

| collection | one document is |
| --- | --- |
| `resource` | the current version of a resource: bytes, owner marks, index arrays. A deleted one has neither type nor index |
| `version` | one version for ever, and its number in the change feed |
| `record` | a record |
| `claim` | what a guard asked about, against others at the same moment |
| `setting` | schema, cursor key, last number of the feed |
"""

import secrets
from collections.abc import Awaitable, Callable

from bson.binary import Binary
from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import DuplicateKeyError, OperationFailure

from app.fhir.errors import Unavailable
from app.store.mongo.claims import KEEP
from app.store.mongo.words import SORTED, Document

_EXISTS = 48
COLLECTIONS = ("resource", "version", "record", "claim", "setting")


def _up(*fields: str) -> list[tuple[str, int]]:
    return [(field, ASCENDING) for field in fields]


def _ordered(param: str) -> list[IndexModel]:
    """One sort parameter, both ways; only of documents that have a value."""
    low, high = f"lo.{param}", f"hi.{param}"
    return [
        IndexModel(_up("t", low, "_id"), name=f"low_{param}", partialFilterExpression={low: {"$exists": True}}),
        IndexModel(
            [("t", ASCENDING), (high, DESCENDING), ("_id", ASCENDING)],
            name=f"high_{param}",
            partialFilterExpression={high: {"$exists": True}},
        ),
    ]


INDEXES: dict[str, list[IndexModel]] = {
    "resource": [
        IndexModel(_up("t", "n", "_id"), name="type"),
        IndexModel(_up("t", "u", "_id"), name="updated"),
        IndexModel([("t", ASCENDING), ("u", DESCENDING), ("_id", ASCENDING)], name="updated_last"),
        IndexModel(_up("w", "t", "n", "_id"), name="owner"),
        IndexModel(_up("k", "n", "_id"), name="word"),
        IndexModel(_up("s"), name="text"),
        IndexModel(_up("d.p", "d.l", "d.h"), name="date_low"),
        IndexModel(_up("d.p", "d.h", "d.l"), name="date_high"),
        IndexModel(_up("q.p", "q.l", "q.h"), name="number_low"),
        IndexModel(_up("q.p", "q.h", "q.l"), name="number_high"),
        *(index for param in SORTED for index in _ordered(param)),
    ],
    "version": [
        IndexModel(_up("r", "v"), name="instance", unique=True),
        IndexModel([("t", ASCENDING), ("o", DESCENDING), ("_id", DESCENDING)], name="type"),
        IndexModel([("o", DESCENDING), ("_id", DESCENDING)], name="all"),
        IndexModel(_up("seq"), name="feed", unique=True, partialFilterExpression={"seq": {"$exists": True}}),
        IndexModel(_up("pending", "o"), name="pending", partialFilterExpression={"pending": True}),
    ],
    "record": [
        IndexModel(_up("kind", "state", "_id"), name="state"),
        IndexModel(_up("kind", "tag", "_id"), name="tag"),
        IndexModel(_up("kind", "due"), name="due", partialFilterExpression={"due": {"$type": "number"}}),
    ],
    "claim": [IndexModel(_up("at"), name="old", expireAfterSeconds=int(KEEP.total_seconds()))],
}


async def _first(db: AsyncDatabase[Document]) -> None:
    there = set(await db.list_collection_names())
    for name in COLLECTIONS:
        if name not in there:
            try:
                await db.create_collection(name, check_exists=False)
            except OperationFailure as error:
                if error.code != _EXISTS:  # another process was faster
                    raise
    for name, indexes in INDEXES.items():
        await db[name].create_indexes(indexes)
    for document in ({"_id": "cursor_key", "value": Binary(secrets.token_bytes(32))}, {"_id": "feed", "seq": 0}):
        try:
            await db.setting.insert_one(document)
        except DuplicateKeyError:
            continue


async def _second(db: AsyncDatabase[Document]) -> None:
    """Index entries are fewer: all are made anew."""
    await db.setting.update_one({"_id": "stale"}, {"$set": {"since": 2}}, upsert=True)


async def is_stale(db: AsyncDatabase[Document]) -> bool:
    """Whether an index was left to be made anew, by a migration or by one that was interrupted."""
    return await db.setting.find_one({"_id": "stale"}) is not None


async def mark_fresh(db: AsyncDatabase[Document]) -> None:
    """The index is that of this program."""
    await db.setting.delete_one({"_id": "stale"})


MIGRATIONS: tuple[Callable[[AsyncDatabase[Document]], Awaitable[None]], ...] = (_first, _second)


async def migrate(db: AsyncDatabase[Document]) -> None:
    """Bring the database to this program's schema. Raises Unavailable for a schema that is newer."""
    found = await db.setting.find_one({"_id": "schema"})
    have = int(found["version"]) if found else 0
    if have > len(MIGRATIONS):
        raise Unavailable(
            f"This store has schema {have} and this program knows {len(MIGRATIONS)}: it was written by a newer version; use that one."
        )
    for number, step in enumerate(MIGRATIONS[have:], have + 1):
        await step(db)
        await db.setting.update_one({"_id": "schema"}, {"$max": {"version": number}}, upsert=True)

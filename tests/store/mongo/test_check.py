"""What the check of the MongoDB store says when somebody or something else has been at the collections."""

from pymongo import MongoClient

from app.security.access import SYSTEM
from app.store.protocol import Put
from tests.contract.builders import patient
from tests.support import empty_mongo_url, open_mongo_store


async def test_spoilt_bytes_are_told_and_keep_nothing_else_from_being_checked_and_indexed(mongodb: str) -> None:
    url = await empty_mongo_url(mongodb)
    store = await open_mongo_store(mongodb)
    for turn in "ab":
        await store.commit(SYSTEM, [Put(patient(f"p{n}", turn)) for n in range(3)])
    with MongoClient(url) as client:
        db = client.get_default_database()
        for name in ("resource", "version"):
            db[name].update_one(
                {"_id": f"Patient/p1{'/2' if name == 'version' else ''}"}, {"$set": {"raw": b'{"resourceType":"Pat'}}
            )
        db.version.update_one({"_id": "Patient/p2/1"}, {"$set": {"raw": b"\xff"}})
        db.resource.update_one({"_id": "Patient/p0"}, {"$set": {"s": []}})
    damaged = [f"Version {v} of Patient/{id} is damaged; restore it from a backup." for id, v in (("p1", 2), ("p2", 1))]
    assert sorted(await store.check()) == sorted([*damaged, "The text index of Patient/p0 does not agree with the resource."])
    await store.reindex()
    assert sorted(await store.check()) == sorted(damaged)
    await store.close()

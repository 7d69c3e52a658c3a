"""What the check of the MongoDB store says when somebody or something else has been at the collections."""

from typing import Any

import pytest
from pymongo import MongoClient

from app.security.access import SYSTEM
from app.store.protocol import Delete, Put
from tests.contract.builders import NORTH, SOUTH, patient
from tests.support import empty_mongo_url, open_mongo_store

MARKS = "The owner marks of Patient/p do not agree."
VERSIONS = "The versions of Patient/p do not agree with what is current."


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


SPOILT: dict[str, tuple[str, str, dict[str, Any], str]] = {
    "an older version is another hospital's": ("version", "Patient/p/1", {"$set": {"w": [SOUTH]}}, MARKS),
    "an older version is of another type": ("version", "Patient/p/1", {"$set": {"t": "Observation"}}, VERSIONS),
    "the time": ("resource", "Patient/p", {"$set": {"u": 5}}, VERSIONS),
    "the order": ("resource", "Patient/p", {"$set": {"n": None}}, VERSIONS),
    "the type": ("resource", "Patient/p", {"$set": {"t": "Observation"}}, VERSIONS),
    "no type": ("resource", "Patient/p", {"$unset": {"t": ""}}, VERSIONS),
    "what was done last": ("resource", "Patient/p", {"$set": {"a": "delete"}}, VERSIONS),
    "what is deleted has a type": ("resource", "Patient/gone", {"$set": {"t": "Patient"}}, VERSIONS.replace("/p", "/gone")),
    "a deleted one is another hospital's": (
        "version",
        "Patient/gone/1",
        {"$set": {"w": [SOUTH]}},
        MARKS.replace("/p", "/gone"),
    ),
}


@pytest.mark.parametrize("what", SPOILT)
async def test_what_a_document_says_beside_its_bytes_is_checked_and_made_anew(mongodb: str, what: str) -> None:
    collection, name, change, sentence = SPOILT[what]
    url = await empty_mongo_url(mongodb)
    store = await open_mongo_store(mongodb)
    for family in ("One", "Two"):
        await store.commit(SYSTEM, [Put(patient(id, family), owners=frozenset({NORTH})) for id in ("p", "gone", "q")])
    await store.commit(SYSTEM, [Delete("Patient", "gone")])
    assert await store.check() == []
    with MongoClient(url) as client:
        db = client.get_default_database()
        before = [list(db[one].find()) for one in ("resource", "version")]
        db[collection].update_one({"_id": name}, change)
        assert sentence in await store.check()
        assert await store.reindex() == 2
        assert await store.check() == []
        assert [list(db[one].find()) for one in ("resource", "version")] == before
    await store.close()


async def test_a_feed_that_has_a_version_before_the_one_that_it_follows_is_told(mongodb: str) -> None:
    url = await empty_mongo_url(mongodb)
    store = await open_mongo_store(mongodb)
    for family in ("One", "Two"):
        await store.commit(SYSTEM, [Put(patient("p", family))])
    await store.feed(0)
    with MongoClient(url) as client:
        version = client.get_default_database().version
        for number, seq in ((1, 3), (2, 1), (1, 2)):
            version.update_one({"_id": f"Patient/p/{number}"}, {"$set": {"seq": seq}})
    assert await store.check() == ["The feed has the versions of Patient/p in another order."]
    await store.close()


async def test_versions_of_what_is_not_there_are_told_wherever_they_stand(mongodb: str) -> None:
    url = await empty_mongo_url(mongodb)
    store = await open_mongo_store(mongodb)
    await store.commit(SYSTEM, [Put(patient(id)) for id in "abcd"])
    with MongoClient(url) as client:
        client.get_default_database().resource.delete_many({"_id": {"$in": ["Patient/a", "Patient/c", "Patient/d"]}})
    assert await store.check() == [f"Patient/{id} has versions but is not there." for id in "acd"]
    await store.close()

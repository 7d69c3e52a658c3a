"""Cloned children are children: a store that was grown agrees with itself, and each is found by its own numbers."""

from app import names
from app.ids import new_id
from app.security.access import SYSTEM
from app.store.protocol import Put, PutRecord, Record
from bench.nation_of import grow
from tests.contract.builders import patient
from tests.support import empty_mongo_url, open_mongo_store


async def test_a_grown_store_agrees_with_itself(mongodb: str) -> None:
    url = await empty_mongo_url(mongodb)
    store = await open_mongo_store(mongodb)
    child = patient(new_id()) | {"identifier": [{"system": names.NHS_NUMBER, "value": "9990000018"}]}
    retired = patient(new_id()) | {"link": [{"other": {"reference": f"Patient/{child['id']}"}, "type": "replaced-by"}]}
    seen = {"resourceType": "Observation", "id": new_id(), "status": "final", "code": {"text": "x"}}
    seen |= {"subject": {"reference": f"Patient/{child['id']}"}, "valueString": f"of {child['id']}"}
    await store.commit(SYSTEM, [Put(child), Put(retired), Put(seen), PutRecord(Record("fact", child["id"], tag=child["id"]))])
    await store.commit(SYSTEM, [Put(child | {"active": True})])
    assert await store.feed_head() == 4
    said: list[str] = []
    assert grow(url, 8, 5, said.append) == 8  # two Patients to a child; the last child comes without history
    assert said[-1] == "8 children"
    numbers, owners = set(), set()
    async for found in store.scan(SYSTEM, ["Patient", "Observation"]):
        if found.type == "Observation":
            owners.add(found.resource["subject"]["reference"])
            assert found.resource["valueString"] == f"of {found.resource['subject']['reference'].partition('/')[2]}"
        elif "identifier" in found.resource:
            numbers.add(found.resource["identifier"][0]["value"])
            assert found.version == 2
    assert len(numbers) == len(owners) == 4
    assert len(await store.find_records(SYSTEM, "fact")) == 3
    sentences = await store.check()
    assert len(sentences) == 3, sentences  # the three resources whose history was left out
    assert await store.feed_head() == 12
    await store.close()

"""Two `csor serve` on one replica set: one truth, work done once, and a node that dies is not missed."""

import concurrent.futures
from collections.abc import Callable, Iterator

import httpx
import pytest
from pymongo import MongoClient

from tests.journeys.conftest import Server, csor
from tests.support import until, with_database

Start = Callable[..., Server]
DATABASE = "csor_journey"


@pytest.fixture(scope="module")
def url(mongodb: str) -> Iterator[str]:
    with MongoClient(mongodb) as client:
        client.drop_database(DATABASE)
        yield with_database(mongodb, DATABASE)
        client.drop_database(DATABASE)


@pytest.fixture(scope="module")
def nodes(start_server: Start, url: str) -> tuple[Server, Server]:
    return start_server("--store", url), start_server("--store", url)


def test_what_one_node_stores_the_other_has(nodes: tuple[Server, Server]) -> None:
    with nodes[0].client() as one, nodes[1].client() as other:
        for n in range(20):
            assert one.put(f"/Patient/p{n}", json={"resourceType": "Patient", "id": f"p{n}"}).status_code == 201
            assert other.get(f"/Patient/p{n}").headers["etag"] == 'W/"1"'
        assert other.get("/Patient?_summary=count").json()["total"] == 20


def test_of_conditional_creates_at_both_one_wins(nodes: tuple[Server, Server]) -> None:
    def create(n: int) -> int:
        resource = {"resourceType": "Patient", "identifier": [{"system": "urn:x", "value": f"v{n // 10}"}]}
        condition = f"identifier=urn:x|v{n // 10}"
        return httpx.post(
            f"{nodes[n % 2].fhir}/Patient", json=resource, headers={"if-none-exist": condition}, timeout=60
        ).status_code

    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        statuses = list(pool.map(create, range(60)))
    assert statuses.count(201) == 6
    assert set(statuses) <= {200, 201}
    with nodes[0].client() as client:
        for n in range(6):
            assert client.get(f"/Patient?identifier=urn:x|v{n}&_summary=count").json()["total"] == 1


def test_an_update_with_if_match_is_taken_once(nodes: tuple[Server, Server]) -> None:
    with nodes[0].client() as client:
        client.put("/Patient/match", json={"resourceType": "Patient", "id": "match"})

    def update(n: int) -> int:
        resource = {"resourceType": "Patient", "id": "match", "multipleBirthInteger": n + 1}
        return httpx.put(
            f"{nodes[n % 2].fhir}/Patient/match", json=resource, headers={"if-match": 'W/"1"'}, timeout=60
        ).status_code

    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        statuses = list(pool.map(update, range(20)))
    assert sorted(statuses) == [200] + [412] * 19


@pytest.mark.slow
def test_when_the_working_node_dies_the_other_takes_over(start_server: Start, url: str, nodes: tuple[Server, Server]) -> None:
    """Feed consumers run in one node at a time; after kill -9 of either, changes are still worked on."""
    with MongoClient(url) as client:
        records = client[DATABASE].record

        def behind() -> list[str]:
            head = client[DATABASE].setting.find_one({"_id": "feed"})["seq"]
            cursors = {one["_id"].partition("\x1f")[2]: one["body"] for one in records.find({"kind": "cursor"})}
            unread = ["the feed"] if client[DATABASE].version.find_one({"pending": True}) else []
            return unread + [name for name, body in cursors.items() if f'"seq":{head}}}'.encode() not in body.replace(b" ", b"")]

        until(lambda: records.count_documents({"kind": "cursor"}) and not behind())
        nodes[0].kill()
        with nodes[1].client() as other:
            before = other.get("/Patient?_summary=count").json()["total"]
            for _ in range(10):
                assert other.post("/Patient", json={"resourceType": "Patient"}).status_code == 201
            until(lambda: not behind(), 60)
            nodes[1].kill()
    third = start_server("--store", url)
    with third.client() as last:
        assert last.get("/Patient?_summary=count").json()["total"] == before + 10
    assert third.stop() == 0
    checked = csor("check", "--store", url)
    assert checked.returncode == 0, checked.stdout
    assert "All agrees" in checked.stdout


def test_a_server_that_finds_no_mongodb_says_so_in_one_sentence() -> None:
    refused = csor("serve", "--store", "mongodb://me:hunter2@127.0.0.1:1/csor?serverSelectionTimeoutMS=200")
    assert refused.returncode != 0
    said = refused.stdout + refused.stderr
    assert "No MongoDB answers at mongodb://127.0.0.1:1/csor" in said
    assert "hunter2" not in said and "Traceback" not in said

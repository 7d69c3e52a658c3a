"""create, update, delete: status, headers, what comes back, and what is refused."""

import asyncio
import gzip
import json

import httpx
import pytest

from tests.api.conftest import BASE, observation, patient


async def test_create_gives_a_new_id_and_says_where(fhir: httpx.AsyncClient) -> None:
    made = await fhir.post("/Patient", json=patient(id="mine", active=True))
    assert made.status_code == 201
    body = made.json()
    assert body["id"] != "mine" and body["meta"]["versionId"] == "1" and body["active"] is True
    assert made.headers["location"] == f"{BASE}/Patient/{body['id']}/_history/1"
    assert made.headers["etag"] == 'W/"1"' and "last-modified" in made.headers


async def test_numbers_keep_their_digits(fhir: httpx.AsyncClient) -> None:
    raw = b'{"resourceType":"Observation","status":"final","code":{"text":"weight"},"valueQuantity":{"value":72.50}}'
    made = await fhir.post("/Observation", content=raw, headers={"content-type": "application/fhir+json"})
    assert b'"value":72.50}' in (await fhir.get(f"/Observation/{made.json()['id']}")).content


async def test_update_makes_versions_and_the_same_again_makes_none(fhir: httpx.AsyncClient) -> None:
    first = await fhir.put("/Patient/a", json=patient(id="a", active=True))
    second = await fhir.put("/Patient/a", json=patient(id="a", active=False))
    again = await fhir.put("/Patient/a", json=patient(id="a", active=False))
    assert [r.status_code for r in (first, second, again)] == [201, 200, 200]
    assert [r.headers["etag"] for r in (first, second, again)] == ['W/"1"', 'W/"2"', 'W/"2"']


async def test_update_needs_the_same_id_in_url_and_body(fhir: httpx.AsyncClient) -> None:
    for body in (patient(id="b"), patient()):
        refused = await fhir.put("/Patient/a", json=body)
        assert refused.status_code == 400
        assert refused.json()["issue"][0]["expression"] == ["Patient.id"]


async def test_if_match_guards_an_update_and_a_delete(fhir: httpx.AsyncClient) -> None:
    await fhir.put("/Patient/a", json=patient(id="a"))
    stale = await fhir.put("/Patient/a", json=patient(id="a", active=True), headers={"if-match": 'W/"7"'})
    assert stale.status_code == 412 and stale.json()["resourceType"] == "OperationOutcome"
    assert (await fhir.delete("/Patient/a", headers={"if-match": 'W/"7"'})).status_code == 412
    fresh = await fhir.put("/Patient/a", json=patient(id="a", active=True), headers={"if-match": 'W/"1"'})
    assert fresh.status_code == 200
    assert (await fhir.put("/Patient/a", json=patient(id="a"), headers={"if-match": "x"})).status_code == 400


async def test_if_match_may_leave_a_choice(fhir: httpx.AsyncClient) -> None:
    await fhir.put("/Patient/a", json=patient(id="a"))
    some, others, any = {"if-match": 'W/"7", W/"1"'}, {"if-match": '"8","9"'}, {"if-match": "*"}
    born = {"content-type": "application/json-patch+json"}
    change = b'[{"op": "add", "path": "/birthDate", "value": "2024-02-29"}]'
    for url in ("/Patient/a", "/Patient?_id=a"):
        assert (await fhir.put(url, json=patient(id="a", active=True), headers=others)).status_code == 412
        assert (await fhir.patch(url, content=change, headers=born | others)).status_code == 412
        assert (await fhir.delete(url, headers=others)).status_code == 412
    assert (await fhir.put("/Patient/a", json=patient(id="a", active=True), headers=some)).headers["etag"] == 'W/"2"'
    assert (await fhir.put("/Patient?_id=a", json=patient(id="a"), headers=any)).headers["etag"] == 'W/"3"'
    assert (await fhir.patch("/Patient/a", content=change, headers=born | any)).headers["etag"] == 'W/"4"'
    assert (await fhir.delete("/Patient/a", headers=any)).status_code == 204
    for url in ("/Patient/a", "/Patient?_id=a"):
        assert (await fhir.put(url, json=patient(id="a"), headers=any)).status_code == 412
        assert (await fhir.delete(url, headers=any)).status_code == 412


async def test_of_many_updates_of_any_version_all_win(fhir: httpx.AsyncClient) -> None:
    await fhir.put("/Patient/a", json=patient(id="a"))
    racing = [
        fhir.put("/Patient/a", json=patient(id="a", multipleBirthInteger=n), headers={"if-match": "*"}) for n in range(1, 11)
    ]
    assert {r.status_code for r in await asyncio.gather(*racing)} == {200}


ONLY_NEW = {"if-none-match": "*"}


async def test_if_none_match_makes_only_what_is_not_there(fhir: httpx.AsyncClient) -> None:
    assert (await fhir.put("/Patient/a", json=patient(id="a"), headers=ONLY_NEW)).status_code == 201
    refused = await fhir.put("/Patient/a", json=patient(id="a", active=True), headers=ONLY_NEW)
    assert refused.status_code == 412 and "there already" in refused.text
    await fhir.delete("/Patient/a")
    assert (await fhir.put("/Patient/a", json=patient(id="a", active=True), headers=ONLY_NEW)).status_code == 201
    assert (await fhir.put("/Patient?active=true", json=patient(), headers=ONLY_NEW)).status_code == 412
    assert (await fhir.put("/Patient?active=false", json=patient(active=False), headers=ONLY_NEW)).status_code == 201
    for headers in ({"if-none-match": 'W/"1"'}, ONLY_NEW | {"if-match": 'W/"1"'}):
        assert (await fhir.put("/Patient/a", json=patient(id="a"), headers=headers)).status_code == 400


async def test_of_many_that_make_it_only_if_it_is_not_there_one_does(fhir: httpx.AsyncClient) -> None:
    racing = [fhir.put("/Patient/a", json=patient(id="a", multipleBirthInteger=n), headers=ONLY_NEW) for n in range(1, 21)]
    assert sorted(r.status_code for r in await asyncio.gather(*racing)) == [201] + [412] * 19


async def test_of_many_updates_of_one_version_one_wins(fhir: httpx.AsyncClient) -> None:
    await fhir.put("/Patient/a", json=patient(id="a"))
    racing = [
        fhir.put("/Patient/a", json=patient(id="a", multipleBirthInteger=n), headers={"if-match": 'W/"1"'}) for n in range(1, 21)
    ]
    statuses = sorted(r.status_code for r in await asyncio.gather(*racing))
    assert statuses == [200] + [412] * 19


async def test_delete_and_what_is_left(fhir: httpx.AsyncClient) -> None:
    await fhir.put("/Patient/a", json=patient(id="a"))
    assert (await fhir.delete("/Patient/a")).status_code == 204
    assert (await fhir.get("/Patient/a")).status_code == 410
    assert (await fhir.get("/Patient/a/_history/1")).status_code == 200
    assert (await fhir.delete("/Patient/a")).status_code == 204
    assert (await fhir.delete("/Patient/never")).status_code == 204
    assert (await fhir.put("/Patient/a", json=patient(id="a"))).status_code == 201


async def test_prefer_decides_what_comes_back(fhir: httpx.AsyncClient) -> None:
    minimal = await fhir.post("/Patient", json=patient(), headers={"prefer": "return=minimal"})
    assert minimal.status_code == 201 and minimal.content == b"" and "location" in minimal.headers
    outcome = await fhir.post("/Patient", json=patient(), headers={"prefer": "return=OperationOutcome"})
    assert outcome.json()["resourceType"] == "OperationOutcome"


async def test_every_issue_comes_at_once_with_its_place(fhir: httpx.AsyncClient) -> None:
    refused = await fhir.post("/Patient", json=patient(birthDate="2024-02-30", gender="boy", colour="red"))
    assert refused.status_code == 400
    places = {issue["expression"][0] for issue in refused.json()["issue"]}
    assert {"Patient.birthDate", "Patient.gender", "Patient.colour"} <= places
    assert (await fhir.get("/Patient?_summary=count")).json()["total"] == 0


async def test_body_and_url_must_be_of_one_type(fhir: httpx.AsyncClient) -> None:
    refused = await fhir.post("/Patient", json=observation("Patient/a"))
    assert refused.status_code == 400 and "Observation" in refused.json()["issue"][0]["diagnostics"]


@pytest.mark.parametrize("id", ["under_score", "x" * 65])
async def test_ids_that_fhir_does_not_allow(fhir: httpx.AsyncClient, id: str) -> None:
    assert (await fhir.put(f"/Patient/{id}", json=patient(id=id))).status_code == 400


async def test_an_nhs_number_is_no_id(fhir: httpx.AsyncClient) -> None:
    refused = await fhir.put("/Patient/9434765919", json=patient(id="9434765919"))
    assert refused.status_code == 400 and "NHS number" in refused.json()["issue"][0]["diagnostics"]
    assert (await fhir.put("/Patient/9434765918", json=patient(id="9434765918"))).status_code == 201


async def test_a_body_in_gzip_is_one_whole_member(fhir: httpx.AsyncClient) -> None:
    sent = gzip.compress(json.dumps(patient(active=True)).encode())
    headers = {"content-encoding": "gzip", "content-type": "application/fhir+json"}
    made = await fhir.post("/Patient", content=sent, headers=headers)
    assert made.status_code == 201 and made.json()["active"] is True
    for body in (sent + sent, sent + gzip.compress(b" "), sent + b"x", sent[:-1], b"x"):
        assert (await fhir.post("/Patient", content=body, headers=headers)).status_code == 400
    assert (await fhir.get("/Patient?_summary=count")).json()["total"] == 1

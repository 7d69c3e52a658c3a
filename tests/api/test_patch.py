"""PATCH: three forms, one resource or a condition, alone and in bundles; what is refused, and that nothing is lost in a race."""

import asyncio
import base64
import json
from typing import Any

import httpx
import pytest

from tests.api.conftest import observation, patient, token
from tests.api.test_bundle import CHILD, bundle, entry, statuses

JSON = {"content-type": "application/json-patch+json"}
XML = {"content-type": "application/xml-patch+xml"}


def parameters(kind: str, path: str, **parts: Any) -> dict[str, Any]:
    made = [{"name": "type", "valueCode": kind}, {"name": "path", "valueString": path}]
    made += [
        {"name": key, **value} if isinstance(value, dict) else {"name": key, "valueString": value} for key, value in parts.items()
    ]
    return {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": made}]}


def binary(*operations: dict[str, Any]) -> dict[str, Any]:
    data = base64.b64encode(json.dumps(operations).encode()).decode()
    return {"resourceType": "Binary", "contentType": "application/json-patch+json", "data": data}


BORN = parameters("replace", "Patient.birthDate", value={"valueDate": "2024-02-29"})
WAYS = {
    "json": ([{"op": "replace", "path": "/birthDate", "value": "2024-02-29"}], JSON),
    "fhirpath": (BORN, {"content-type": "application/fhir+json"}),
    "xml": (b'<diff><replace sel="f:Patient/f:birthDate/@value">2024-02-29</replace></diff>', XML),
}


def _content(body: Any) -> bytes:
    return body if isinstance(body, bytes) else json.dumps(body).encode()


@pytest.fixture
async def born(fhir: httpx.AsyncClient) -> httpx.AsyncClient:
    made = patient(id="a", birthDate="2024-02-28", identifier=[{"system": "urn:x", "value": "1"}], active=True)
    assert (await fhir.put("/Patient/a", json=made)).status_code == 201
    return fhir


@pytest.mark.parametrize("way", WAYS)
async def test_each_form_changes_one_thing_and_makes_a_version(born: httpx.AsyncClient, way: str) -> None:
    body, headers = WAYS[way]
    answer = await born.patch("/Patient/a", content=_content(body), headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["etag"] == 'W/"2"' and answer.json()["birthDate"] == "2024-02-29"
    assert answer.json()["identifier"] == [{"system": "urn:x", "value": "1"}] and answer.json()["active"] is True
    again = await born.patch("/Patient/a", content=_content(body), headers=headers)
    assert again.status_code == 200 and again.headers["etag"] == 'W/"2"'
    assert len((await born.get("/Patient/a/_history")).json()["entry"]) == 2


async def test_digits_survive_every_form(fhir: httpx.AsyncClient) -> None:
    raw = b'{"resourceType":"Observation","id":"o","status":"final","code":{"text":"w"},"valueQuantity":{"value":72.50}}'
    assert (await fhir.put("/Observation/o", content=raw, headers={"content-type": "application/fhir+json"})).status_code == 201
    ways: list[tuple[Any, dict[str, str]]] = [
        ([{"op": "replace", "path": "/status", "value": "amended"}], JSON),
        (parameters("replace", "Observation.status", value={"valueCode": "corrected"}), {}),
        (b'<diff><replace sel="f:Observation/f:status/@value">final</replace></diff>', XML),
    ]
    for body, headers in ways:
        answer = await fhir.patch("/Observation/o", content=_content(body), headers=headers)
        assert answer.status_code == 200 and b'"value":72.50' in answer.content, answer.text


async def test_a_condition_finds_the_one(born: httpx.AsyncClient) -> None:
    body, headers = WAYS["json"]
    assert (await born.patch("/Patient?identifier=urn:x|1", json=body, headers=headers)).status_code == 200
    assert (await born.patch("/Patient?identifier=urn:x|2", json=body, headers=headers)).status_code == 404
    assert (await born.patch("/Patient", json=body, headers=headers)).status_code == 400
    await born.put("/Patient/b", json=patient(id="b", identifier=[{"system": "urn:x", "value": "1"}]))
    several = await born.patch("/Patient?identifier=urn:x|1", json=body, headers=headers)
    assert several.status_code == 412 and several.json()["issue"][0]["code"] == "multiple-matches"


async def test_if_match_holds(born: httpx.AsyncClient) -> None:
    body, headers = WAYS["json"]
    for stale in ('W/"7"', 'W/"0"'):
        assert (await born.patch("/Patient/a", json=body, headers=headers | {"if-match": stale})).status_code == 412
    assert (await born.patch("/Patient/a", json=body, headers=headers | {"if-match": 'W/"1"'})).status_code == 200


async def test_racing_patches_all_take_effect(born: httpx.AsyncClient) -> None:
    operations = [[{"op": "add", "path": "/identifier/-", "value": {"system": "urn:r", "value": str(n)}}] for n in range(12)]
    answers = await asyncio.gather(*(born.patch("/Patient/a", json=each, headers=JSON) for each in operations))
    assert {answer.status_code for answer in answers} == {200}
    kept = (await born.get("/Patient/a")).json()["identifier"]
    assert sorted(each["value"] for each in kept if each["system"] == "urn:r") == sorted(str(n) for n in range(12))


@pytest.mark.parametrize(
    ("body", "headers", "status", "said"),
    [
        (b"", JSON, 400, "empty"),
        (b"{}", JSON, 400, "array"),
        (b"[", JSON, 400, "malformed"),
        ([{"op": "jump", "path": "/x"}], JSON, 400, "Operation 1"),
        ([{"op": "test", "path": "/birthDate", "value": "1999-01-01"}], JSON, 422, "test does not hold"),
        ([{"op": "remove", "path": "/name/0"}], JSON, 422, "nothing at /name"),
        ([{"op": "replace", "path": "/birthDate", "value": "soon"}], JSON, 400, "not a date"),
        ([{"op": "add", "path": "/frobnicate", "value": 1}], JSON, 400, "frobnicate"),
        ([{"op": "replace", "path": "/id", "value": "b"}], JSON, 422, "id"),
        ([{"op": "remove", "path": "/id"}], JSON, 422, "id"),
        ([{"op": "replace", "path": "/resourceType", "value": "Basic"}], JSON, 422, "type"),
        (b"<diff/>", XML, 400, "no operations"),
        (b"<diff><remove sel='f:Patient/f:name'/></diff>", XML, 422, "finds nothing"),
        (b"<diff><remove sel='//x'/></diff>", XML, 400, "does not parse"),
        (b"<!DOCTYPE x><diff/>", XML, 400, "DOCTYPE"),
        (patient(), {}, 400, "Parameters"),
        (parameters("replace", "Patient.name.family", value={"valueString": "x"}), {}, 422, "leads to nothing"),
        (parameters("replace", "Patient.birthDate +", value={"valueString": "x"}), {}, 400, "expected"),
        (b"x", {"content-type": "text/csv"}, 415, "application/json-patch+json"),
    ],
)
async def test_what_cannot_be_done_is_told_and_nothing_is_stored(
    born: httpx.AsyncClient, body: Any, headers: dict[str, str], status: int, said: str
) -> None:
    answer = await born.patch("/Patient/a", content=_content(body), headers=headers)
    assert answer.status_code == status and said in answer.json()["issue"][0]["diagnostics"], answer.text[:500]
    assert (await born.get("/Patient/a")).headers["etag"] == 'W/"1"'


async def test_what_is_not_there_cannot_be_patched(born: httpx.AsyncClient) -> None:
    body, headers = WAYS["json"]
    assert (await born.patch("/Patient/nobody", json=body, headers=headers)).status_code == 404
    await born.delete("/Patient/a")
    assert (await born.patch("/Patient/a", json=body, headers=headers)).status_code == 410


async def test_a_transaction_patches_by_binary_and_by_parameters(born: httpx.AsyncClient) -> None:
    await born.put("/Observation/o", json=observation("Patient/a", id="o"))
    link = parameters("add", "Patient", name="managingOrganization", value={"valueReference": {"reference": CHILD}})
    sent = bundle(
        "transaction",
        entry("PATCH", "Observation?_id=o", binary({"op": "replace", "path": "/status", "value": "amended"})),
        entry("PATCH", "Patient/a", link, ifMatch='W/"1"'),
        entry("POST", "Organization", {"resourceType": "Organization", "name": "x"}, CHILD),
        entry("GET", "Patient/a"),
    )
    answer = await born.post("", json=sent)
    assert answer.status_code == 200, answer.text[:800]
    assert statuses(answer) == ["200", "200", "201", "200"]
    reference = answer.json()["entry"][3]["resource"]["managingOrganization"]["reference"]
    assert reference.startswith("Organization/") and (await born.get("/" + reference)).status_code == 200
    assert (await born.get("/Observation/o")).json()["status"] == "amended"


async def test_a_patch_that_fails_undoes_the_transaction(born: httpx.AsyncClient) -> None:
    bad = [
        (entry("PATCH", "Patient/a", binary({"op": "test", "path": "/active", "value": False})), 422),
        (entry("PATCH", "Patient/a", binary({"op": "replace", "path": "/birthDate", "value": "soon"})), 400),
        (entry("PATCH", "Patient/nobody", BORN), 404),
        (entry("PATCH", "Patient?identifier=nobody", BORN), 404),
        (entry("PATCH", "Patient/a", BORN, ifMatch='W/"9"'), 412),
        (entry("PATCH", "Patient/a", {"resourceType": "Binary", "contentType": "text/plain", "data": "eA=="}), 415),
    ]
    for one, status in bad:
        answer = await born.post(
            "", json=bundle("transaction", entry("POST", "Basic", {"resourceType": "Basic", "code": {"text": "x"}}), one)
        )
        assert answer.status_code == status, answer.text[:500]
        assert "entry[1]" in str(answer.json()["issue"][0]["expression"])
    assert (await born.get("/Basic?_summary=count")).json()["total"] == 0
    assert (await born.get("/Patient/a")).headers["etag"] == 'W/"1"'


async def test_a_batch_patches(born: httpx.AsyncClient) -> None:
    sent = bundle("batch", entry("PATCH", "Patient/a", BORN), entry("PATCH", "Patient/a", binary({"op": "remove", "path": "/x"})))
    assert statuses(await born.post("", json=sent)) == ["200", "422"]


async def test_who_may_not_read_may_not_patch(secured: httpx.AsyncClient) -> None:
    writer = await token(secured, "national", scopes="system/Patient.cu")
    assert (await secured.put("/Patient/a", json=patient(id="a", active=True), headers=writer)).status_code == 201
    probe = await secured.patch("/Patient/a", json=[{"op": "test", "path": "/active", "value": True}], headers=writer | JSON)
    assert probe.status_code == 403
    both = await token(secured, "national", scopes="system/Patient.ru")
    assert (await secured.patch("/Patient/a", json=[{"op": "remove", "path": "/active"}], headers=both | JSON)).status_code == 200


async def test_anothers_resource_is_not_there_to_be_patched(secured: httpx.AsyncClient) -> None:
    mine, other = await token(secured, "hospital", "RXX"), await token(secured, "hospital", "RYY")
    assert (await secured.put("/Patient/a", json=patient(id="a", active=True), headers=mine)).status_code == 201
    body = [{"op": "remove", "path": "/active"}]
    for headers in (other | JSON, other | JSON | {"if-match": 'W/"1"'}):
        assert (await secured.patch("/Patient/a", json=body, headers=headers)).status_code == 404
    assert (await secured.patch("/Patient?active=true", json=body, headers=other | JSON)).status_code == 404
    assert (await secured.patch("/Patient/a", json=body, headers=mine | JSON)).status_code == 200


async def test_data_that_is_no_base64_is_refused(born: httpx.AsyncClient) -> None:
    entries = [entry("PATCH", "Patient/a", {**binary(), "data": data}) for data in ("ü", "e", "e A")]
    assert statuses(await born.post("", json=bundle("batch", *entries))) == ["400"] * 3

"""What a site stores to change how the server works: search parameters, profiles, value sets."""

import asyncio
from typing import Any

import httpx
import pytest

from tests.api.conftest import BASE, context_of, token

COLOUR = "http://example.org/fhir/StructureDefinition/bracelet-colour"
# A profile: a Patient has a name.
NAMED: dict[str, Any] = {
    "resourceType": "StructureDefinition",
    "url": "http://example.org/fhir/StructureDefinition/named",
    "name": "Named",
    "status": "active",
    "kind": "resource",
    "abstract": False,
    "type": "Patient",
    "baseDefinition": "http://hl7.org/fhir/StructureDefinition/Patient",
    "derivation": "constraint",
    "differential": {"element": [{"id": "Patient.name", "path": "Patient.name", "min": 1}]},
}


def parameter(code: str = "bracelet", **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "SearchParameter",
        "url": f"http://example.org/fhir/SearchParameter/{code}",
        "name": code,
        "status": "active",
        "description": "The colour of the child's bracelet",
        "code": code,
        "base": ["Patient"],
        "type": "string",
        "expression": f"Patient.extension.where(url = '{COLOUR}').value",
        **more,
    }


def child(colour: str) -> dict[str, Any]:
    return {"resourceType": "Patient", "extension": [{"url": COLOUR, "valueString": colour}]}


async def listed(client: httpx.AsyncClient, headers: Any) -> set[str]:
    statement = (await client.get(f"{BASE}/metadata", headers=headers)).json()
    patient = next(each for each in statement["rest"][0]["resource"] if each["type"] == "Patient")
    return {each["name"] for each in patient["searchParam"]}


async def until(client: httpx.AsyncClient, headers: Any, code: str, there: bool) -> None:
    async with asyncio.timeout(30):
        while (code in await listed(client, headers)) is not there:
            await asyncio.sleep(0.05)


async def asked(client: httpx.AsyncClient, headers: Any, query: str) -> httpx.Response:
    return await client.get(f"{BASE}/Patient?{query}", headers={**headers, "Prefer": "handling=strict"})


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.store.definitions.SETTLE", 0.0)


async def test_a_search_parameter_is_offered_when_what_is_stored_is_indexed_by_it(secured: httpx.AsyncClient) -> None:
    national = await token(secured, "national")
    await secured.post(f"{BASE}/Patient", json=child("Green"), headers=national)
    assert (await asked(secured, national, "bracelet=green")).status_code == 400
    made = await secured.post(f"{BASE}/SearchParameter", json=parameter(), headers=national)
    assert made.status_code == 201, made.text
    await until(secured, national, "bracelet", True)
    await secured.post(f"{BASE}/Patient", json=child("Greenish"), headers=national)
    assert len((await asked(secured, national, "bracelet=green")).json()["entry"]) == 2
    assert await context_of(secured).store.check() == []
    await secured.delete(f"{BASE}/SearchParameter/{made.json()['id']}", headers=national)
    await until(secured, national, "bracelet", False)
    assert (await asked(secured, national, "bracelet=green")).status_code == 400


async def test_another_expression_is_another_index(secured: httpx.AsyncClient) -> None:
    national = await token(secured, "national")
    await secured.post(f"{BASE}/Patient", json=child("Blue") | {"name": [{"text": "Red"}]}, headers=national)
    await secured.put(f"{BASE}/SearchParameter/b", json=parameter() | {"id": "b"}, headers=national)
    await until(secured, national, "bracelet", True)
    changed = parameter(expression="Patient.name.text") | {"id": "b"}
    await secured.put(f"{BASE}/SearchParameter/b", json=changed, headers=national)
    async with asyncio.timeout(30):
        while (found := await asked(secured, national, "bracelet=red")).status_code != 200 or "entry" not in found.json():
            await asyncio.sleep(0.05)
    assert "entry" not in (await asked(secured, national, "bracelet=blue")).json()
    assert await context_of(secured).store.check() == []


async def test_what_must_not_change_the_server_does_not(secured: httpx.AsyncClient) -> None:
    """A hospital's own, a draft, one that cannot work, and one that would give a code of R4's another meaning."""
    national, vendor = await token(secured, "national"), await token(secured, "vendor", "RXX")
    await secured.post(f"{BASE}/SearchParameter", json=parameter("theirs"), headers=vendor)
    for each in (
        parameter("draft", status="draft"),
        parameter("broken", expression="Patient.name.where("),
        parameter("birthdate", expression="Patient.name.text"),
    ):
        assert (await secured.post(f"{BASE}/SearchParameter", json=each, headers=national)).status_code == 201
    await secured.post(f"{BASE}/SearchParameter", json=parameter("last"), headers=national)
    await until(secured, national, "last", True)
    assert not {"theirs", "draft", "broken"} & await listed(secured, national)
    assert len(context_of(secured).store.indexing.parameters.own) == 1


async def test_a_stored_profile_and_value_set_judge_at_once(secured: httpx.AsyncClient) -> None:
    national = await token(secured, "national")

    async def errors() -> list[Any]:
        url = f"{BASE}/Patient/$validate?profile={NAMED['url']}"
        issues = (await secured.post(url, json={"resourceType": "Patient"}, headers=national)).json()["issue"]
        return [issue.get("expression") for issue in issues if issue["severity"] == "error"]

    unknown = await errors()
    made = await secured.post(f"{BASE}/StructureDefinition", json=NAMED, headers=national)
    assert made.status_code == 201, made.text
    known = await errors()
    assert known and known != unknown
    await secured.delete(f"{BASE}/StructureDefinition/{made.json()['id']}", headers=national)
    assert await errors() == unknown

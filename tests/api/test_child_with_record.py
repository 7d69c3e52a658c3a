"""A child and its completed operative record in one transaction, as an EPR that learns of both at once sends them."""

from typing import Any

import httpx
import pytest

from tests.api.conftest import BASE, context_of, token
from tests.registry.test_operative_record import record


def bundle(order: int, **child: Any) -> dict[str, Any]:
    patient = {"resourceType": "Patient", "birthDate": "2024-03-04", **child}
    response = {**record("x"), "subject": {"reference": "urn:uuid:11111111-1111-4111-8111-111111111111"}}
    response.pop("id")
    entries = [
        {
            "fullUrl": "urn:uuid:11111111-1111-4111-8111-111111111111",
            "resource": patient,
            "request": {"method": "POST", "url": "Patient"},
        },
        {
            "fullUrl": "urn:uuid:22222222-2222-4222-8222-222222222222",
            "resource": response,
            "request": {"method": "POST", "url": "QuestionnaireResponse"},
        },
    ]
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries[::order]}


@pytest.mark.parametrize("order", [1, -1])
async def test_the_case_is_made_with_both(secured: httpx.AsyncClient, order: int) -> None:
    vendor = await token(secured, "vendor", "RA1")
    sent = await secured.post(BASE, json=bundle(order), headers=vendor)
    assert sent.status_code == 200, sent.text
    locations = [entry["response"]["location"] for entry in sent.json()["entry"]]
    child = next(each for each in locations if "Patient/" in each).split("Patient/")[1].split("/")[0]
    cases = (await secured.get(f"{BASE}/EpisodeOfCare?patient={child}", headers=vendor)).json()["entry"]
    assert len(cases) == 1
    assert await context_of(secured).store.check() == []


async def test_neither_is_stored_where_the_record_is_refused(secured: httpx.AsyncClient) -> None:
    vendor = await token(secured, "vendor", "RA1")
    sent = await secured.post(BASE, json=bundle(1, birthDate="2024-04-01"), headers=vendor)
    assert sent.status_code == 400 and "before the child" in sent.text, sent.text
    assert "Bundle.entry[1]" in sent.text
    assert (await secured.get(f"{BASE}/Patient?_summary=count", headers=vendor)).json()["total"] == 0

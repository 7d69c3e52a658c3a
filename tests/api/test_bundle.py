"""batch and transaction by the rules of R4."""

import asyncio
from typing import Any

import httpx

from tests.api.conftest import BASE, observation, patient

MOTHER, CHILD = "urn:uuid:11111111-1111-4111-8111-111111111111", "urn:uuid:22222222-2222-4222-8222-222222222222"


def bundle(kind: str, *entries: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": kind} | ({"entry": list(entries)} if entries else {})


def entry(method: str, url: str, resource: dict[str, Any] | None = None, full_url: str = "", **request: str) -> dict[str, Any]:
    made: dict[str, Any] = {"request": {"method": method, "url": url, **request}}
    if resource is not None:
        made["resource"] = resource
    return made | ({"fullUrl": full_url} if full_url else {})


def statuses(answer: httpx.Response) -> list[str]:
    return [each["response"]["status"][:3] for each in answer.json()["entry"]]


async def total(fhir: httpx.AsyncClient, type: str) -> int:
    return int((await fhir.get(f"/{type}?_summary=count")).json()["total"])


async def test_references_between_entries_are_rewritten(fhir: httpx.AsyncClient) -> None:
    told = f'<div xmlns="http://www.w3.org/1999/xhtml"><a href="{CHILD}">child</a></div>'
    answer = await fhir.post(
        "",
        json=bundle(
            "transaction",
            entry("POST", "Observation", observation(CHILD, text={"status": "generated", "div": told}), MOTHER),
            entry("POST", "Patient", patient(), CHILD),
        ),
    )
    assert answer.status_code == 200 and statuses(answer) == ["201", "201"], answer.text
    locations = [each["response"]["location"] for each in answer.json()["entry"]]
    child = locations[1].removeprefix(f"{BASE}/").partition("/_history")[0]
    stored = (await fhir.get(locations[0])).json()
    assert stored["subject"]["reference"] == child
    assert f'href="{child}"' in stored["text"]["div"]


async def test_all_or_none(fhir: httpx.AsyncClient) -> None:
    for last in (
        entry("POST", "Patient", patient(birthDate="soon")),
        entry("PUT", "Patient/a", patient(id="b")),
        entry("PUT", "Patient/a", patient(id="a"), ifMatch='W/"4"'),
        entry("POST", "Observation", observation("urn:uuid:33333333-3333-4333-8333-333333333333")),
        entry("POST", "Observation", observation("Patient?identifier=x|nobody")),
        entry("GET", "Patient/nobody"),
        entry("GET", "Patient?birthdate=soon"),
        entry("POST", "Foo", patient()),
        entry("PUT", "Patient", patient()),
        entry("POST", "http://elsewhere.example/Patient", patient()),
    ):
        answer = await fhir.post("", json=bundle("transaction", entry("POST", "Patient", patient()), last))
        assert 400 <= answer.status_code < 500, last
        assert answer.json()["resourceType"] == "OperationOutcome"
        assert "entry[1]" in answer.text, answer.text
    assert await total(fhir, "Patient") == 0


async def test_only_if_it_is_not_there(fhir: httpx.AsyncClient) -> None:
    put = entry("PUT", "Patient/a", patient(id="a"), ifNoneMatch="*")
    for kind, first, again in (("transaction", ["201"], 412), ("batch", ["412"], 200)):
        made = await fhir.post("", json=bundle(kind, put))
        assert statuses(made) == first, made.text
        refused = await fhir.post("", json=bundle(kind, entry("POST", "Patient", patient()), put))
        assert refused.status_code == again, refused.text
        assert kind == "batch" or "entry[1]" in refused.text
    assert await total(fhir, "Patient") == 2


async def test_a_failed_condition_keeps_its_status(fhir: httpx.AsyncClient) -> None:
    for _ in range(2):
        await fhir.post("/Patient", json=patient(active=True))
    answer = await fhir.post("", json=bundle("transaction", entry("PUT", "Patient?active=true", patient())))
    assert answer.status_code == 412
    assert answer.json()["issue"][0]["code"] == "multiple-matches"


async def test_order_is_delete_post_put_get(fhir: httpx.AsyncClient) -> None:
    await fhir.put("/Patient/old", json=patient(id="old"))
    answer = await fhir.post(
        "",
        json=bundle(
            "transaction",
            entry("GET", "Patient/new"),
            entry("PUT", "Patient/new", patient(id="new", active=True)),
            entry("POST", "Patient", patient()),
            entry("DELETE", "Patient/old"),
        ),
    )
    assert statuses(answer) == ["200", "201", "201", "204"], answer.text
    assert answer.json()["entry"][0]["resource"]["active"] is True
    assert (await fhir.get("/Patient/old")).status_code == 410


async def test_one_resource_may_be_touched_once(fhir: httpx.AsyncClient) -> None:
    twice = [entry("PUT", "Patient/a", patient(id="a")), entry("DELETE", "Patient/a")]
    assert (await fhir.post("", json=bundle("transaction", *twice))).status_code == 400
    same = [entry("POST", "Patient", patient(), ifNoneExist="identifier=x|1") for _ in range(2)]
    assert (await fhir.post("", json=bundle("transaction", *same))).status_code == 400
    names = [entry("POST", "Patient", patient(), CHILD), entry("POST", "Patient", patient(), CHILD)]
    assert (await fhir.post("", json=bundle("transaction", *names))).status_code == 400
    assert await total(fhir, "Patient") == 0


async def test_conditions_inside(fhir: httpx.AsyncClient) -> None:
    one = patient(identifier=[{"system": "x", "value": "1"}])
    sent = bundle(
        "transaction",
        entry("POST", "Patient", one, CHILD, ifNoneExist="identifier=x|1"),
        entry("POST", "Observation", observation(CHILD)),
    )
    first, second = await fhir.post("", json=sent), await fhir.post("", json=sent)
    assert statuses(first) == ["201", "201"] and statuses(second) == ["200", "201"]
    assert await total(fhir, "Patient") == 1
    by_condition = await fhir.post(
        "", json=bundle("transaction", entry("POST", "Observation", observation("Patient?identifier=x|1")))
    )
    assert by_condition.status_code == 200
    id = (await fhir.get("/Patient")).json()["entry"][0]["resource"]["id"]
    assert (await fhir.get(f"/Observation?patient={id}&_summary=count")).json()["total"] == 3
    changed = bundle(
        "transaction", entry("PUT", "Patient?identifier=x|1", {**one, "active": True}), entry("DELETE", "Patient?identifier=x|9")
    )
    assert statuses(await fhir.post("", json=changed)) == ["200", "204"]


async def test_racing_transactions_with_one_condition_make_one(fhir: httpx.AsyncClient) -> None:
    one = patient(identifier=[{"system": "x", "value": "1"}])
    sent = bundle(
        "transaction",
        entry("POST", "Patient", one, ifNoneExist="identifier=x|1"),
        entry("POST", "Observation", observation("#p")),
    )
    sent["entry"][1]["resource"]["subject"] = {"display": "a child"}
    answers = await asyncio.gather(*(fhir.post("", json=sent) for _ in range(12)))
    assert {answer.status_code for answer in answers} == {200}
    assert await total(fhir, "Patient") == 1 and await total(fhir, "Observation") == 12


async def test_a_batch_spoils_only_what_is_bad(fhir: httpx.AsyncClient) -> None:
    answer = await fhir.post(
        "",
        json=bundle(
            "batch",
            entry("POST", "Patient", patient(birthDate="soon")),
            entry("POST", "Patient", patient()),
            {"resource": patient()},
            entry("GET", "Patient/nobody"),
            entry("GET", "Patient?_summary=count"),
            entry("PATCH", "Patient/a", patient()),
            entry("POST", "Patient/$validate", patient()),
            entry("GET", "metadata"),
        ),
    )
    assert answer.status_code == 200
    assert statuses(answer) == ["400", "201", "400", "404", "200", "404", "200", "200"], answer.text
    refused = answer.json()["entry"][0]["response"]["outcome"]
    assert refused["issue"][0]["expression"] == ["Patient.birthDate"]
    assert answer.json()["entry"][4]["resource"]["total"] == 1


async def test_prefer_applies_to_the_entries(fhir: httpx.AsyncClient) -> None:
    sent = bundle("transaction", entry("POST", "Patient", patient(active=True)))
    full = await fhir.post("", json=sent, headers={"prefer": "return=representation"})
    assert full.json()["entry"][0]["resource"]["active"] is True
    assert "resource" not in (await fhir.post("", json=sent)).json()["entry"][0]


async def test_what_is_no_batch_is_refused(fhir: httpx.AsyncClient) -> None:
    assert (await fhir.post("", json=bundle("collection"))).status_code == 400
    assert (await fhir.post("", json=patient())).status_code == 400
    assert (await fhir.post("", json=bundle("batch"))).json()["type"] == "batch-response"
    assert (await fhir.post("/", json=bundle("transaction"))).status_code == 200


async def test_a_transaction_in_xml(fhir: httpx.AsyncClient) -> None:
    body = (
        f'<Bundle xmlns="http://hl7.org/fhir"><type value="transaction"/><entry><fullUrl value="{CHILD}"/><resource><Patient>'
        '<active value="true"/></Patient></resource><request><method value="POST"/><url value="Patient"/></request></entry></Bundle>'
    )
    answer = await fhir.post("", content=body, headers={"content-type": "application/fhir+xml"})
    assert answer.status_code == 200 and await total(fhir, "Patient") == 1

"""batch and transaction by the rules of R4."""

import asyncio
from typing import Any

import httpx
import pytest
from starlette.requests import ClientDisconnect

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


async def test_a_read_that_would_fail_refuses_what_goes_before_it(fhir: httpx.AsyncClient) -> None:
    for id in ("x", "y"):
        await fhir.put(f"/Patient/{id}", json=patient(id=id, identifier=[{"value": id}]))
    put = entry("PUT", "Patient/new", patient(id="new"))
    for first, read, status in (
        (entry("DELETE", "Patient/x"), "Patient/x", 410),
        (entry("DELETE", "Patient/x"), "Patient/x/Observation", 410),
        (entry("DELETE", "Patient?identifier=x"), "Patient/x", 410),
        (put, "Patient/new?_summary=bogus", 400),
        (put, "Patient/new/_history/7", 404),
        (put, "Patient/new/$nonsense", 404),
    ):
        answer = await fhir.post("", json=bundle("transaction", first, entry("GET", read)))
        assert answer.status_code == status and "entry[1]" in answer.text, (read, answer.text)
    assert (await fhir.get("/Patient/x")).status_code == 200 and (await fhir.get("/Patient/new")).status_code == 404
    kept = bundle("transaction", entry("DELETE", "Patient/x"), entry("GET", "Patient/x/_history"), entry("GET", "Patient/y"))
    assert statuses(await fhir.post("", json=kept)) == ["204", "200", "200"]


async def test_only_if_it_is_not_there(fhir: httpx.AsyncClient) -> None:
    put = entry("PUT", "Patient/a", patient(id="a"), ifNoneMatch="*")
    for kind, first, again in (("transaction", ["201"], 412), ("batch", ["412"], 200)):
        made = await fhir.post("", json=bundle(kind, put))
        assert statuses(made) == first, made.text
        refused = await fhir.post("", json=bundle(kind, entry("POST", "Patient", patient()), put))
        assert refused.status_code == again, refused.text
        assert kind == "batch" or "entry[1]" in refused.text
    assert await total(fhir, "Patient") == 2


async def test_versions_that_entries_name(fhir: httpx.AsyncClient) -> None:
    one = patient(id="a", identifier=[{"system": "x", "value": "1"}])
    await fhir.put("/Patient/a", json=one)
    for method, url, named in (
        ("DELETE", "Patient?identifier=x|1", 'W/"9"'),
        ("DELETE", "Patient?identifier=x|2", 'W/"1"'),
        ("PUT", "Patient?identifier=x|2", 'W/"1"'),
        ("PUT", "Patient/new", "*"),
        ("DELETE", "Patient/a", 'W/"8", W/"9"'),
    ):
        change = entry(method, url, {**one, "id": "new"} if method == "PUT" else None, ifMatch=named)
        answer = await fhir.post("", json=bundle("transaction", entry("POST", "Patient", patient()), change))
        assert answer.status_code == 412 and "entry[1]" in answer.text, (method, url, answer.text)
        assert statuses(await fhir.post("", json=bundle("batch", change))) == ["412"], (method, url)
    assert await total(fhir, "Patient") == 1
    for method, url, named in (("PUT", "Patient/a", 'W/"7", W/"1"'), ("DELETE", "Patient?identifier=x|1", "*")):
        change = entry(method, url, {**one, "active": True} if method == "PUT" else None, ifMatch=named)
        assert statuses(await fhir.post("", json=bundle("transaction", change)))[0] in ("200", "204")
    assert (await fhir.get("/Patient/a")).status_code == 410


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
    assert answer.json()["entry"][2]["response"]["outcome"]["issue"][0]["expression"] == ["Bundle.entry[2].request"]
    assert answer.json()["entry"][4]["resource"]["total"] == 1


async def test_whatever_goes_wrong_with_an_entry_is_its_own(fhir: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    for error in (RuntimeError, ClientDisconnect):

        def fail(*_: object, error: type[Exception] = error, **__: object) -> None:
            raise error

        with monkeypatch.context() as patched:
            patched.setattr("app.api.read.bundles.history", fail)
            answer = await fhir.post("", json=bundle("batch", entry("POST", "Patient", patient()), entry("GET", "_history")))
        assert answer.status_code == 200 and statuses(answer)[1] == "500", answer.text
        assert answer.json()["entry"][1]["response"]["outcome"]["resourceType"] == "OperationOutcome"
    odd = await fhir.post("", json=bundle("batch", entry("POST", "Patient", patient()), entry("GET", "Patient/a\nb")))
    assert statuses(odd) == ["201", "404"]


async def test_a_search_by_post_in_a_batch(fhir: httpx.AsyncClient) -> None:
    sent = bundle(
        "batch",
        entry("POST", "Patient", patient(name=[{"family": "Aye"}])),
        entry("POST", "Patient/_search?family=Aye"),
        entry("POST", "Patient/_search?family=Aye", {"resourceType": "Parameters"}),
        entry("PUT", "Patient/a", patient(id="a")),
    )
    answer = await fhir.post("", json=sent)
    assert statuses(answer) == ["201", "200", "200", "201"], answer.text
    again = (await fhir.post("", json=bundle("batch", *sent["entry"][1:]))).json()
    assert [len(each["resource"]["entry"]) for each in again["entry"][:2]] == [1, 1]


async def test_the_format_is_that_of_the_bundle(fhir: httpx.AsyncClient) -> None:
    await fhir.put("/Patient/a", json=patient(id="a"))
    for kind in ("batch", "transaction"):
        for query in ("_format=xml", "_pretty=true&%5Fformat=application/fhir%2Bxml", "_format=turtle"):
            one, other = entry("PUT", f"Patient/b?{query}", patient(id="b")), entry("GET", f"Patient/a?{query}&_summary=true")
            answer = await fhir.post("", json=bundle(kind, one, other))
            assert answer.status_code == 200 and statuses(answer)[1] == "200", answer.text
            assert answer.json()["entry"][1]["resource"]["id"] == "a"
    assert (await fhir.post("?_format=xml", json=bundle("batch", other))).content.startswith(b"<?xml")


async def test_letters_beyond_ascii_mean_in_a_bundle_what_they_mean_outside(fhir: httpx.AsyncClient) -> None:
    def numbered(value: str) -> dict[str, Any]:
        return patient(identifier=[{"system": "urn:u", "value": value}], name=[{"family": "Müller"}])

    for kind, number in (("batch", "Ü1"), ("transaction", "Ü2")):
        once = bundle(kind, entry("POST", "Patient", numbered(number), ifNoneExist=f"identifier=urn:u|{number}"))
        assert [statuses(await fhir.post("", json=once)) for _ in range(2)] == [["201"], ["200"]]
        for query in (f"identifier=urn:u|{number}", f"identifier=urn%3Au%7C%C3%9C{number[1]}"):
            put = bundle(kind, entry("PUT", f"Patient?{query}", numbered(number)))
            assert statuses(await fhir.post("", json=put)) == ["200"]
        for query in ("family=Müller", "family=M%C3%BCller"):
            found = await fhir.post("", json=bundle(kind, entry("GET", f"Patient?{query}&_summary=count")))
            assert found.json()["entry"][0]["resource"]["total"] == (1 if kind == "batch" else 2)


async def test_a_condition_may_name_the_type_and_may_not_be_empty(fhir: httpx.AsyncClient) -> None:
    one = patient(identifier=[{"system": "x", "value": "1"}])
    for kind in ("batch", "transaction"):
        for condition in ("Patient?identifier=x|1", "?identifier=x|1", "identifier=x|1"):
            made = await fhir.post("", json=bundle(kind, entry("POST", "Patient", one, ifNoneExist=condition)))
            assert statuses(made)[0] in ("201", "200"), made.text
        assert "400" in (await fhir.post("", json=bundle("batch", entry("POST", "Patient", one, ifNoneExist="")))).text
    assert await total(fhir, "Patient") == 1


async def test_a_read_since_an_instant(fhir: httpx.AsyncClient) -> None:
    at = (await fhir.put("/Patient/a", json=patient(id="a"))).json()["meta"]["lastUpdated"]
    for kind in ("batch", "transaction"):
        for since, status in ((at, "304"), ("2999-01-01T00:00:00+01:00", "304"), ("2020-01-01T00:00:00Z", "200")):
            answer = await fhir.post("", json=bundle(kind, entry("GET", "Patient/a", ifModifiedSince=since)))
            assert statuses(answer) == [status], (kind, since)
    assert statuses(await fhir.post("", json=bundle("batch", entry("GET", "Patient/a", ifModifiedSince="soon")))) == ["400"]


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
    assert (await fhir.post("", json={"resourceType": "Bundle", "type": "batch", "entry": "x"})).status_code == 400


async def test_no_more_entries_than_it_says(fhir: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.api.entries.MOST", 2)
    for kind in ("batch", "transaction"):
        assert (await fhir.post("", json=bundle(kind, *[entry("GET", "Patient")] * 2))).status_code == 200
        refused = await fhir.post("", json=bundle(kind, *[entry("GET", "Patient")] * 3))
        assert refused.status_code == 400 and "at most 2" in refused.json()["issue"][0]["diagnostics"]


async def test_a_transaction_in_xml(fhir: httpx.AsyncClient) -> None:
    body = (
        f'<Bundle xmlns="http://hl7.org/fhir"><type value="transaction"/><entry><fullUrl value="{CHILD}"/><resource><Patient>'
        '<active value="true"/></Patient></resource><request><method value="POST"/><url value="Patient"/></request></entry></Bundle>'
    )
    answer = await fhir.post("", content=body, headers={"content-type": "application/fhir+xml"})
    assert answer.status_code == 200 and await total(fhir, "Patient") == 1

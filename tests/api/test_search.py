"""search as HTTP has it: links, totals, parts, forms, compartments. What a parameter means is tested with the compiler and the store."""

import httpx
import pytest

from tests.api.conftest import BASE, observation, patient, token


@pytest.fixture
async def ward(fhir: httpx.AsyncClient) -> httpx.AsyncClient:
    """Two children, three observations of the first and one of the second."""
    for id, family in (("a", "Adams"), ("b", "Brown")):
        await fhir.put(
            f"/Patient/{id}",
            json=patient(id=id, name=[{"family": family}], active=True, contact=[{"name": {"text": "A parent"}}]),
        )
    for n, subject in enumerate(["a", "a", "a", "b"]):
        body = observation(f"Patient/{subject}", effectiveDateTime=f"2024-01-0{n + 1}", id=f"o{n}")
        await fhir.put(f"/Observation/o{n}", json=body)
    return fhir


def ids(bundle: dict[str, object], mode: str = "match") -> list[str]:
    return [e["resource"]["id"] for e in bundle.get("entry", []) if e["search"]["mode"] == mode]  # type: ignore[attr-defined, index]


async def test_a_searchset_is_valid_and_says_what_it_is(ward: httpx.AsyncClient) -> None:
    bundle = (await ward.get("/Patient?family=adams")).json()
    assert bundle["type"] == "searchset" and ids(bundle) == ["a"]
    assert bundle["entry"][0]["fullUrl"] == f"{BASE}/Patient/a"
    assert bundle["link"][0] == {"relation": "self", "url": f"{BASE}/Patient?family=adams&_count=50"}
    assert "total" not in bundle
    judged = await ward.post("/Bundle/$validate", json=bundle)
    assert "error" not in [i["severity"] for i in judged.json()["issue"]], judged.text


async def test_pages_follow_their_links_and_lose_nothing(ward: httpx.AsyncClient) -> None:
    seen, url = [], "/Observation?_count=1&_sort=-date&_total=accurate"
    while url:
        bundle = (await ward.get(url)).json()
        assert bundle["total"] == 4
        seen += ids(bundle)
        url = next((link["url"] for link in bundle["link"] if link["relation"] == "next"), "")
    assert seen == ["o3", "o2", "o1", "o0"]


async def test_includes_are_marked(ward: httpx.AsyncClient) -> None:
    bundle = (await ward.get("/Observation?_include=Observation:subject&patient=a")).json()
    assert sorted(ids(bundle)) == ["o0", "o1", "o2"] and ids(bundle, "include") == ["a"]
    back = (await ward.get("/Patient?_id=b&_revinclude=Observation:subject")).json()
    assert ids(back) == ["b"] and ids(back, "include") == ["o3"]


async def test_chains_and_has(ward: httpx.AsyncClient) -> None:
    assert ids((await ward.get("/Observation?subject:Patient.family=brown")).json()) == ["o3"]
    assert ids((await ward.get("/Patient?_has:Observation:patient:date=2024-01-04")).json()) == ["b"]


async def test_post_search_reads_the_form_and_the_url(ward: httpx.AsyncClient) -> None:
    found = await ward.post("/Patient/_search?active=true", data={"family": "brown"})
    assert ids(found.json()) == ["b"]
    refused = await ward.post("/Patient/_search", json={"family": "brown"})
    assert refused.status_code == 415


async def test_the_form_says_how_to_answer_too(ward: httpx.AsyncClient) -> None:
    for url in ("/Patient/_search", "/_search?_type=Patient", "/Patient/a/Observation/_search"):
        xml = await ward.post(url, data={"_format": "xml"})
        assert xml.headers["content-type"].startswith("application/fhir+xml") and xml.content.startswith(b"<?xml")
        assert b"\n  " in (await ward.post(url, data={"_pretty": "true"})).content
        assert (await ward.post(url, data={"_format": "turtle"})).status_code == 406
    assert (await ward.post("/Patient/_search?_format=json", data={"_format": "xml"})).json()["type"] == "searchset"


async def test_system_search(ward: httpx.AsyncClient) -> None:
    bundle = (await ward.get("?_type=Patient,Observation&_count=100")).json()
    assert len(ids(bundle)) == 6
    assert len(ids((await ward.post("/_search", data={"_type": "Patient"})).json())) == 2
    assert (await ward.get("?_type=Foo")).status_code in (400, 404)


async def test_compartments(ward: httpx.AsyncClient) -> None:
    assert sorted(ids((await ward.get("/Patient/a/Observation")).json())) == ["o0", "o1", "o2"]
    assert ids((await ward.get("/Patient/a/Observation?date=2024-01-02")).json()) == ["o1"]
    assert ids((await ward.post("/Patient/a/Observation/_search", data={"date": "2024-01-02"})).json()) == ["o1"]
    assert (await ward.get("/Patient/none/Observation")).status_code == 404
    assert (await ward.get("/Patient/a/Questionnaire")).status_code == 404


async def test_a_compartment_does_not_tell_who_there_is(secured: httpx.AsyncClient) -> None:
    all, some = await token(secured, "national"), await token(secured, "national", scopes="system/Observation.rs")
    await secured.put("/Patient/a", json=patient(id="a"), headers=all)
    assert (await secured.get("/Patient/b/Observation", headers=all)).status_code == 404
    told = [(await secured.get(f"/Patient/{id}/Observation", headers=some)) for id in ("a", "b")]
    assert [answer.status_code for answer in told] == [200, 200] and "entry" not in told[1].json()


async def test_counts_and_parts(ward: httpx.AsyncClient) -> None:
    count = (await ward.get("/Observation?_summary=count")).json()
    assert count["total"] == 4 and "entry" not in count
    part = (await ward.get("/Patient?_elements=active&_id=a")).json()["entry"][0]["resource"]
    assert set(part) == {"resourceType", "id", "meta", "active"}
    summary = (await ward.get("/Patient?_summary=true&_id=a")).json()["entry"][0]["resource"]
    assert "contact" not in summary and summary["meta"]["tag"][0]["code"] == "SUBSETTED"


async def test_what_is_not_understood_is_told_or_refused(ward: httpx.AsyncClient) -> None:
    lenient = (await ward.get("/Patient?favourite=blue&family=adams")).json()
    assert ids(lenient) == ["a"]
    assert "favourite" in lenient["entry"][-1]["resource"]["issue"][0]["diagnostics"]
    assert "favourite" not in lenient["link"][0]["url"]
    strict = await ward.get("/Patient?favourite=blue", headers={"prefer": "handling=strict"})
    assert strict.status_code == 400 and "favourite" in strict.text
    assert (await ward.get("/Observation?date=soon")).status_code == 400


async def test_a_forged_cursor_is_refused(ward: httpx.AsyncClient) -> None:
    for forged in ("x", "AAAA", "1.2"):
        assert (await ward.get(f"/Patient?_count=1&_cursor={forged}")).status_code == 400, forged


async def test_a_host_header_cannot_break_the_json(ward: httpx.AsyncClient) -> None:
    answer = await ward.get("/Patient", headers={"host": 'localhost:1"},{"x":"'})
    assert answer.status_code in (200, 421)
    if answer.status_code == 200:
        assert answer.json()["type"] == "searchset"


async def test_a_quantity_is_found_in_another_unit(fhir: httpx.AsyncClient) -> None:
    ucum = "http://unitsofmeasure.org"
    for id, value, code in (("g", 3400, "g"), ("kg", 3.6, "kg"), ("mm", 3500, "mm")):
        quantity = {"value": value, "system": ucum, "code": code}
        await fhir.put(f"/Observation/{id}", json=observation("Patient/a", id=id, valueQuantity=quantity))

    async def ids(query: str) -> list[str]:
        bundle = (await fhir.get(f"/Observation?{query}")).json()
        return [entry["resource"]["id"] for entry in bundle.get("entry", [])]

    assert sorted(await ids(f"value-quantity=gt3|{ucum}|kg")) == ["g", "kg"]
    assert await ids(f"value-quantity=3.4|{ucum}|kg") == ["g"]
    assert await ids(f"code-value-quantity=8339-4$lt3500|{ucum}|g") == ["g"]
    assert sorted(await ids("value-quantity=gt3000")) == ["g", "mm"]
    assert (await fhir.get("/Observation?_sort=value-quantity&_summary=count")).json()["total"] == 3

"""Conditional interactions, alone and racing."""

import asyncio

import httpx

from app.api.endpoint import Call
from tests.api.conftest import patient

SYSTEM = "https://example.org/mrn"


def numbered(value: str, **more: object) -> dict[str, object]:
    return patient(identifier=[{"system": SYSTEM, "value": value}], **more)


async def test_create_if_none_exists(fhir: httpx.AsyncClient) -> None:
    condition = {"if-none-exist": f"identifier={SYSTEM}|1"}
    first = await fhir.post("/Patient", json=numbered("1"), headers=condition)
    second = await fhir.post("/Patient", json=numbered("1", active=True), headers=condition)
    assert (first.status_code, second.status_code) == (201, 200)
    assert second.json() == first.json()


async def test_a_condition_in_a_header_is_utf_8_or_latin_1(fhir: httpx.AsyncClient) -> None:
    for charset, number in (("utf-8", "Ü1"), ("latin-1", "Ü2")):
        condition = {b"if-none-exist": f"identifier={SYSTEM}|{number}".encode(charset)}
        answers = [await fhir.post("/Patient", json=numbered(number), headers=condition) for _ in range(2)]
        assert [r.status_code for r in answers] == [201, 200]


def test_a_query_string_is_read_as_a_header_is() -> None:
    for raw in ("family=Müller".encode(), "family=Müller".encode("latin-1"), b"family=M%C3%BCller"):
        call = Call(None, {"headers": [], "query_string": raw}, None)  # type: ignore[arg-type]
        assert call.pairs == [("family", "Müller")]


async def test_fifty_racing_creates_make_one(fhir: httpx.AsyncClient) -> None:
    condition = {"if-none-exist": f"identifier={SYSTEM}|1"}
    answers = await asyncio.gather(*(fhir.post("/Patient", json=numbered("1"), headers=condition) for _ in range(50)))
    assert sorted(r.status_code for r in answers) == [200] * 49 + [201]
    assert len({r.json()["id"] for r in answers}) == 1
    assert (await fhir.get("/Patient?_summary=count")).json()["total"] == 1


async def test_thirty_racing_conditional_updates_make_one(fhir: httpx.AsyncClient) -> None:
    url = f"/Patient?identifier={SYSTEM}|1"
    answers = await asyncio.gather(*(fhir.put(url, json=numbered("1", multipleBirthInteger=n + 1)) for n in range(30)))
    assert sorted(r.status_code for r in answers) == [200] * 29 + [201]
    assert (await fhir.get("/Patient?_summary=count")).json()["total"] == 1


async def test_update_where(fhir: httpx.AsyncClient) -> None:
    url = f"/Patient?identifier={SYSTEM}|1"
    made = await fhir.put(url, json=numbered("1"))
    changed = await fhir.put(url, json=numbered("1", active=True))
    assert (made.status_code, changed.status_code) == (201, 200)
    assert changed.json()["id"] == made.json()["id"] and changed.headers["etag"] == 'W/"2"'
    other = await fhir.put(url, json=numbered("1", id="another"))
    assert other.status_code == 400
    kept = await fhir.put(f"/Patient?identifier={SYSTEM}|2", json=numbered("2", id="chosen"))
    assert kept.status_code == 201 and kept.json()["id"] == "chosen"


async def test_more_than_one_match_is_refused(fhir: httpx.AsyncClient) -> None:
    for _ in range(2):
        await fhir.post("/Patient", json=numbered("1"))
    url = f"/Patient?identifier={SYSTEM}|1"
    answers = [
        await fhir.put(url, json=numbered("1")),
        await fhir.delete(url),
        await fhir.post("/Patient", json=numbered("1"), headers={"if-none-exist": f"identifier={SYSTEM}|1"}),
    ]
    for refused in answers:
        assert refused.status_code == 412 and refused.json()["issue"][0]["code"] == "multiple-matches"


async def test_delete_where_takes_one(fhir: httpx.AsyncClient) -> None:
    made = await fhir.post("/Patient", json=numbered("1"))
    assert (await fhir.delete(f"/Patient?identifier={SYSTEM}|1")).status_code == 204
    assert (await fhir.get(f"/Patient/{made.json()['id']}")).status_code == 410
    assert (await fhir.delete(f"/Patient?identifier={SYSTEM}|1")).status_code == 204


async def test_delete_where_of_one_version(fhir: httpx.AsyncClient) -> None:
    url, stale, fresh = f"/Patient?identifier={SYSTEM}|1", {"if-match": 'W/"99"'}, {"if-match": 'W/"1"'}
    made = await fhir.post("/Patient", json=numbered("1"))
    assert (await fhir.delete(url, headers=stale)).status_code == 412
    assert (await fhir.get(f"/Patient/{made.json()['id']}")).status_code == 200
    assert (await fhir.delete(url, headers=fresh)).status_code == 204
    assert (await fhir.get(f"/Patient/{made.json()['id']}")).status_code == 410
    assert (await fhir.delete(url, headers=fresh)).status_code == 412


async def test_a_condition_must_say_something_that_we_understand(fhir: httpx.AsyncClient) -> None:
    for condition in ("nonsense=1", "_format=json", ""):
        refused = await fhir.post("/Patient", json=patient(), headers={"if-none-exist": condition})
        assert refused.status_code == 400, condition
    assert (await fhir.put("/Patient", json=patient())).status_code == 400
    assert (await fhir.delete("/Patient")).status_code == 400
    assert (await fhir.get("/Patient?_summary=count")).json()["total"] == 0

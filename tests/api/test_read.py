"""read, vread, history: bytes as stored, conditional reads, formats, parts."""

import httpx
import pytest

from tests.api.conftest import patient


@pytest.fixture
async def child(fhir: httpx.AsyncClient) -> httpx.AsyncClient:
    await fhir.put(
        "/Patient/a",
        json=patient(id="a", name=[{"family": "Őz", "given": ["A"]}], contact=[{"name": {"text": "A parent"}}], active=True),
    )
    return fhir


async def test_read_gives_the_stored_bytes(child: httpx.AsyncClient) -> None:
    read = await child.get("/Patient/a")
    stored = await child.get("/Patient/a/_history/1")
    assert read.status_code == 200 and read.content == stored.content
    assert read.headers["content-type"].startswith("application/fhir+json")
    assert read.headers["x-content-type-options"] == "nosniff"


async def test_conditional_read(child: httpx.AsyncClient) -> None:
    read = await child.get("/Patient/a")
    unchanged = [
        await child.get("/Patient/a", headers={"if-none-match": read.headers["etag"]}),
        await child.get("/Patient/a", headers={"if-modified-since": read.headers["last-modified"]}),
    ]
    for answer in unchanged:
        assert answer.status_code == 304 and answer.content == b""
    changed = await child.get(
        "/Patient/a", headers={"if-none-match": 'W/"9"', "if-modified-since": read.headers["last-modified"]}
    )
    assert changed.status_code == 200
    for date in ("not a date", "1 Jan 99999999999999999999 00:00:00 GMT"):
        assert (await child.get("/Patient/a", headers={"if-modified-since": date})).status_code == 200


async def test_head_sends_headers_alone(child: httpx.AsyncClient) -> None:
    head, read = await child.head("/Patient/a"), await child.get("/Patient/a")
    assert head.status_code == 200 and head.content == b""
    assert head.headers["content-length"] == str(len(read.content)) and head.headers["etag"] == read.headers["etag"]


async def test_xml_in_and_out(child: httpx.AsyncClient) -> None:
    xml = (await child.get("/Patient/a", headers={"accept": "application/fhir+xml"})).content
    assert xml.startswith(b"<?xml") and "Őz".encode() in xml
    body = xml.replace(b'<id value="a"/>', b'<id value="b"/>')
    made = await child.put("/Patient/b", content=body, headers={"content-type": "application/fhir+xml"})
    assert made.status_code == 201
    one, other = (await child.get("/Patient/a")).json(), (await child.get("/Patient/b")).json()
    assert {**one, "id": "", "meta": ""} == {**other, "id": "", "meta": ""}


@pytest.mark.parametrize(
    ("url", "accept", "status"),
    [
        ("/Patient/a?_format=xml", "*/*", 200),
        ("/Patient/a?_format=application/fhir%2Bjson", "application/fhir+xml", 200),
        ("/Patient/a?_format=application/fhir+json", "*/*", 200),
        ("/Patient/a", "text/html,application/xhtml+xml,*/*;q=0.8", 200),
        ("/Patient/a", "image/png", 406),
        ("/Patient/a?_format=turtle", "*/*", 406),
        ("/Patient/a", "application/fhir+json; fhirVersion=3.0", 406),
        ("/Patient/a", "application/fhir+json; fhirVersion=4.0", 200),
    ],
)
async def test_formats(child: httpx.AsyncClient, url: str, accept: str, status: int) -> None:
    answer = await child.get(url, headers={"accept": accept})
    assert answer.status_code == status
    if status == 406:
        assert answer.json()["resourceType"] == "OperationOutcome"


async def test_parts_are_marked(child: httpx.AsyncClient) -> None:
    part = (await child.get("/Patient/a?_elements=active")).json()
    assert set(part) == {"resourceType", "id", "meta", "active"} and part["meta"]["tag"][0]["code"] == "SUBSETTED"
    summary = (await child.get("/Patient/a?_summary=true")).json()
    assert "name" in summary and "contact" not in summary
    assert (await child.get("/Patient/a?_summary=all")).status_code == 400


async def test_history_newest_first_with_deletions(child: httpx.AsyncClient) -> None:
    await child.put("/Patient/a", json=patient(id="a"))
    await child.delete("/Patient/a")
    bundle = (await child.get("/Patient/a/_history")).json()
    assert [e["request"]["method"] for e in bundle["entry"]] == ["DELETE", "PUT", "POST"]
    assert "resource" not in bundle["entry"][0] and bundle["entry"][1]["resource"]["meta"]["versionId"] == "2"
    assert (await child.get("/Patient/a/_history/3")).status_code == 410
    assert (await child.get("/Patient/a/_history/99")).status_code == 404
    for version in ("x", "²", "9" * 19):
        assert (await child.get(f"/Patient/a/_history/{version}")).status_code == 404
    for count in ("x", "²", "-1"):
        assert (await child.get(f"/Patient/a/_history?_count={count}")).status_code == 400
    assert (await child.get("/Patient/never/_history")).status_code == 404


async def test_history_pages(fhir: httpx.AsyncClient) -> None:
    for n in range(5):
        await fhir.put("/Patient/a", json=patient(id="a", multipleBirthInteger=n + 1))
    for start in ("/Patient/a/_history?_count=2", "/Patient/_history?_count=2", "/_history?_count=2"):
        seen, url = [], start
        while url:
            page = (await fhir.get(url)).json()
            seen += [e["resource"]["meta"]["versionId"] for e in page["entry"] if e["resource"]["resourceType"] == "Patient"]
            url = next((link["url"] for link in page["link"] if link["relation"] == "next"), "")
        assert seen == ["5", "4", "3", "2", "1"], start


async def test_history_since(fhir: httpx.AsyncClient) -> None:
    await fhir.put("/Patient/a", json=patient(id="a"))
    assert "entry" not in (await fhir.get("/Patient/_history?_since=2999-01-01T00:00:00Z")).json()
    assert (await fhir.get("/Patient/_history?_since=yesterday")).status_code == 400

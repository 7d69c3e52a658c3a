"""What goes wrong on the FHIR channel: each answered as an OperationOutcome, nothing stored, memory bounded, the server still answering."""

import contextlib
import gzip
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.journeys.conftest import Server

JSON, XML = {"content-type": "application/fhir+json"}, {"content-type": "application/fhir+xml"}
GOOD = b'{"resourceType":"Patient","active":true}'
LAUGHS = b'<!DOCTYPE p [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><Patient xmlns="http://hl7.org/fhir"><id value="&b;"/></Patient>'
FILE = b'<!DOCTYPE p [<!ENTITY x SYSTEM "file:///etc/passwd">]><Patient xmlns="http://hl7.org/fhir"><language value="&x;"/></Patient>'


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    with server.client() as opened:
        yield opened


def memory(server: Server) -> int:
    """Resident bytes of the server."""
    for line in Path(f"/proc/{server.process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmRSS")


def refused(answer: httpx.Response, status: int) -> dict[str, object]:
    assert answer.status_code == status, answer.text[:500]
    body = answer.json()
    assert body["resourceType"] == "OperationOutcome"
    issue: dict[str, object] = body["issue"][0]
    assert issue["diagnostics"] and issue["severity"] == "error"
    return issue


def stored(client: httpx.Client) -> int:
    return int(client.get("/Patient?_summary=count").json()["total"])


@pytest.mark.parametrize(
    ("body", "headers", "status", "located"),
    [
        (b"", JSON, 400, False),
        (b"{", JSON, 400, True),
        (b'{"resourceType":"Patient",\n"active":tru}', JSON, 400, True),
        (b"[]", JSON, 400, False),
        (b'"Patient"', JSON, 400, False),
        (b'{"resourceType":"Patient","active":true,"active":false}', JSON, 400, False),
        (b'{"resourceType":"Patient","multipleBirthInteger":NaN}', JSON, 400, True),
        (b'{"resourceType":"Patient","multipleBirthInteger":1e400}', JSON, 400, False),
        (b'{"resourceType":"Patient","language":"\xff"}', JSON, 400, False),
        (b'{"resourceType":"Patient","language":"\\ud800"}', JSON, 400, False),
        (b'{"resourceType":"Patient","contact":' + b"[" * 10_000 + b"]" * 10_000 + b"}", JSON, 400, False),
        (b'{"resourceType":"Patient","contact":' * 10_000, JSON, 400, False),
        (b'{"active":true}', JSON, 400, False),
        (b'{"resourceType":"Practitioner"}', JSON, 400, True),
        (b'{"resourceType":"Patient","birthDate":"1.2.2024"}', JSON, 400, True),
        (GOOD, {"content-type": "text/plain"}, 415, False),
        (GOOD, {"content-type": "application/fhir+json; charset=latin-1"}, 415, False),
        (GOOD, {**JSON, "content-encoding": "br"}, 415, False),
        (GOOD, {**JSON, "content-encoding": "gzip"}, 400, False),
        (b"<Patient", XML, 400, True),
        (b"<Patient/>", XML, 400, False),
        (LAUGHS, XML, 400, False),
        (FILE, XML, 400, False),
        (b'<Patient xmlns="http://hl7.org/fhir">' + b"<contact>" * 10_000, XML, 400, False),
    ],
)
def test_a_bad_body_is_told_and_nothing_is_stored(
    client: httpx.Client, body: bytes, headers: dict[str, str], status: int, located: bool
) -> None:
    before = stored(client)
    issue = refused(client.post("/Patient", content=body, headers=headers), status)
    if located:
        assert "expression" in issue or "location" in issue or "line" in str(issue["diagnostics"]), issue
    assert "passwd" not in str(issue) and "root:" not in str(issue)
    assert stored(client) == before


def test_sixty_megabytes_are_refused_and_not_kept(client: httpx.Client, server: Server) -> None:
    before = memory(server)
    refused(client.post("/Patient", content=b" " * (60 << 20), headers=JSON), 413)

    def chunks() -> Iterator[bytes]:
        for _ in range(60):
            yield b" " * (1 << 20)

    with contextlib.suppress(httpx.WriteError):  # a client that does not wait for the answer before it has sent all
        refused(client.post("/Patient", content=chunks(), headers=JSON), 413)  # no Content-Length: counted as it comes
    assert client.get("/metadata").status_code == 200
    assert memory(server) - before < 150 << 20


def test_a_gzip_bomb_is_refused(client: httpx.Client, server: Server) -> None:
    before = memory(server)
    bomb = gzip.compress(b" " * (300 << 20), 9)
    refused(client.post("/Patient", content=bomb, headers={**JSON, "content-encoding": "gzip"}), 413)
    assert memory(server) - before < 150 << 20
    assert client.post("/Patient", content=gzip.compress(GOOD), headers={**JSON, "content-encoding": "gzip"}).status_code == 201


def test_a_body_that_never_comes_ends_in_408(start_server: object) -> None:
    server: Server = start_server(env={"CSOR_BODY_SECONDS": "0.3"})  # type: ignore[operator]
    host, port = server.base.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as slow:
        slow.sendall(
            b"POST /fhir/Patient HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/fhir+json\r\ncontent-length: 100\r\n\r\n{"
        )
        answer = b""
        while b"OperationOutcome" not in answer and (more := slow.recv(65536)):
            answer += more
    assert answer.startswith(b"HTTP/1.1 408") and b"OperationOutcome" in answer
    assert httpx.get(f"{server.base}/health").status_code == 200
    server.stop()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/Foo", 404),
        ("GET", "/Foo/1", 404),
        ("GET", "/Patient/1/2/3/4", 404),
        ("GET", "/Patient/never", 404),
        ("GET", "/Patient/" + "x" * 65, 404),
        ("GET", "/Patient/%00", 404),
        ("GET", "/Patient?birthdate=soon", 400),
        ("GET", "/Patient?_count=minus", 400),
        ("GET", "/Patient?family:exactly=x", 400),
        ("GET", "/Patient?%ff=1", 400),
        ("GET", "/Patient?" + "&".join(f"family=x{n}" for n in range(600)), 400),
        ("GET", "/Patient?_cursor=forged", 400),
        ("GET", "/Patient/$nothing", 404),
        ("PATCH", "/Patient/1", 400),
        ("PATCH", "/metadata", 405),
        ("PUT", "/Patient/1/_history/1", 405),
        ("POST", "/Patient/1", 405),
        ("DELETE", "/metadata", 405),
    ],
)
def test_a_bad_request_line_is_told(client: httpx.Client, method: str, path: str, status: int) -> None:
    answer = client.request(method, path)
    refused(answer, status)
    if status == 405:
        assert "GET" in answer.headers["allow"]


def test_a_bad_entry_names_itself(client: httpx.Client) -> None:
    before = stored(client)
    entries = [{"resource": json.loads(GOOD), "request": {"method": "POST", "url": "Patient"}} for _ in range(3)]
    entries[1] = {"resource": {"resourceType": "Patient", "gender": "x"}, "request": {"method": "POST", "url": "Patient"}}
    answer = client.post("", json={"resourceType": "Bundle", "type": "transaction", "entry": entries})
    assert "entry[1]" in str(refused(answer, 400)["expression"])
    assert stored(client) == before


def test_after_all_that_the_server_still_takes_and_gives(client: httpx.Client) -> None:
    made = client.post("/Patient", content=GOOD, headers=JSON)
    assert made.status_code == 201
    assert client.get(f"/Patient/{made.json()['id']}").json()["active"] is True


def test_nothing_of_a_body_reaches_the_log(client: httpx.Client, server: Server) -> None:
    client.post(
        "/Patient", content=b'{"resourceType":"Patient","name":[{"family":"Zebedee"}],"birthDate":"Zebedee"}', headers=JSON
    )
    client.get("/Patient?family=Zebedee&birthdate=Zebedee")
    client.get("/Patient/Zebedee")
    assert "Zebedee" not in "\n".join(server.lines)

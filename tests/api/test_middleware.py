"""The shield around every request, on a small application of its own."""

import json
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from app import logs
from app.api.context import Context
from app.api.middleware import FORM_BYTES, Shield
from app.fhir.errors import FHIRError


async def echo(request: Request) -> PlainTextResponse:
    try:
        return PlainTextResponse(str(len(await request.body())), headers={"referrer-policy": "same-origin"})
    except FHIRError as error:
        return PlainTextResponse(str(error), error.status)


async def fall(request: Request) -> PlainTextResponse:
    return PlainTextResponse("no", 500)


async def scheme(request: Request) -> PlainTextResponse:
    return PlainTextResponse(request.url.scheme)


def shielded(*, sandbox: bool = False, verbose: bool = False, base_url: str = "") -> httpx.AsyncClient:
    pages = Starlette(routes=[Route("/form/{name}", echo, methods=["POST"]), Route("/fall", fall), Route("/scheme", scheme)])
    context = Context(store=None, identities=None, sandbox=sandbox, base_url=base_url)  # type: ignore[arg-type]
    transport = httpx.ASGITransport(app=Shield(pages, context, verbose))
    return httpx.AsyncClient(transport=transport, base_url="http://localhost")


async def test_headers_that_harden_and_a_page_that_sets_its_own() -> None:
    async with shielded() as client:
        answer = await client.post("/form/x", content=b"abc")
    assert answer.text == "3"
    assert answer.headers["x-content-type-options"] == "nosniff" and answer.headers["x-frame-options"] == "DENY"
    assert answer.headers.get_list("referrer-policy") == ["same-origin"]


async def test_behind_a_proxy_that_ends_tls_a_page_is_under_https_all_the_same() -> None:
    """So that its cookies are marked as secure."""
    for base_url, seen in (("https://csor.example.org", "https"), ("http://localhost", "http"), ("", "http")):
        async with shielded(base_url=base_url) as client:
            assert (await client.get("/scheme")).text == seen


async def test_a_form_is_small_whether_it_says_its_length_or_not() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(4):
            yield b"x" * (FORM_BYTES // 2)

    async with shielded() as client:
        assert (await client.post("/form/x", content=b"x" * (FORM_BYTES + 1))).status_code == 413
        assert (await client.post("/form/x", content=chunks())).status_code == 413


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8000", 200),
        ("127.0.0.1:1", 200),
        ("[::1]:8000", 200),
        ("127.1.2.3", 200),
        ("evil.example", 421),
        ("10.0.0.1", 421),
        ("localhost.evil.example", 421),
    ],
)
async def test_a_sandbox_answers_to_this_machine_alone(host: str, status: int) -> None:
    async with shielded(sandbox=True) as client:
        assert (await client.post("/form/x", headers={"host": host})).status_code == status
    async with shielded() as client:
        assert (await client.post("/form/x", headers={"host": host})).status_code == 200


async def test_a_log_line_has_the_pattern_and_never_the_path(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("debug")
    async with shielded(verbose=True) as client:
        await client.post("/form/Zebedee?nhs=9434765919", content=b"Zebedee")
    async with shielded() as client:
        await client.post("/form/Quiet")
        await client.get("/fall?name=Zebedee")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(line["route"], line["status"]) for line in lines] == [("/form/{name}", 200), ("/fall", 500)]
    assert "Zebedee" not in str(lines) and "9434765919" not in str(lines)

"""The frame of the pages: errors become sentences, assets are cached by content, forms prove where they come from."""

import gzip
from types import SimpleNamespace

import pytest
from httpx import ASGITransport, AsyncClient
from jinja2 import UndefinedError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

import app.web
from app.fhir.errors import BusinessRule
from app.security.access import SANDBOX
from app.web import assets, csrf, pages


def client(*routes: Route, cookies: dict | None = None) -> AsyncClient:
    return AsyncClient(transport=ASGITransport(Starlette(routes=list(routes))), base_url="http://test", cookies=cookies)


async def _refused(_request: Request) -> Response:
    raise BusinessRule("The <operation> cannot be before the birth.")


async def _broken(_request: Request) -> Response:
    raise RuntimeError("a secret detail")


async def test_an_error_is_a_page_with_its_sentence_escaped_and_its_status() -> None:
    async with client(Route("/x", pages.page(_refused, signed_in=False))) as browser:
        answer = await browser.get("/x")
    assert answer.status_code == 422
    assert "The &lt;operation&gt; cannot be before the birth." in answer.text
    assert "There is a problem" in answer.text


async def test_what_nobody_foresaw_shows_no_detail() -> None:
    async with client(Route("/x", pages.page(_broken, signed_in=False))) as browser:
        answer = await browser.get("/x")
    assert answer.status_code == 500
    assert "secret detail" not in answer.text


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_strangers_are_sent_to_sign_in_and_others_let_through(asynchronous: bool) -> None:
    async def later(_request: Request) -> None:
        return None

    async def ok(request: Request) -> Response:
        return PlainTextResponse(pages.access_of(request).who)

    stranger = SimpleNamespace(access=later if asynchronous else lambda _request: None)
    known = SimpleNamespace(access=lambda _request: SANDBOX)
    async with client(Route("/a/b", pages.page(ok, stranger)), Route("/c", pages.page(ok, known))) as browser:
        answer = await browser.get("/a/b?patient=1")
        assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?next=/a/b%3Fpatient%3D1")
        assert (await browser.get("/c")).text == SANDBOX.who


def test_a_template_with_a_missing_value_fails_loudly() -> None:
    request = Request({"type": "http", "method": "GET", "headers": [], "path": "/", "state": {}})
    with pytest.raises(UndefinedError):
        pages.render(request, "error.html")


async def test_assets_are_immutable_under_their_digest_compressed_and_revalidated() -> None:
    async with client(*app.web.assets.routes(None)) as browser:
        answer = await browser.get(assets.url("nhsuk.css"), headers={"accept-encoding": "gzip"})
        assert "immutable" in answer.headers["cache-control"]
        assert answer.headers["content-encoding"] == "gzip"
        assert b"nhsuk-button" in answer.content
        again = await browser.get(assets.url("nhsuk.css"), headers={"if-none-match": answer.headers["etag"]})
        assert again.status_code == 304
        old = await browser.get("/static/000000000000/nhsuk.css", headers={"accept-encoding": "identity"})
        assert old.headers["cache-control"] == "no-cache"
        assert "content-encoding" not in old.headers


@pytest.mark.parametrize("name", ["build.py", "..%2Fpages.py", "LICENSES.md", "nothing.css"])
async def test_nothing_but_assets_is_served(name: str) -> None:
    async with client(*app.web.assets.routes(None)) as browser:
        assert (await browser.get(f"/static/x/{name}")).status_code == 404


def test_the_style_is_small_and_fetches_nothing() -> None:
    style = assets.asset("nhsuk.css")
    assert len(style.compressed) < 25_000
    assert gzip.decompress(style.compressed) == style.body
    assert b"http" not in style.body
    assert b"@font-face" not in style.body
    assert b"Frutiger" not in style.body


async def test_a_form_token_holds_only_for_the_browser_that_got_it() -> None:
    async def form(request: Request) -> Response:
        response = PlainTextResponse(csrf.token(request))
        csrf.keep(request, response)
        return response

    async def sent(request: Request) -> Response:
        csrf.check(request, (await request.form()).get("form_token", ""))
        return PlainTextResponse("fine")

    routes = (Route("/form", form), Route("/sent", pages.page(sent, signed_in=False), methods=["POST"]))
    async with client(*routes) as browser, client(*routes) as other:
        token = (await browser.get("/form")).text
        assert (await browser.get("/form")).text != token
        await other.get("/form")
        assert (await browser.post("/sent", data={"form_token": token})).text == "fine"
        assert (await other.post("/sent", data={"form_token": token})).status_code == 403
        assert (await browser.post("/sent", data={"form_token": token + "0"})).status_code == 403
        assert (await browser.post("/sent", data={})).status_code == 403

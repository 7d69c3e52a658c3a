"""Coming in and going out: who is refused learns nothing, and nobody is sent elsewhere."""

import re

import httpx
import pytest

from app.security.identity import SESSION_COOKIE, TRIES
from app.web.sign_in import own_path
from tests.web.conftest import PASSWORD, Site

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def _try(browser: httpx.AsyncClient, user: str, password: str, back: str = "/") -> httpx.Response:
    page = await browser.get("/sign-in")
    token = re.search(r'name="form_token" value="([^"]+)"', page.text)[1]
    return await browser.post("/sign-in", data={"form_token": token, "username": user, "password": password, "next": back})


async def test_the_right_password_opens_a_session_that_no_script_reads(site: Site) -> None:
    async with site.stranger() as browser:
        answer = await _try(browser, "lead", PASSWORD, "/hospital/ZA3/cases?page=2")
        assert (answer.status_code, answer.headers["location"]) == (303, "/hospital/ZA3/cases?page=2")
        (cookie,) = [each for each in answer.headers.get_list("set-cookie") if each.startswith(SESSION_COOKIE)]
        assert "HttpOnly" in cookie and "SameSite=lax" in cookie and "Secure" not in cookie
        assert (await browser.get("/hospital/ZA3")).status_code == 200
        assert (await browser.get("/sign-in")).headers["location"] == "/hospital"


async def test_over_https_the_cookies_travel_encrypted_alone(site: Site) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=site.app), base_url="https://localhost") as browser:
        answer = await _try(browser, "lead", PASSWORD)
        cookies = answer.headers.get_list("set-cookie")
        assert any(each.startswith(SESSION_COOKIE) for each in cookies) and all("Secure" in each for each in cookies)


async def test_unknown_wrong_and_locked_get_the_same_answer(site: Site) -> None:
    async with site.stranger() as browser:
        await site.context.identities.register_user("locked", PASSWORD, "hospital", ["ZA1"])
        for _ in range(TRIES):
            await site.context.identities.sign_in("locked", "wrong")
        answers = [
            await _try(browser, "lead", "not the password"),
            await _try(browser, "nobody-of-that-name", "not the password"),
            await _try(browser, "locked", PASSWORD),
        ]
    told = {re.sub(r'value="[^"]*"', "", answer.text) for answer in answers}
    assert len(told) == 1
    assert {answer.status_code for answer in answers} == {422}
    assert "locked for 15 minutes" in told.pop()
    assert not any(SESSION_COOKIE in str(answer.headers) for answer in answers)


@pytest.mark.parametrize(
    "elsewhere",
    [
        "//evil.example",
        "/\\evil.example",
        "https://evil.example",
        "javascript:alert(1)",
        "",
        "/a\r\nset-cookie: a",
        "/\t/evil",
        "/sign-out",
        "\\\\evil",
    ],
)
async def test_nobody_is_sent_elsewhere(elsewhere: str) -> None:
    assert own_path(elsewhere) == "/"


@pytest.mark.parametrize("path", ["/hospital/ZA3?measure=infection", "/operative-record?patient=a1", "/public"])
async def test_own_paths_are_kept(path: str) -> None:
    assert own_path(path) == path


async def test_another_sites_form_is_refused(site: Site) -> None:
    async with site.stranger() as browser:
        answer = await browser.post("/sign-in", data={"username": "lead", "password": PASSWORD})
        assert answer.status_code == 403 and SESSION_COOKIE not in str(answer.headers)
    async with await site.as_("other") as browser:
        assert (await browser.post("/sign-out", data={})).status_code == 403
        assert (await browser.get("/hospital/ZA1")).status_code == 200


async def test_signing_out_ends_the_session_on_the_server(site: Site) -> None:
    async with site.stranger() as browser:
        await _try(browser, "lead", PASSWORD)
        session = browser.cookies[SESSION_COOKIE]
        token = re.search(
            r'action="/sign-out"><input type="hidden" name="form_token" value="([^"]+)"', (await browser.get("/")).text
        )[1]
        assert (await browser.post("/sign-out", data={"form_token": token})).headers["location"] == "/"
        assert SESSION_COOKIE not in browser.cookies
    assert await site.context.identities.access_for_session(session) is None


async def test_a_hidden_page_sends_to_sign_in_and_back(site: Site) -> None:
    answer = await site.get("", "/hospital/ZA3?measure=infection")
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?next=/hospital/ZA3%3Fmeasure%3Dinfection")


@pytest.mark.parametrize("url", ["/", "/sign-in", "/public", "/public/ZA3", "/documentation", "/nothing-here"])
async def test_pages_are_hardened(site: Site, url: str) -> None:
    headers = (await site.get("", url)).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy

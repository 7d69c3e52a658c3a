"""The parents' pages, as a browser without script sees them."""

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from app import clock
from app.registry.follow_up.consumer import FollowUp
from app.registry.follow_up.invitations import invite_due
from app.security.access import SYSTEM
from app.store.protocol import Put, Store
from app.web import follow_up
from tests.support import open_test_store

BORN = {"day": "27", "month": "3", "year": "2024"}
TOKEN = re.compile(r'name="form_token" value="([^"]+)"')


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await open_test_store(tmp_path)
    yield opened
    await opened.close()


@pytest.fixture
async def link(store: Store) -> str:
    """A child asked a moment ago: the secret of the letter's link."""
    contact = [{"telecom": [{"system": "email", "value": "parent@example.org"}]}]
    child = {"resourceType": "Patient", "id": "child", "birthDate": "2024-03-27", "contact": contact}
    started = (clock.today() - timedelta(days=400)).isoformat()
    case = {"resourceType": "EpisodeOfCare", "id": "case", "status": "active", "patient": {"reference": "Patient/child"}}
    await store.commit(SYSTEM, [Put(child), Put(case | {"period": {"start": started}})])
    await FollowUp(store).drain()
    await invite_due(store)
    record = (await store.find_records(SYSTEM, "outbox"))[0]
    return str(record.data["token"])


async def nobody(_request: Any) -> None:
    return None


@pytest.fixture
async def browser(store: Store) -> AsyncIterator[httpx.AsyncClient]:
    app = Starlette(routes=follow_up.routes(SimpleNamespace(store=store, access=nobody)))
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test", follow_redirects=True) as client:
        yield client


async def send(browser: httpx.AsyncClient, path: str, **form: str) -> httpx.Response:
    """Fill in and send the form of the page at `path`."""
    token = TOKEN.search((await browser.get(path)).text)
    assert token
    return await browser.post(path, data={"form_token": token[1], **form})


async def begin(browser: httpx.AsyncClient, link: str) -> None:
    await browser.get(f"/follow-up/{link}")
    await send(browser, "/follow-up", **BORN)
    await send(browser, "/follow-up/about", choice="yes")


async def answer_all(browser: httpx.AsyncClient) -> httpx.Response:
    for number in range(1, 6):
        await send(browser, f"/follow-up/question/{number}", answer="a-little")
    return await send(browser, "/follow-up/question/6", answer="")


async def test_a_parent_answers_from_the_letter_to_thank_you(browser: httpx.AsyncClient, store: Store, link: str) -> None:
    await begin(browser, link)
    page = await answer_all(browser)
    assert page.url.path == "/follow-up/check" and page.text.count("A little difficulty") == 5
    thanks = await send(browser, "/follow-up/check")
    assert thanks.url.path == "/follow-up/thank-you" and "We have your answers" in thanks.text
    assert (await store.counts(SYSTEM))["QuestionnaireResponse"] == 1
    again = await browser.get(f"/follow-up/{link}")
    assert again.status_code == 404 and "does not work" in again.text, "a used link opens nothing"


async def test_the_first_pages_show_nothing_of_the_child_and_change_nothing(
    browser: httpx.AsyncClient, store: Store, link: str
) -> None:
    head = await store.feed_head()
    for _ in range(3):  # as mail scanners do
        page = await browser.get(f"/follow-up/{link}")
    assert link not in str(page.url) and "2024" not in page.text.replace("27 3 2024", "")
    assert await store.feed_head() == head
    assert page.headers["referrer-policy"] == "no-referrer" and page.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("secret", ["parent_forged", "x", "..;x", "a" * 3000])
async def test_forged_links_get_the_same_page_as_used_ones(browser: httpx.AsyncClient, secret: str) -> None:
    page = await browser.get(f"/follow-up/{secret}")
    assert page.status_code == 404 and "<h1" in page.text


async def test_every_later_page_asks_for_the_date_of_birth_first(browser: httpx.AsyncClient, link: str) -> None:
    await browser.get(f"/follow-up/{link}")
    for path in ("about", "stop", "question/1", "check"):
        assert (await browser.get(f"/follow-up/{path}")).status_code == 404


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"day": "x", "month": "3", "year": "2024"}, "three numbers"),
        ({"day": "31", "month": "2", "year": "2024"}, "three numbers"),
        ({"day": "28", "month": "3", "year": "2024"}, "not the date of birth"),
        ({}, "three numbers"),
    ],
)
async def test_a_wrong_date_of_birth_is_a_sentence_and_what_was_typed_stays(
    browser: httpx.AsyncClient, link: str, given: dict[str, str], sentence: str
) -> None:
    await browser.get(f"/follow-up/{link}")
    page = await send(browser, "/follow-up", **given)
    assert page.status_code == 422 and sentence in page.text and "There is a problem" in page.text
    assert all(f'value="{value}"' in page.text for value in given.values())


async def test_an_answer_that_does_not_exist_is_refused_with_a_sentence(browser: httpx.AsyncClient, link: str) -> None:
    await begin(browser, link)
    page = await send(browser, "/follow-up/question/1", answer="never-heard-of")
    assert page.status_code == 422 and "That is not one of the answers" in page.text
    page = await send(browser, "/follow-up/question/1", answer="")
    assert page.status_code == 422 and "Choose one of the answers" in page.text


async def test_answers_are_kept_when_the_parent_comes_back_later(browser: httpx.AsyncClient, store: Store, link: str) -> None:
    await begin(browser, link)
    await send(browser, "/follow-up/question/1", answer="some")
    browser.cookies.clear()
    await begin(browser, link)
    page = await browser.get("/follow-up/question/1")
    assert re.search(r'value="some" checked', page.text)


async def test_sending_before_everything_is_answered_leads_to_the_open_question(browser: httpx.AsyncClient, link: str) -> None:
    await begin(browser, link)
    page = await browser.get("/follow-up/check")
    assert page.url.path == "/follow-up/question/1"


async def test_a_form_from_elsewhere_is_refused(browser: httpx.AsyncClient, link: str) -> None:
    await browser.get(f"/follow-up/{link}")
    page = await browser.post("/follow-up", data=BORN | {"form_token": "made.up"})
    assert page.status_code == 403


async def test_who_does_not_want_to_be_asked_can_say_so_and_go_back(browser: httpx.AsyncClient, store: Store, link: str) -> None:
    await browser.get(f"/follow-up/{link}")
    await send(browser, "/follow-up", **BORN)
    page = await send(browser, "/follow-up/about", choice="stop")
    assert page.url.path == "/follow-up/stop" and "Go back" in page.text
    assert "Consent" not in await store.counts(SYSTEM), "nothing happens before the second step"
    page = await send(browser, "/follow-up/stop")
    assert "will not write to you again" in page.text
    assert (await store.counts(SYSTEM))["Consent"] == 1
    assert (await browser.get(f"/follow-up/{link}")).status_code == 404

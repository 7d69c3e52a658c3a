"""The pages as readers meet them: a real server, a real browser, by keyboard, on a small phone, without script, and none of them heavy."""

import asyncio
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from app import clock
from app.registry.follow_up.consumer import FollowUp
from app.registry.follow_up.invitations import invite_due
from app.security.access import SYSTEM
from app.store.open import open_store
from app.store.protocol import Put, Store
from tests.journeys.conftest import Server
from tests.web.conftest import PASSWORD, fill

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_browser = pytest.mark.skipif(
    CHROMIUM is None and os.environ.get("CSOR_TEST_REQUIRE") != "1", reason="headless Chromium is not installed (make programs)"
)
OPEN = (
    "/",
    "/sign-in",
    "/public",
    "/public/ZA3?measure=infection",
    "/public/ZA7",
    "/documentation",
    "/documentation/Patient",
    "/public/nothing",
)
OWN = ("/hospital/ZA3", "/hospital/ZA3?measure=unplanned-reoperation", "/hospital/ZA3/cases", "CASE", "/hospital/ZA1")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


async def letter(store: Store) -> str:
    """A parent is asked: the secret of the letter's link."""
    contact = [{"telecom": [{"system": "email", "value": "parent@example.org"}]}]
    child = {"resourceType": "Patient", "id": "asked", "birthDate": "2024-03-27", "contact": contact}
    period = {"start": (clock.today() - timedelta(days=400)).isoformat()}
    case = {"resourceType": "EpisodeOfCare", "status": "active", "patient": {"reference": "Patient/asked"}, "period": period}
    await store.commit(SYSTEM, [Put(child), Put(case | {"id": "asked-case"})])
    await FollowUp(store).drain()
    await invite_due(store)
    (record,) = await store.find_records(SYSTEM, "outbox")
    return str(record.data["token"])


@pytest.fixture(scope="module")
def links() -> list[str]:
    """The secrets of the parents' links."""
    return []


@pytest.fixture(scope="module")
def nation(start_server: Callable[..., Server], links: list[str]) -> Iterator[Server]:
    """A server on the small nation, whose children were followed for a year by today."""

    async def make(data: Path) -> None:
        store = open_store(f"sqlite:///{data / 'csor.db'}")
        await store.open()
        await fill(store, clock.today() - timedelta(days=500) - date(2023, 12, 31))
        links.append(await letter(store))
        await store.close()

    with tempfile.TemporaryDirectory(prefix="csor-pages-") as folder:
        asyncio.run(make(Path(folder)))
        running = start_server(sandbox=False, data=Path(folder))
        yield running
        running.stop()


def signed_in(nation: Server, user: str) -> httpx.Client:
    client = httpx.Client(base_url=nation.base, timeout=60)
    token = re.search(r'name="form_token" value="([^"]+)"', client.get("/sign-in").text)[1]
    answer = client.post("/sign-in", data={"form_token": token, "username": user, "password": PASSWORD, "next": "/"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/hospital")
    return client


@pytest.fixture(scope="module")
def lead(nation: Server) -> Iterator[httpx.Client]:
    """The audit lead of ZA3, without script."""
    client = signed_in(nation, "lead")
    yield client
    client.close()


@pytest.fixture(scope="module")
def national(nation: Server) -> Iterator[httpx.Client]:
    """Somebody of a national body."""
    client = signed_in(nation, "nation")
    yield client
    client.close()


@pytest.fixture(scope="module")
def urls(lead: httpx.Client) -> list[str]:
    """Every kind of page, with a case that is there."""
    case = re.search(r'href="(/hospital/ZA3/case/[^"]+)"', lead.get("/hospital/ZA3/cases").text)[1]
    return [*OPEN, *(case if url == "CASE" else url for url in OWN)]


def test_every_page_with_its_style_is_under_50_kilobytes(lead: httpx.Client, urls: list[str]) -> None:
    for url in urls:
        page = lead.get(url)
        total = int(page.headers["content-length"])
        for address in re.findall(r'<link rel="stylesheet" href="([^"]+)"', page.text):
            total += int(lead.get(address).raise_for_status().headers["content-length"])
        assert total < 50_000, f"{url}: {total} bytes"


def test_no_page_asks_for_anything_elsewhere_or_runs_a_script(lead: httpx.Client, urls: list[str]) -> None:
    for url in urls:
        text = lead.get(url).text
        assert not re.findall(r'(?:src|srcset|poster|data-src)="(?!data:)[^"]*//', text)
        assert not re.findall(r'<link[^>]*href="https?:', text)
        assert "<script" not in text and "style=" not in text and not re.findall(r"<[^>]+ on\w+=", text)


def test_every_link_of_the_hospital_leads_somewhere(lead: httpx.Client, urls: list[str]) -> None:
    links = {
        link.replace("&amp;", "&")
        for url in urls
        if "nothing" not in url
        for link in re.findall(r'href="(/[^"#]*)', lead.get(url).text)
    }
    wanted = sorted(link for link in links if "/case/" not in link and not re.match(r"/documentation/|/fhir", link))
    assert len(wanted) > 30
    broken = {link: lead.get(link).status_code for link in wanted}
    assert not {link: status for link, status in broken.items() if status not in (200, 303)}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        yield opened
        opened.close()


def sound(page: Any, width: int) -> None:
    """No fault that axe can find, and nothing wider than the window."""
    from axe_playwright_python.sync_playwright import Axe

    page.set_viewport_size({"width": width, "height": 900})
    faults = Axe().run(page, options={"runOnly": RULES}).response["violations"]
    told = [(fault["id"], [node["html"][:160] for node in fault["nodes"]]) for fault in faults]
    assert told == [], f"{page.url} at {width}"
    assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{page.url} at {width}"


@pytest.mark.browser
@pytest.mark.slow
@needs_browser
def test_no_accessibility_fault_and_nothing_wider_than_a_small_phone(
    nation: Server, browser: Any, lead: httpx.Client, national: httpx.Client, urls: list[str]
) -> None:
    for reader, pages in ((lead, urls), (national, ["/hospital", "/hospital/ZA1"])):
        context = browser.new_context(viewport={"width": 1000, "height": 900})
        context.add_cookies([{"name": name, "value": value, "url": nation.base} for name, value in reader.cookies.items()])
        page = context.new_page()
        for url in pages:
            page.goto(nation.base + url)
            for width in (1000, 320):
                sound(page, width)
        context.close()


@pytest.mark.browser
@pytest.mark.slow
@needs_browser
def test_a_parent_answers_on_a_small_phone_by_keyboard(nation: Server, browser: Any, links: list[str]) -> None:
    context = browser.new_context(viewport={"width": 320, "height": 600})
    page = context.new_page()
    page.goto(f"{nation.base}/follow-up/{links[0]}")
    sound(page, 320)
    page.click("text=Continue")
    sound(page, 320)
    page.click(".nhsuk-error-summary a")
    for part in ("27", "3", "2024"):
        page.keyboard.type(part)
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url("**/follow-up/about")
    sound(page, 320)
    page.focus("#yes")
    page.keyboard.press("Space")
    page.keyboard.press("Enter")
    for number in range(1, 7):
        page.wait_for_url(f"**/follow-up/question/{number}")
        sound(page, 320)
        if page.locator("#answer-1[type=radio]").count():
            page.focus("#answer-1")
            page.keyboard.press("Space")
        page.get_by_role("button", name="Continue").press("Enter")
    page.wait_for_url("**/follow-up/check")
    sound(page, 320)
    page.get_by_role("button", name="Send my answers").press("Enter")
    page.wait_for_url("**/follow-up/thank-you")
    sound(page, 320)
    page.goto(f"{nation.base}/follow-up/{links[0]}")
    assert "This link does not work" in page.locator("h1").inner_text()
    sound(page, 320)
    context.close()


@pytest.mark.browser
@pytest.mark.slow
@needs_browser
def test_by_keyboard_alone_and_without_script_to_ones_own_figures(nation: Server, browser: Any) -> None:
    context = browser.new_context(viewport={"width": 1000, "height": 900}, java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{nation.base}/hospital")
    page.keyboard.press("Tab")
    assert page.locator(":focus").inner_text() == "Skip to main content"
    page.keyboard.press("Enter")
    for value in ("lead", PASSWORD):
        page.keyboard.press("Tab")
        page.keyboard.type(value)
    page.keyboard.press("Enter")
    page.wait_for_url("**/hospital/ZA3")
    assert page.locator("svg.csor-chart").count() == 3
    assert "were expected to" in page.locator(".csor-headline").inner_text()
    summary = page.locator("summary").first
    summary.focus()
    page.keyboard.press("Enter")
    assert page.locator("details table").first.is_visible()
    page.get_by_role("button", name="Sign out").focus()
    page.keyboard.press("Enter")
    page.wait_for_url(f"{nation.base}/")
    assert page.get_by_role("button", name="Sign out").count() == 0
    context.close()


@pytest.mark.browser
@pytest.mark.slow
@needs_browser
def test_printed_the_figures_stay_and_the_furniture_goes(nation: Server, browser: Any) -> None:
    page = browser.new_page(viewport={"width": 800, "height": 1000})
    page.goto(f"{nation.base}/public/ZA3")
    page.emulate_media(media="print")
    assert page.locator("svg.csor-chart").first.is_visible()
    assert not page.locator("header").is_visible() and not page.locator(".csor-switch").is_visible()
    page.close()

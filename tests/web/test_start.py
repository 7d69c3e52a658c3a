"""The start page leads each kind of reader on; a sandbox says what it is on every page."""

import re
from pathlib import Path

import httpx
import pytest

from app.main import create
from app.settings import Settings
from tests.web.conftest import Site


@pytest.mark.asyncio(loop_scope="module")
async def test_the_start_page_has_a_door_for_each_reader(site: Site) -> None:
    page = (await site.get("", "/")).text
    doors = re.findall(r'nhsuk-card__link" href="([^"]+)"', page)
    assert doors == ["/public", "/hospital", "/operative-record", "/documentation"]
    for door in doors:
        assert (await site.get("", door)).status_code in (200, 303)


@pytest.mark.parametrize(("sandbox", "told"), [(True, True), (False, False)])
async def test_a_sandbox_says_so(tmp_path: Path, sandbox: bool, told: bool) -> None:
    app = create(Settings(data=tmp_path, sandbox=sandbox, mllp_port=-1))
    transport = httpx.ASGITransport(app=app)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://localhost") as browser:
        for url in ("/", "/public", "/documentation"):
            assert ("whoever opens a page is the administrator" in (await browser.get(url)).text) is told
        assert (await browser.get("/hospital")).status_code == (200 if sandbox else 303)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    "url", ["/nothing", "/hospitals", "/static", "/sign-out", "/public/ZA3/more", "/%2e%2e/etc/passwd", "/<script>"]
)
async def test_what_is_nowhere_is_a_page_that_leads_on(site: Site, url: str) -> None:
    answer = await site.get("", url)
    assert answer.status_code == 404
    assert 'href="/">Start page</a>' in answer.text and "<script>" not in answer.text


@pytest.mark.asyncio(loop_scope="module")
async def test_the_interface_keeps_its_own_answer_for_what_is_not_there(site: Site) -> None:
    answer = await site.get("", "/fhir/nothing/at/all/here")
    assert answer.json()["resourceType"] == "OperationOutcome"

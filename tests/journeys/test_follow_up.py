"""A parent's whole way on a real server and a real mail server; and no letter about a child who died, whoever told of the death."""

import asyncio
import re
import shutil
import threading
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiosmtpd.smtp import SMTP

from app import names
from tests.journeys.conftest import Server, csor, launch

STARTED = date.today() - timedelta(days=400)
BORN = STARTED - timedelta(days=2)
ADDRESSES = {"lives": "9990000018", "fhir": "9990000026", "hl7": "9990000034", "hes": "9990000042"}
TOKEN = re.compile(r'name="form_token" value="([^"]+)"')


class Mailbox:
    """A real SMTP server in a thread of its own."""

    def __init__(self) -> None:
        self.letters: list[tuple[str, str]] = []
        self.arrived = threading.Event()
        self._loop = asyncio.new_event_loop()
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), daemon=True)
        self._thread.start()
        assert ready.wait(10)

    def _run(self, ready: threading.Event) -> None:
        async def main() -> None:
            server = await self._loop.create_server(lambda: SMTP(self), "127.0.0.1", 0)
            self.port = server.sockets[0].getsockname()[1]
            ready.set()
            await asyncio.Event().wait()

        self._loop.create_task(main())
        self._loop.run_forever()

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        self.letters.append((envelope.rcpt_tos[0], envelope.content.decode()))
        self.arrived.set()
        return "250 OK"


@pytest.fixture(scope="module")
def mailbox() -> Mailbox:
    return Mailbox()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, mailbox: Mailbox) -> Iterator[Server]:
    data = tmp_path_factory.mktemp("follow-up")
    server = launch(data, env={"CSOR_SMTP_URL": f"smtp://127.0.0.1:{mailbox.port}"})
    yield server
    server.stop()


def child(name: str) -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "identifier": [
            {"system": names.NHS_NUMBER, "value": ADDRESSES[name]},
            {"system": names.mrn_system("ZAA"), "value": f"M{name}"},
        ],
        "birthDate": BORN.isoformat(),
        "contact": [{"telecom": [{"system": "email", "value": f"{name}@example.org"}]}],
    }


def tell_of_deaths(server: Server, directory: Path, ids: dict[str, str]) -> None:
    """One death by each of the three sources."""
    died = (STARTED + timedelta(days=30)).isoformat()
    with server.client() as client:
        assert client.put(
            f"/Patient/{ids['fhir']}", json=child("fhir") | {"id": ids["fhir"], "deceasedDateTime": died}
        ).is_success
    message = directory / "a31.hl7"
    fields = [f"{ADDRESSES['hl7']}^^^NHS^NH~Mhl7^^^ZAA^MR", "", "", "", f"{BORN:%Y%m%d}", "2"]
    pid = "PID|1||" + "|".join(fields) + "|" * 21 + f"{died.replace('-', '')}|Y"
    message.write_text(
        f"MSH|^~\\&|PAS|ZAA|CSOR|CSOR|20260101090000||ADT^A31|d1|T|2.4\rEVN|A31|20260101090000\r{pid}\rPV1|1|N\r", newline=""
    )
    assert server.mllp
    sent = csor("hl7", "send", str(message), "--to", f"{server.mllp[0]}:{server.mllp[1]}")
    assert sent.returncode == 0, sent.stdout + sent.stderr
    statistics = directory / "hes.csv"
    row = {
        "EPIKEY": "1", "PERSON_ID": "P1", "NEWNHSNO": ADDRESSES["hes"], "DOB": BORN.isoformat(), "SEX": "2", "PROCODE3": "ZAA",
        "PROVSPNOPS": "S1", "ADMIDATE": BORN.isoformat(), "ADMIMETH": "82", "EPISTART": BORN.isoformat(), "EPIEND": died,
        "EPIORDER": "01", "EPISTAT": "3", "EPITYPE": "1", "CLASSPAT": "1", "DISDATE": died, "DISMETH": "4", "DISDEST": "79",
        "DIAG_01": "Q391", "OPERTN_01": "", "OPDATE_01": "",
    }  # fmt: skip
    statistics.write_text(",".join(row) + "\n" + ",".join(row.values()) + "\n")
    imported = csor("hes", "import", str(statistics), "--store", server.store)
    assert imported.returncode == 0, imported.stdout + imported.stderr


@pytest.fixture(scope="module")
def link(served: Server, mailbox: Mailbox, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Four children; three die, told by three sources; then their cases start. The letter that comes."""
    with served.client() as client:
        ids = {
            name: client.post("/Patient", json=child(name)).headers["location"].split("/Patient/")[1].split("/")[0]
            for name in ADDRESSES
        }
        tell_of_deaths(served, tmp_path_factory.mktemp("deaths"), ids)
        for name, id in ids.items():
            patient = client.get(f"/Patient/{id}").json()
            assert bool(patient.get("deceasedDateTime")) == (name != "lives"), f"{name}: {patient}"
            case = {
                "resourceType": "EpisodeOfCare",
                "status": "active",
                "type": [{"coding": [{"system": names.CONDITION, "code": "oesophageal-atresia"}]}],
                "patient": {"reference": f"Patient/{id}"},
                "managingOrganization": {"reference": "Organization/zaa"},
                "period": {"start": STARTED.isoformat()},
            }
            assert client.post("/EpisodeOfCare", json=case).is_success
    assert mailbox.arrived.wait(30), "no letter came"
    found = re.search(r"https?://\S+/follow-up/\S+", mailbox.letters[0][1])
    assert found
    return found[0]


def test_a_death_from_any_source_stops_the_letters(served: Server, mailbox: Mailbox, link: str) -> None:
    with served.client() as client:
        for _ in range(200):
            tasks = [entry["resource"]["status"] for entry in client.get("/Task", params={"_count": 100}).json().get("entry", [])]
            if tasks.count("ready") == 1 and "queued" not in tasks:
                break
    assert [address for address, _ in mailbox.letters] == ["lives@example.org"]
    assert set(tasks) <= {"requested", "ready", "cancelled"} and tasks.count("ready") == 1


@pytest.mark.browser
def test_a_parent_answers_on_a_phone_without_script_and_no_page_has_an_accessibility_fault(served: Server, link: str) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("Chromium is not installed: run 'make programs'")
    from axe_playwright_python.sync_playwright import Axe
    from playwright.sync_api import sync_playwright

    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=flags)
        phone = {"width": 320, "height": 640}
        page = browser.new_context(java_script_enabled=False, viewport=phone).new_page()
        watch = browser.new_context(viewport=phone)

        def look() -> None:
            """axe needs script: it looks at the same page, by its bytes, in a browser that has it."""
            seen = watch.new_page()
            seen.route(
                "**/*",
                lambda route: (
                    route.fulfill(body=page.content(), content_type="text/html")
                    if route.request.url == page.url
                    else route.continue_()
                ),
            )
            seen.goto(page.url)
            results = Axe().run(seen, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]})
            assert results.violations_count == 0, results.generate_report()
            assert seen.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), f"{page.url} scrolls sideways"
            seen.close()

        page.goto(link)
        look()
        page.click("text=Continue")
        page.get_by_text("There is a problem").first.wait_for()
        look()
        for part, value in (("day", BORN.day), ("month", BORN.month), ("year", BORN.year)):
            page.fill(f"#{part}", str(value))
        page.click("text=Continue")
        look()
        page.check("#yes")
        page.click("text=Continue")
        for number in range(1, 7):
            page.get_by_text(f"Question {number} of 6").first.wait_for()
            if number in (1, 6):
                look()
            if number < 6:
                page.check("#answer-2")
            page.click("text=Continue")
        page.get_by_text("Check your answers").first.wait_for()
        look()
        page.click("text=Send my answers")
        page.get_by_text("We have your answers").first.wait_for()
        look()
        browser.close()
    with served.client() as client:
        assert client.get("/QuestionnaireResponse", params={"_summary": "count"}).json()["total"] == 1
        assert client.get("/Consent", params={"_summary": "count"}).json()["total"] == 1


def test_a_used_link_and_a_forged_one_get_the_same_page(served: Server, link: str) -> None:
    pages = []
    for url in (link, f"{served.base}/follow-up/parent_forged"):
        with httpx.Client(follow_redirects=True) as browser:
            answer = browser.get(url)
            assert answer.status_code in (200, 404)
            pages.append(TOKEN.sub("", answer.text))
    if "does not work" in pages[0]:  # the browser test before this one has used it
        assert pages[0] == pages[1]

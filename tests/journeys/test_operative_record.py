"""A surgeon's whole way: from the child in the hospital's records to the printed note and the case, over real sockets."""

import os
import re
import shutil
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from app import names
from tests.forms.records import OWN
from tests.journeys.conftest import Server

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_browser = pytest.mark.skipif(
    CHROMIUM is None and os.environ.get("CSOR_TEST_REQUIRE") != "1", reason="headless Chromium is not installed (make programs)"
)
FORM = {
    "performed": "2024-03-05T09:30", "urgency": "emergency", "first-operation": "true", "operative-diagnosis": "As expected",
    "surgeon": "Consultant A", "anaesthetist": "Consultant B", "gestation": "36", "birth-weight": "2,450", "antenatal-diagnosis": "yes",
    "major-cardiac-anomaly": "no", "chromosomal-anomaly": "unknown", "other-anomaly": "no", "implants": "false", "complication": "false",
    "blood-loss": "5", "antibiotics": "antibiotic-prophylaxis", "thrombosis-prophylaxis": "thrombosis-not-indicated",
    "closure": "Absorbable, in layers", "instructions": "Nil by mouth.\r\nContrast study on day 5.", "signature": "Consultant A",
}  # fmt: skip


def form(condition: str = "oesophageal-atresia", **changes: str | None) -> dict[str, Any]:
    own = {
        link: {True: "true", False: "false"}.get(value, value) if isinstance(value, bool) else value
        for link, value in OWN[condition].items()
    }
    wanted = FORM | own | {link.replace("_", "-"): value for link, value in changes.items()}
    return {link: value for link, value in wanted.items() if value is not None}


@pytest.fixture
def child(server: Server) -> str:
    patient = {
        "resourceType": "Patient", "birthDate": "2024-03-04", "gender": "male", "name": [{"text": "Baby <Demonstration>"}],
        "managingOrganization": {"reference": "Organization/rxx"},
    }  # fmt: skip
    with server.client() as client:
        return client.post("/Patient", json=patient).raise_for_status().json()["id"]


@pytest.fixture
def surgeon(server: Server) -> Iterator["Surgeon"]:
    with httpx.Client(base_url=server.base, timeout=60, follow_redirects=True) as client:
        yield Surgeon(client)


class Surgeon:
    """A browser without script."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client
        self.page = httpx.Response(200)

    def get(self, path: str) -> httpx.Response:
        self.page = self.client.get(path)
        return self.page

    def post(self, path: str, **fields: Any) -> httpx.Response:
        hidden = {
            name: found[1]
            for name in ("form_token", "revision")
            if (found := re.search(rf'name="{name}" value="([^"]*)"', self.page.text))
        }
        self.page = self.client.post(path, data=hidden | fields)
        return self.page

    def begin(self, child: str, condition: str = "oesophageal-atresia") -> str:
        self.get(f"/operative-record?patient={child}")
        self.post("/operative-record", patient=child, condition=condition)
        assert self.page.status_code == 200
        return self.page.url.path

    @property
    def problems(self) -> list[str]:
        summary = re.search(r'nhsuk-error-summary__list">(.*?)</ul>', self.page.text, re.S)
        return re.findall(r"<li>(?:<a[^>]*>)?(.*?)(?:</a>)?</li>", summary[1]) if summary else []


def of_child(server: Server, type: str, child: str) -> list[dict[str, Any]]:
    with server.client() as client:
        bundle = client.get(f"/{type}", params={"patient": f"Patient/{child}"}).raise_for_status().json()
    return [entry["resource"] for entry in bundle.get("entry", [])]


@pytest.mark.parametrize("condition", names.CONDITIONS)
def test_from_the_record_system_to_the_note_and_the_case(server: Server, surgeon: Surgeon, child: str, condition: str) -> None:
    path = surgeon.begin(child, condition)
    assert "Baby &lt;Demonstration&gt;" in surgeon.page.text
    surgeon.post(path, action="check", **form(condition))
    assert surgeon.problems == []
    assert surgeon.page.url.path == f"{path}/check"
    surgeon.post(f"{path}/check")
    assert surgeon.page.url.path == f"{path}/note"
    assert "Nil by mouth.\nContrast study on day 5." in surgeon.page.text
    assert "5 ml" in surgeon.page.text
    [case] = of_child(server, "EpisodeOfCare", child)
    assert case["type"][0]["coding"][0]["code"] == condition
    procedures = of_child(server, "Procedure", child)
    assert OWN[condition]["procedure"] in {each["code"]["coding"][0]["code"] for each in procedures}
    assert {each["performedDateTime"] for each in procedures} == {"2024-03-05T09:30:00+00:00"}


def test_the_address_never_holds_more_than_opaque_ids(surgeon: Surgeon, child: str) -> None:
    path = surgeon.begin(child)
    assert re.fullmatch(r"/operative-record/[0-9a-z]{26}", path)
    assert surgeon.page.url.query == b""


def test_a_child_is_found_by_nhs_number_in_a_post(server: Server, surgeon: Surgeon) -> None:
    patient = {
        "resourceType": "Patient",
        "birthDate": "2024-03-04",
        "identifier": [{"system": names.NHS_NUMBER, "value": "9990000107"}],
    }
    with server.client() as client:
        client.post("/Patient", json=patient).raise_for_status()
    surgeon.get("/operative-record")
    surgeon.post("/operative-record", **{"nhs-number": "999 000 0107", "condition": "gastroschisis"})
    assert surgeon.page.status_code == 200
    assert "Operative record: gastroschisis" in surgeon.page.text


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        ("", "Enter the child’s NHS number."),
        ("9990000108", "not an NHS number"),
        ("9990000115", "No child with this NHS number is known"),
    ],
)
def test_a_number_that_leads_nowhere_is_told_and_kept(surgeon: Surgeon, number: str, sentence: str) -> None:
    surgeon.get("/operative-record")
    surgeon.post("/operative-record", **{"nhs-number": number, "condition": "gastroschisis"})
    assert surgeon.page.status_code == 422
    assert sentence in surgeon.problems[0]
    assert f'value="{number}"' in surgeon.page.text


def test_what_is_wrong_comes_back_with_everything_that_was_typed(server: Server, surgeon: Surgeon, child: str) -> None:
    path = surgeon.begin(child)
    surgeon.post(
        path, action="check", **form(birth_weight="heavy", anaesthetist=None, performed="2024-03-03T10:00", blood_loss="-1")
    )
    assert surgeon.page.status_code == 422
    assert surgeon.problems == [
        "“Theatre anaesthetist” needs an answer.",
        "“Birth weight” must be a whole number, in figures.",
        "“Blood loss” must be at least 0.",
    ]
    for kept in ("heavy", "Consultant A", "Nil by mouth.\nContrast study on day 5.", "2024-03-03T10:00"):
        assert kept in surgeon.page.text
    assert '<a href="#birth-weight">' in surgeon.page.text
    surgeon.post(path, action="check", **form(performed="2024-03-03T10:00"))
    assert surgeon.problems == ["The operation cannot be before the child’s birth."]
    assert of_child(server, "EpisodeOfCare", child) == []


def test_an_option_that_does_not_exist_is_a_sentence_and_nothing_is_lost(server: Server, surgeon: Surgeon, child: str) -> None:
    path = surgeon.begin(child)
    surgeon.post(path, action="check", **form(urgency="whenever", implants="perhaps", narrative="A long story."))
    assert surgeon.page.status_code == 422
    assert surgeon.problems == [
        "“Urgency” does not offer this answer. Choose one of those listed.",
        "“Implant used” does not offer this answer. Choose one of those listed.",
    ]
    assert "A long story." in surgeon.page.text
    assert "A long story." in surgeon.get(path).text, "saved before it was judged"


def test_a_condition_that_does_not_exist_is_a_sentence(surgeon: Surgeon, child: str) -> None:
    surgeon.get(f"/operative-record?patient={child}")
    surgeon.post("/operative-record", patient=child, condition="headache")
    assert surgeon.page.status_code == 422
    assert surgeon.problems == ["Choose the condition that was operated on. It must be one of those listed."]


def test_a_draft_waits_in_the_list_until_it_is_completed(surgeon: Surgeon, child: str) -> None:
    path = surgeon.begin(child)
    surgeon.post(path, action="later", surgeon="Consultant A", gestation="not yet")
    assert surgeon.page.status_code == 200
    assert path in surgeon.page.text
    assert 'value="not yet"' in surgeon.get(path).text
    surgeon.post(path, action="check", **form())
    surgeon.post(f"{path}/check")
    assert path not in surgeon.get("/operative-record").text
    assert surgeon.get(path).url.path == f"{path}/note"


def test_a_draft_can_be_thrown_away(surgeon: Surgeon, child: str) -> None:
    path = surgeon.begin(child)
    surgeon.post(f"{path}/discard")
    assert surgeon.get(path).status_code == 404


def test_two_windows_do_not_overwrite_each_other(surgeon: Surgeon, child: str) -> None:
    path = surgeon.begin(child)
    other = surgeon.page
    surgeon.post(path, action="later", surgeon="First window")
    surgeon.page = other
    surgeon.post(path, action="later", surgeon="Second window")
    assert surgeon.page.status_code == 409
    assert "Second window" in surgeon.page.text
    surgeon.post(path, action="later", surgeon="Second window")
    assert "Second window" in surgeon.get(path).text


def test_pressing_complete_twice_completes_once(server: Server, surgeon: Surgeon, child: str) -> None:
    path = surgeon.begin(child)
    surgeon.post(path, action="check", **form())
    check = surgeon.page
    surgeon.post(f"{path}/check")
    surgeon.page = check
    surgeon.post(f"{path}/check")
    assert surgeon.page.url.path == f"{path}/note"
    assert len(of_child(server, "EpisodeOfCare", child)) == 1
    assert len(of_child(server, "Procedure", child)) == 2


def test_a_record_can_be_amended(server: Server, surgeon: Surgeon, child: str) -> None:
    path = surgeon.begin(child)
    surgeon.post(path, action="check", **form())
    surgeon.post(f"{path}/check")
    surgeon.post(f"{path}/amend")
    assert "Absorbable, in layers" in surgeon.page.text
    surgeon.post(path, action="check", **form(complication="true", complication_detail="Lung tear, sutured"))
    assert "Lung tear, sutured" in surgeon.page.text
    surgeon.post(f"{path}/check")
    assert "amended" in surgeon.page.text
    complications = [each["complication"][0]["text"] for each in of_child(server, "Procedure", child) if "complication" in each]
    assert complications == ["Lung tear, sutured"]
    assert len(of_child(server, "EpisodeOfCare", child)) == 1


def test_answers_to_questions_that_are_not_asked_do_not_count(surgeon: Surgeon, child: str) -> None:
    path = surgeon.begin(child)
    surgeon.post(
        path,
        action="check",
        **form(repair="repair-oesophagostomy", trans_anastomotic_tube="true", gap_bodies="x", gap="gap-not-measured"),
    )
    assert surgeon.problems == []
    assert "tube" not in surgeon.page.text


def test_where_the_hospital_is_not_known_it_is_asked(server: Server, surgeon: Surgeon) -> None:
    with server.client() as client:
        child = (
            client.post("/Patient", json={"resourceType": "Patient", "birthDate": "2024-03-04"}).raise_for_status().json()["id"]
        )
    path = surgeon.begin(child)
    for wrong in ("", "x/../y"):
        surgeon.post(path, action="check", **form(), hospital=wrong)
        assert surgeon.problems == ["Enter the operating hospital’s ODS code: three to ten letters and figures."]
    surgeon.post(path, action="check", **form(), hospital="rxx")
    surgeon.post(f"{path}/check")
    [case] = of_child(server, "EpisodeOfCare", child)
    assert case["managingOrganization"]["reference"] == "Organization/rxx"


def test_a_form_from_elsewhere_is_refused(server: Server, surgeon: Surgeon, child: str) -> None:
    path = surgeon.begin(child)
    with httpx.Client(base_url=server.base) as stranger:
        assert stranger.post(path, data=form() | {"action": "check", "form_token": "made.up"}).status_code == 403


def test_the_fhir_door_makes_the_same_and_tells_the_same(server: Server, child: str) -> None:
    from app.forms.entry import respond
    from tests.forms.records import questionnaire, values

    subject = {"subject": {"reference": f"Patient/{child}"}, "authored": "2024-03-05T12:00:00+00:00"}
    with server.client() as client:
        wrong = client.post(
            "/QuestionnaireResponse",
            json=respond(questionnaire("gastroschisis"), values("gastroschisis") | {"kind": None}, **subject),
        )
        assert wrong.status_code == 400
        assert [(i["diagnostics"], i["expression"]) for i in wrong.json()["issue"]] == [
            ("“Simple or complex” needs an answer.", ["QuestionnaireResponse.item[2]"])
        ]
        assert of_child(server, "EpisodeOfCare", child) == []
        right = client.post(
            "/QuestionnaireResponse", json=respond(questionnaire("gastroschisis"), values("gastroschisis"), **subject)
        )
        assert right.status_code == 201
    assert len(of_child(server, "EpisodeOfCare", child)) == 1


def test_without_sign_in_there_is_nothing_to_see(start_server: Any) -> None:
    closed = start_server(sandbox=False)
    with httpx.Client(base_url=closed.base) as client:
        for path in ("/operative-record", "/operative-record?patient=x", "/operative-record/x", "/operative-record/x/note"):
            answer = client.get(path)
            assert (answer.status_code, answer.headers["location"].partition("?")[0]) == (303, "/sign-in")
        assert client.post("/operative-record", data={"patient": "x"}).status_code in (303, 403)


def test_a_page_with_its_style_is_under_50_kilobytes(surgeon: Surgeon, child: str) -> None:
    surgeon.begin(child)
    total = int(surgeon.page.headers["content-length"])
    for address in re.findall(r'<link rel="stylesheet" href="([^"]+)"', surgeon.page.text):
        answer = surgeon.client.get(address)
        assert answer.status_code == 200
        total += int(answer.headers["content-length"])
    assert total < 50_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        yield opened
        opened.close()


@pytest.mark.browser
@pytest.mark.slow
@needs_browser
def test_in_a_browser_by_mouse_and_keyboard_with_no_accessibility_fault(server: Server, browser: Any, child: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page = browser.new_page(viewport={"width": 1000, "height": 1000})

    def sound() -> None:
        faults = (
            Axe()
            .run(page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]})
            .response["violations"]
        )
        assert [(fault["id"], [node["html"][:200] for node in fault["nodes"]]) for fault in faults] == []

    page.goto(f"{server.base}/operative-record?patient={child}")
    sound()
    page.check("#condition-oesophageal-atresia")
    page.click("text=Begin")
    sound()
    assert not page.is_visible("#anastomosis-tension-tension-none")
    page.click("text=Check and complete")
    sound()
    page.click(".nhsuk-error-summary a >> nth=0")
    assert page.evaluate("document.activeElement.id") == "urgency-planned"
    page.keyboard.press("Space")
    assert page.is_checked("#urgency-planned")
    for link, value in form().items():
        if link in ("additional-procedure", "performed"):
            continue
        field = page.locator(f'[name="{link}"]').first
        if field.evaluate("e => e.tagName") == "SELECT":
            field.select_option(value)
        elif field.get_attribute("type") == "radio":
            page.check(f'[name="{link}"][value="{value}"]')
        else:
            field.fill(value)
    assert page.is_visible("#anastomosis-tension-tension-none")
    page.check("#first-operation-false")
    assert not page.is_visible("#gestation")
    page.check("#record-child-true")
    assert page.is_visible("#gestation")
    page.check("#first-operation-true")
    page.set_viewport_size({"width": 320, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    sound()
    page.click("text=Check and complete")
    sound()
    page.click("text=Complete the record")
    page.wait_for_url("**/note")
    sound()
    page.close()

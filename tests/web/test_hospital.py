"""A hospital's page: its own figures as the measures room counts them, its own cases, and nobody else's."""

import csv
import io
import re

import pytest

from app.measures.drill import hospital_cases
from app.measures.table import hospital_table
from app.security.access import Access
from app.web.figures import cabinet, reporting_period
from app.web.words import WORDINGS
from tests.measures.conftest import put
from tests.outcomes.cases import case
from tests.web.conftest import CHILD, TODAY, Site, small_nation

pytestmark = pytest.mark.asyncio(loop_scope="module")
PAGES = ("", "/cases", "/cases.csv", "/comparison.csv", "/comparison.csv-metadata.json", "/funnel.svg", "/trend.svg")
LEAD = Access("user/lead", "hospital", frozenset(["ZA3"]))


@pytest.mark.parametrize("measure", WORDINGS)
async def test_the_sentence_tells_what_was_counted(site: Site, measure: str) -> None:
    rows = await hospital_table(site.context.store, LEAD, measure, reporting_period(TODAY))
    row = next(row for row in rows if row.hospital == "ZA3")
    page = (await site.get("lead", f"/hospital/ZA3?measure={measure}")).text
    assert f"{row.observed} of {row.known} children {WORDINGS[measure].did}; {row.expected:.1f} were expected to." in page
    assert f"{row.ratio:.2f} times what was expected (95% interval {row.low:.2f} to {row.high:.2f})" in page
    assert row.model in page and "Demonstration" in page


async def test_the_hospital_that_does_harm_is_told_so_in_words_and_why_to_look(site: Site) -> None:
    page = (await site.get("lead", "/hospital/ZA3")).text
    assert "Fewer good outcomes than expected for the children treated here" in page
    assert "Look into it now" in page


@pytest.mark.parametrize("path", PAGES)
async def test_another_hospital_looks_like_one_that_does_not_exist(site: Site, path: str) -> None:
    other = await site.get("lead", f"/hospital/ZA1{path}")
    never = await site.get("lead", f"/hospital/QQQ{path}")
    assert other.status_code == never.status_code == 404
    assert re.sub(r'value="[^"]*"', "", other.text) == re.sub(r'value="[^"]*"', "", never.text)


@pytest.mark.parametrize("path", PAGES)
async def test_strangers_and_clients_of_the_interface_get_no_page(site: Site, path: str) -> None:
    assert (await site.get("", f"/hospital/ZA3{path}")).status_code == 303
    token = await site.context.identities.register_client(f"EPR {path}", "vendor", ["ZA3"])
    narrow = await site.context.identities.register_client(f"narrow {path}", "hospital", ["ZA3"], "system/Patient.rs")
    async with site.stranger() as browser:
        for each in (token, narrow):
            assert (await browser.get(f"/hospital/ZA3{path}", headers={"authorization": f"Bearer {each}"})).status_code == 403


@pytest.mark.parametrize("path", PAGES)
async def test_own_people_and_the_nation_may(site: Site, path: str) -> None:
    for user in ("lead", "both", "nation"):
        assert (await site.get(user, f"/hospital/ZA3{path}")).status_code == 200


async def test_hospital_without_a_code_leads_to_ones_own(site: Site) -> None:
    assert (await site.get("lead", "/hospital")).headers["location"] == "/hospital/ZA3"
    listed = re.findall(
        r'href="/hospital/(\w+)\?measure=treatment-success">([^<]+)', (await site.get("nation", "/hospital")).text
    )
    names = [name for ods, name in listed]
    assert len(names) == 10 and names == sorted(names)
    assert [ods for ods, _ in re.findall(r'href="/hospital/(\w+)">([^<]+)', (await site.get("both", "/hospital")).text)] == [
        "ZA1",
        "ZA3",
    ]


async def test_the_funnel_names_the_own_hospital_alone(site: Site) -> None:
    labels = re.compile(r"<text[^>]*>(ZA\d)</text>")
    assert labels.findall((await site.get("lead", "/hospital/ZA3/funnel.svg")).text) == ["ZA3"]
    assert len(labels.findall((await site.get("nation", "/hospital/ZA3/funnel.svg")).text)) > 3
    assert "Zennor" not in (await site.get("lead", "/hospital/ZA3")).text


@pytest.mark.parametrize("user", ["lead", "nation"])
@pytest.mark.parametrize("measure", WORDINGS)
async def test_no_small_number_of_another_hospital(site: Site, user: str, measure: str) -> None:
    text = (await site.get(user, f"/hospital/ZA3/comparison.csv?measure={measure}")).text
    rows = [row for row in csv.DictReader(io.StringIO(text)) if user == "nation" or row["organisation_ods_code"] != "ZA3"]
    assert len(rows) > 20
    for row in rows:
        for count in (row["numerator"], row["denominator"]):
            assert count in ("", "0") or int(count) > 7, row
        if row["numerator"]:
            assert int(row["denominator"]) - int(row["numerator"]) not in range(1, 8), row


async def test_every_own_case_can_be_opened_and_is_in_the_file(site: Site) -> None:
    mine = {facts.case for facts in small_nation() if facts.hospital == "ZA3"}
    seen: set[str] = set()
    for number in range(1, 9):
        page = (await site.get("lead", f"/hospital/ZA3/cases?page={number}")).text
        seen |= set(re.findall(r"/hospital/ZA3/case/([\w-]+)\?", page))
        if 'rel="next"' not in page:
            break
    assert number == 3 and seen == mine
    text = (await site.get("lead", "/hospital/ZA3/cases.csv")).text
    assert {row["case"] for row in csv.DictReader(io.StringIO(text))} == mine
    assert CHILD not in text


async def test_the_filters_divide_the_cases(site: Site) -> None:
    page = (await site.get("lead", "/hospital/ZA3/cases")).text
    every, yes, no, open_ = (int(n) for n in re.findall(r"\((\d+)\)</a>", page))
    lines = await hospital_cases(site.context.store, LEAD, "treatment-success", "ZA3", reporting_period(TODAY))
    assert every == len(lines) == yes + no + open_
    assert yes == sum(line.event for line in lines) and open_ > 0


async def test_a_case_tells_its_score_with_interval_age_and_weights(site: Site) -> None:
    lines = await hospital_cases(site.context.store, LEAD, "treatment-success", "ZA3", reporting_period(TODAY))
    line = next(line for line in lines if line.score.value is not None)
    page = (await site.get("lead", f"/hospital/ZA3/case/{line.facts.case}")).text
    assert f"{line.score.value:.2f} (95% interval {line.score.low:.2f} to {line.score.high:.2f})" in page
    assert f"At the age of {line.score.as_of_age_days} days" in page
    assert line.score.weights in page and "demonstration" in page
    unknown = next(line for line in lines if line.score.value is None)
    told = (await site.get("lead", f"/hospital/ZA3/case/{unknown.facts.case}")).text
    assert f"Between {unknown.score.worst:.2f} and {unknown.score.best:.2f}" in told
    assert "does not count yet" in told


async def test_the_childs_name_is_for_the_hospital_alone(site: Site) -> None:
    case = next(facts.case for facts in small_nation() if facts.hospital == "ZA3")
    url = f"/hospital/ZA3/case/{case}"
    assert CHILD in (await site.get("lead", url)).text
    national = await site.get("nation", url)
    assert national.status_code == 200 and CHILD not in national.text


async def test_a_case_is_found_under_its_own_hospital_alone(site: Site) -> None:
    theirs = next(facts.case for facts in small_nation() if facts.hospital == "ZA1")
    for user, url in (
        ("lead", f"/hospital/ZA3/case/{theirs}"),
        ("lead", f"/hospital/ZA1/case/{theirs}"),
        ("nation", f"/hospital/ZA3/case/{theirs}"),
    ):
        assert (await site.get(user, url)).status_code == 404
    assert (await site.get("nation", f"/hospital/ZA1/case/{theirs}")).status_code == 200


@pytest.mark.parametrize("query", ["measure=nothing", "measure=../x", "measure="])
async def test_a_measure_that_is_none_is_not_found(site: Site, query: str) -> None:
    assert (await site.get("lead", f"/hospital/ZA3?{query}")).status_code == 404


@pytest.mark.parametrize("query", ["page=0", "page=-1", "page=x", "page=999999999", "show=none", "page=²"])
async def test_a_page_that_is_none_shows_the_nearest(site: Site, query: str) -> None:
    assert (await site.get("lead", f"/hospital/ZA3/cases?{query}")).status_code == 200


async def test_a_hospital_without_cases_gets_its_page(site: Site) -> None:
    await site.context.identities.register_user("fresh", "correct horse battery", "hospital", ["ZZ9"])
    page = await site.get("fresh", "/hospital/ZZ9")
    assert page.status_code == 200 and "No child of this hospital" in page.text
    assert (await site.get("fresh", "/hospital/ZZ9/cases")).status_code == 200
    assert (await site.get("nation", "/hospital/ZZ9")).status_code == 404


async def test_names_are_escaped(site: Site) -> None:
    assert "Amberley &lt;Hospital&gt;" in (await site.get("nation", "/hospital/ZA1")).text
    assert "<Hospital>" not in (await site.get("", "/public")).text


@pytest.mark.parametrize("measure", WORDINGS)
async def test_the_nation_sees_each_hospital_without_its_small_numbers(site: Site, measure: str) -> None:
    national = Access("user/nation", "national", None)
    rows = await hospital_table(site.context.store, national, measure, reporting_period(TODAY))
    page = (await site.get("nation", f"/hospital?measure={measure}")).text
    assert page.count("Withheld, so that no child can be found out") == sum(row.suppressed for row in rows) > 0
    for row in rows:
        if not row.suppressed:
            assert f"{row.ratio:.2f} ({row.low:.2f} to {row.high:.2f})" in page


async def test_what_was_least_expected_can_come_first(site: Site) -> None:
    lines = await hospital_cases(site.context.store, LEAD, "treatment-success", "ZA3", reporting_period(TODAY))
    failed = sorted((line for line in lines if line.counts and not line.event), key=lambda line: -line.expected)
    page = (await site.get("lead", "/hospital/ZA3/cases?show=no&order=surprise")).text
    shown = re.findall(r"/hospital/ZA3/case/([\w-]+)\?", page)
    assert len(shown) > 10
    chance = {line.facts.case: line.expected for line in failed}
    assert [chance[case] for case in shown] == [line.expected for line in failed][: len(shown)]


async def test_asking_for_hospitals_that_are_none_leaves_nothing_behind(site: Site) -> None:
    room = cabinet(site.context.store)
    await site.get("nation", "/hospital/ZA3/cases")
    before = len(room._kept), len(room._locks)
    for number in range(5):
        assert (await site.get("nation", f"/hospital/Q{number}/cases")).status_code == 404
    assert (len(room._kept), len(room._locks)) == before


async def test_of_a_child_who_died_no_quality_of_life_is_missed(site: Site) -> None:
    dead = next(facts.case for facts in small_nation() if facts.hospital == "ZA3" and facts.died_on)
    page = (await site.get("lead", f"/hospital/ZA3/case/{dead}")).text
    assert "Not asked: the child died" in page and "Died on" in page and "nobody has answered" not in page


async def test_the_age_of_a_child_without_a_date_of_birth_is_not_known(site: Site) -> None:
    await put(site.context.store, [case(case="unborn", hospital="ZX9", birth_date=None)])
    await site.context.identities.register_user("unborn", "correct horse battery", "hospital", ["ZX9"])
    assert "Age not known." in (await site.get("unborn", "/hospital/ZX9/case/unborn")).text
    [row] = csv.DictReader(io.StringIO((await site.get("unborn", "/hospital/ZX9/cases.csv")).text))
    assert row["score"] and row["age_days_at_score"] == ""

"""The public pages: the same for every reader, in plain words, with a range and no rank, and without a small number."""

import csv
import io
import json
import re
from html import unescape

import pytest

from app.measures.table import Row, hospital_table
from app.security.access import PUBLIC, SYSTEM
from app.web import words
from app.web.figures import reporting_period
from app.web.words import WORDINGS
from tests.web.conftest import CHILD, TODAY, Site

pytestmark = pytest.mark.asyncio(loop_scope="module")
HOSPITALS = [f"ZA{number}" for number in range(10)]


async def _rows(site: Site, access=PUBLIC, measure: str = "treatment-success") -> list[Row]:
    return await hospital_table(site.context.store, access, measure, reporting_period(TODAY))


def _body(text: str) -> str:
    return re.search(r"<main.*</main>", text, re.S)[0]


@pytest.mark.parametrize("url", ["/public", "/public/ZA3", "/public?measure=infection", "/public/figures.csv"])
async def test_every_reader_gets_the_same(site: Site, url: str) -> None:
    told = {(await site.get(user, url)).text for user in ("", "lead", "other", "nation")}
    assert len({_body(text) if "<main" in text else text for text in told}) == 1


@pytest.mark.parametrize("measure", WORDINGS)
async def test_hospitals_stand_by_name_whatever_their_result(site: Site, measure: str) -> None:
    page = (await site.get("", f"/public?measure={measure}")).text
    names = [unescape(name) for name in re.findall(r'<a href="/public/ZA\d\?measure=[^"]+">([^<]+)</a>', page)]
    assert len(names) == 10
    assert names == sorted(names)
    assert names[-1] == "Zennor Hospital"
    assert not re.search(r"\b(best|worst|rank|league|top|bottom)\b", re.sub(r"<[^>]+>", " ", _body(page)), re.I)


@pytest.mark.parametrize(("measure", "direction"), [("treatment-success", "higher"), ("infection", "lower")])
async def test_the_key_points_fit_what_is_good(site: Site, measure: str, direction: str) -> None:
    assert f"A {direction} number does not mean a better hospital." in (await site.get("", f"/public?measure={measure}")).text


@pytest.mark.parametrize("measure", WORDINGS)
async def test_no_small_number_leaves(site: Site, measure: str) -> None:
    text = (await site.get("", f"/public/figures.csv?measure={measure}")).text
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) > 30
    for row in rows:
        counts = [int(count) for count in (row["numerator"], row["denominator"]) if count]
        counts += [counts[1] - counts[0]] if len(counts) == 2 else []
        assert not set(counts) & set(range(1, 8)), row
    withheld = [row for row in rows if row["suppressed"] == "true"]
    assert withheld
    for row in withheld:
        assert not any(
            row[column] for column in ("numerator", "denominator", "value", "expected", "ratio", "lower95", "completeness")
        ), row


async def test_a_hospital_with_hardly_any_children_says_so_without_numbers(site: Site) -> None:
    page = (await site.get("", "/public/ZA7")).text
    assert "We do not show the numbers of this hospital." in page and "Too few children to tell" in page
    assert "We know how" not in page and 'id="bar' not in page and 'id="array' not in page


@pytest.mark.parametrize("ods", HOSPITALS)
async def test_both_frames_are_told(site: Site, ods: str) -> None:
    page = (await site.get("", f"/public/{ods}")).text
    row = next(row for row in await _rows(site) if row.hospital == ods)
    count = words.of_hundred(row)
    if count is None:
        assert "did not do well." not in _body(page)
        return
    assert f"{count} of 100 children did well. {100 - count} did not do well." in page
    assert page.count('href="#array-a"') == count and page.count('href="#array-b"') == 100 - count


@pytest.mark.parametrize("measure", WORDINGS)
async def test_the_dot_lies_outside_the_bar_exactly_where_the_words_say_so(site: Site, measure: str) -> None:
    outside = judged = 0
    for whole in await _rows(site, SYSTEM, measure):
        for row in (whole, *whole.strata):
            shares = words.expected_shares(row)
            if row.proportion is None or shares is None or row.band_code in ("too-few", ""):
                continue
            low, high, lowest, highest = shares
            judged += 1
            outside += row.signal != ""
            assert (low - 1e-9 <= row.proportion <= high + 1e-9) == (row.signal == ""), row
            assert (lowest - 1e-9 <= row.proportion <= highest + 1e-9) == (row.signal != "alarm"), row
            assert lowest <= low <= high <= highest
    assert judged > 20 and outside > 0


async def test_the_file_says_what_its_columns_hold(site: Site) -> None:
    answer = await site.get("", "/public/figures.csv")
    assert 'rel="describedby"' in answer.headers["link"]
    described = (await site.get("", "/public/figures.csv-metadata.json")).json()
    assert described["url"] == "figures.csv"
    columns = [column["name"] for column in described["tableSchema"]["columns"]]
    assert columns == next(csv.reader(io.StringIO(answer.text)))
    assert json.dumps(described).count("dc:description") == len(columns)


@pytest.mark.parametrize("url", ["/public/QQQ", "/public/ZA3?measure=x", "/public/<script>"])
async def test_what_is_not_there_is_a_page_that_says_so(site: Site, url: str) -> None:
    answer = await site.get("", url)
    assert answer.status_code == 404 and "There is a problem" in answer.text and "<script>" not in answer.text


async def test_nothing_of_a_child_is_public(site: Site) -> None:
    for url in ("/public", "/public/ZA3", "/public/figures.csv"):
        text = (await site.get("", url)).text
        assert CHILD not in text and "case-" not in text.replace("case-mix", "") and "child-" not in text


@pytest.mark.parametrize("measure", WORDINGS)
@pytest.mark.parametrize("path", ["", "/ZA3", "/ZA7"])
async def test_an_eleven_year_old_can_read_it(site: Site, path: str, measure: str) -> None:
    page = (await site.get("", f"/public{path}?measure={measure}")).text
    assert reading_age(_plain(page)) <= 11.0


@pytest.mark.parametrize("url", ["/", "/sign-in"])
async def test_so_are_the_doors(site: Site, url: str) -> None:
    assert reading_age(_plain((await site.get("", url)).text)) <= 11.0


async def test_reading_age_tells_plain_from_official() -> None:
    plain = "The dog ran to the park. It was a hot day. We had a lot of fun."
    official = (
        "Risk-adjusted institutional performance indicators necessitate sophisticated statistical interpretation, considering "
        "heterogeneous populations and unavoidable methodological limitations."
    )
    assert reading_age(plain) < 8 and reading_age(official) > 18


def _plain(page: str) -> str:
    """The words a reader meets in sentences: without charts, tables, menus and the list of versions; names of hospitals are one word."""
    text = _body(page)
    for part in ("svg", "table", "nav", "details"):
        text = re.sub(rf"<{part}\b.*?</{part}>", " ", text, flags=re.S)
    text = re.sub(r"<h3.*?</h3>|<h1.*?</h1>", " ", text, flags=re.S)
    text = re.sub(r"</(p|li|h2|figcaption)>", ". ", text)
    return unescape(re.sub(r"<[^>]+>", " ", text))


def reading_age(text: str) -> float:
    """The age at which a child can read it: Flesch and Kincaid's grade, and five."""
    sentences = [each for each in re.split(r"[.!?]+", text) if re.search("[A-Za-z]", each)]
    found = re.findall(r"[A-Za-z]+|\d+", " ".join(sentences))
    syllables = sum(_syllables(word.lower()) for word in found)
    return 0.39 * len(found) / len(sentences) + 11.8 * syllables / len(found) - 15.59 + 5


def _syllables(word: str) -> int:
    if word.isdigit():
        return len(word)
    count = len(re.findall(r"[aeiouy]+", word))
    if word.endswith("e") and not word.endswith(("le", "ee")) and count > 1:
        count -= 1
    if word.endswith("ed") and not word.endswith(("ted", "ded")) and count > 1:
        count -= 1
    return max(count, 1)

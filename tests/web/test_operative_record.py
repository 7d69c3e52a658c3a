"""Between the questionnaire and the form: what is typed, what is shown, what the style sheet hides."""

import re
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app import names
from app.clock import LONDON
from app.fhir.errors import NotFound
from app.forms.entry import respond
from app.forms.items import first
from app.web.operative_record import fields
from app.web.operative_record.style import style
from app.web.static.build import prune
from tests.forms.records import questionnaire, values

FORM = questionnaire("oesophageal-atresia")


def typed_back(**given: str) -> tuple[dict[str, Any], list[str]]:
    response, issues = fields.answered(FORM, {link.replace("_", "-"): [text] for link, text in given.items()}, status="completed")
    return response, [issue.diagnostics for issue in issues]


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("2024-01-05T09:30", "2024-01-05T09:30:00+00:00"),
        ("2024-07-05T09:30", "2024-07-05T09:30:00+01:00"),
        ("2024-07-05 09:30:15", "2024-07-05T09:30:00+01:00"),
        ("5/7/2024 9:30", "2024-07-05T09:30:00+01:00"),
        ("05/07/2024, 09.30", "2024-07-05T09:30:00+01:00"),
        ("2024-10-27T01:30", "2024-10-27T01:30:00+01:00"),
    ],
)
def test_times_are_londons(text: str, stored: str) -> None:
    response, issues = typed_back(performed=text)
    assert (first(response, "performed"), issues) == (stored, [])


@pytest.mark.parametrize(
    ("link", "text", "part"),
    [
        ("performed", "2024-02-30T09:30", "real date and time"),
        ("performed", "yesterday", "real date and time"),
        ("performed", "2024-03-31T01:30", "did not exist"),
        ("blood_loss", "5 ml", "whole number"),
        ("blood_loss", "1e3", "whole number"),
        ("blood_loss", "9" * 30, "whole number"),
        ("first_operation", "maybe", "Choose one of those listed"),
        ("urgency", "<script>", "Choose one of those listed"),
        ("procedure", "Z99.9", "Choose one of those listed"),
    ],
)
def test_what_means_nothing_is_told_in_a_sentence(link: str, text: str, part: str) -> None:
    _, issues = typed_back(**{link: text})
    assert len(issues) == 1
    assert part in issues[0]


@pytest.mark.parametrize("text", ["x", "NaN", "Infinity", "1" * 40])
def test_a_decimal_is_a_number(text: str) -> None:
    _, issues = typed_back(gap="gap-short", gap_bodies=text)
    assert issues == ["“Gap, in vertebral bodies” must be a number, such as 2.5."]
    assert typed_back(gap="gap-not-measured", gap_bodies=text)[1] == [], "nobody can mend what is not shown"


def test_typing_and_storing_are_each_others_inverse(condition: str) -> None:
    form = questionnaire(condition)
    response = respond(form, values(condition))
    again, issues = fields.answered(form, fields.typed(form, response), status="completed")
    assert issues == []
    for item in ("performed", "birth-weight", "procedure", "instructions", "first-operation"):
        if item == "performed":
            assert datetime.fromisoformat(first(again, item)) == datetime.fromisoformat(first(response, item)).astimezone(LONDON)
        else:
            assert first(again, item) == first(response, item)


@pytest.fixture(params=names.CONDITIONS)
def condition(request: pytest.FixtureRequest) -> str:
    return request.param


LINKS = sorted(fields.form(FORM).by_link)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from(LINKS), st.lists(st.text(max_size=20), min_size=1, max_size=3), max_size=12))
def test_no_form_post_can_break_the_reading(sent: dict[str, list[str]]) -> None:
    response, issues = fields.answered(
        FORM, {link: [text for text in texts if text] for link, texts in sent.items()}, status="completed"
    )
    assert response["resourceType"] == "QuestionnaireResponse"
    assert all(issue.diagnostics for issue in issues)
    fields.sections(FORM, sent, {})


def test_every_question_has_a_field_and_every_condition_its_words(condition: str) -> None:
    form = questionnaire(condition)
    shown = {field.link: field for section in fields.sections(form, {}, {}) for field in section.fields}
    indexed = fields.form(form).by_link
    assert set(shown) == {link for link, item in indexed.items() if item.type not in ("group", "display")}
    for link, field in shown.items():
        hidden = any("enableWhen" in at.json for at in (indexed[link], *indexed[link].ancestors()))
        assert bool(field.only_if) is hidden, link
    assert shown["gestation"].only_if == "First operation is “Yes”; or Record the child now is “Yes”"
    assert shown["procedure-other"].only_if == "Main procedure is “Another procedure”"


def test_the_style_sheet_shows_what_the_server_would_ask(condition: str) -> None:
    sheet = style(condition).decode()
    assert sheet.startswith("@supports selector(:has(*)){")
    assert sheet.count("{") == sheet.count("}")
    by_link = fields.form(questionnaire(condition)).by_link
    hidden = {
        link
        for link, item in by_link.items()
        if item.type not in ("group", "display") and any("enableWhen" in at.json for at in (item, *item.ancestors()))
    }
    assert set(re.findall(r"#if-([a-z-]+)", sheet)) == hidden


def test_a_question_behind_a_question_needs_both() -> None:
    rule = next(rule for rule in style("hirschsprungs-disease").decode().split("}") if "#if-cuff" in rule)
    assert rule.count('"technique-soave"') == 2 * rule.count("#if-cuff")
    assert rule.count('"stage-pull-through"') == rule.count('"stage-redo"') == 2


def test_there_is_no_style_for_a_condition_that_is_not() -> None:
    with pytest.raises(NotFound):
        style("headache")


def test_pruning_keeps_the_components_of_pages_and_joins_media_queries() -> None:
    css = (
        '@charset "UTF-8";@font-face{font-family:x;src:url(https://x)}.nhsuk-button,.nhsuk-hero{a:b}.nhsuk-tabs__x{c:d}'
        "@media print{.nhsuk-hero{e:f}}@media print{.nhsuk-input{g:h}}@media print{body{i:j}}"
    )
    assert prune(css) == ".nhsuk-button{a:b}@media print{.nhsuk-input{g:h}body{i:j}}"

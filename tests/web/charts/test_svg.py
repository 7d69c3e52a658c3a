"""What charts are made of: scales, ticks, text that cannot break out, names for those who cannot see."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from app.web.charts.svg import Scale, drawing, element, percent_domain, text, ticks


def test_text_and_values_are_escaped_and_numbers_short() -> None:
    assert (
        str(element("text", "<b>&", x=1.04, y=-0.01, font_size=13.0)) == '<text x="1" y="0" font-size="13">&lt;b&gt;&amp;</text>'
    )
    assert str(element("g", id='"><script>')) == '<g id="&#34;&gt;&lt;script&gt;"/>'


def test_a_drawing_has_a_name_and_says_what_it_shows() -> None:
    root = etree.fromstring(str(drawing("c", "A & B", "Two <things>", 10, 20, [text(1, 2, "x")])))
    space = "{http://www.w3.org/2000/svg}"
    assert root.get("role") == "img" and root.get("viewBox") == "0 0 10 20"
    assert root.get("aria-labelledby").split() == [root.find(f"{space}title").get("id"), root.find(f"{space}desc").get("id")]
    assert (root.find(f"{space}title").text, root.find(f"{space}desc").text) == ("A & B", "Two <things>")


def test_a_scale_keeps_what_lies_outside_at_the_edge() -> None:
    scale = Scale(0, 10, 100, 200)
    assert [scale(value) for value in (-5, 0, 5, 10, 99)] == [100, 100, 150, 200, 200]
    assert Scale(0, 1, 200, 0)(0.25) == 150


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0, 130, [0, 50, 100]),
        (-2.1, 2.1, [-2, -1, 0, 1, 2]),
        (3, 3, [3]),
        (0.5, 0.9, [0.5, 0.6, 0.7, 0.8, 0.9]),
    ],
)
def test_ticks_are_round(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == expected


@settings(max_examples=60)
@given(st.floats(-1e4, 1e4), st.floats(1e-3, 1e4))
def test_ticks_lie_inside_and_are_few(low: float, span: float) -> None:
    found = ticks(low, low + span)
    assert len(found) <= 6 and found == sorted(set(found))
    assert all(low - 1e-6 * span - 1e-9 <= tick <= low + span + 1e-6 * span + 1e-9 for tick in found)


@settings(max_examples=60)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=9))
def test_a_domain_holds_its_values_and_is_wide_enough_to_be_honest(values: list[float]) -> None:
    low, high = percent_domain(values)
    assert 0 <= low <= min(values) and max(values) <= high <= 1
    assert high - low >= 0.399

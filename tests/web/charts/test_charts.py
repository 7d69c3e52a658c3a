"""The charts as text: marks stand where the numbers say, labels do not collide, nothing can run."""

import re
from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree
from markupsafe import Markup

from app.web.charts import Point, funnel, icons, range_bar, trend
from app.web.charts.funnel import LETTER

SPACE = "{http://www.w3.org/2000/svg}"


def parsed(chart: Markup) -> etree._Element:
    root = etree.fromstring(str(chart))
    ids = [each.get("id") for each in root.iter() if each.get("id")]
    assert len(ids) == len(set(ids))
    assert not [
        each for each in root.iter() if each.tag in (f"{SPACE}script", f"{SPACE}style") or each.get("style") or each.get("onload")
    ]
    sizes = [float(each.get("font-size")) for each in root.iter(f"{SPACE}text")]
    assert not sizes or min(sizes) >= 12
    width, height = (float(size) for size in root.get("viewBox").split()[2:])
    for each in root.iter(f"{SPACE}text", f"{SPACE}circle"):
        x, y = (float(each.get(name) or each.get(f"c{name}")) for name in ("x", "y"))
        assert 0 <= x <= width and 0 <= y <= height
    return root


def test_the_dot_stands_where_the_share_is() -> None:
    root = parsed(range_bar("b", "t", "d", value=0.5, limits=(0.6, 0.8, 0.55, 0.9), domain=(0.4, 1.0)))
    extended, expected = root.findall(f"{SPACE}rect")
    dot = float(root.find(f"{SPACE}circle").get("cx"))
    start, width = (float(expected.get(name)) for name in ("x", "width"))
    outer, outer_width = (float(extended.get(name)) for name in ("x", "width"))
    per_share = width / 0.2
    assert dot == pytest.approx(start - 0.1 * per_share, abs=0.2)
    assert outer == pytest.approx(start - 0.05 * per_share, abs=0.2) and outer_width == pytest.approx(0.35 * per_share, abs=0.2)
    assert "50%" in [each.text for each in root.iter(f"{SPACE}text")]


@pytest.mark.parametrize("filled", [0, 1, 73, 100])
def test_icons_are_counted(filled: int) -> None:
    uses = [each.get("href") for each in parsed(icons("i", "t", "d", filled=filled)).iter(f"{SPACE}use")]
    assert uses == ["#i-a"] * filled + ["#i-b"] * (100 - filled)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 900), st.floats(0, 3)), min_size=1, max_size=30), st.floats(0.02, 0.98))
def test_funnel_marks_are_all_there_and_labels_touch_nothing(hospitals: list[tuple[int, float]], target: float) -> None:
    points = [Point(cases, ratio, f"Z{number:02d}", number == 0) for number, (cases, ratio) in enumerate(hospitals)]
    root = parsed(funnel("f", "t", "d", points, target=target))
    marks = [(float(each.get("cx")), float(each.get("cy"))) for each in root.iter(f"{SPACE}circle")]
    assert len(marks) == len(points) - 1
    labels = [each for each in root.iter(f"{SPACE}text") if re.fullmatch(r"Z\d\d", each.text or "")]
    boxes = [(float(each.get("x")), float(each.get("y")) - 4.5) for each in labels]
    for at, (x, y) in enumerate(boxes):
        assert not any(abs(x - cx) < LETTER * 1.5 and abs(y - cy) < 12 for cx, cy in marks)
        assert not any(abs(x - ox) < 3 * LETTER and abs(y - oy) < 14 for ox, oy in boxes[:at])
    assert len(labels) == len(points) or len(points) > 3


def test_the_funnel_closes_in_and_the_own_mark_is_no_matter_of_colour() -> None:
    points = [Point(100, 0.7, "own", True), Point(100, 1.3), Point(400, 1.0)]
    root = parsed(funnel("f", "t", "d", points, target=0.7))
    curves = [each.get("d") for each in root.iter(f"{SPACE}path") if each.get("fill") == "none"]
    assert len(curves) == 4 and sum(bool(each.get("stroke-dasharray")) for each in root.iter(f"{SPACE}path")) == 2
    heights = [[float(y) for y in re.findall(r"[ML][\d.]+ ([\d.]+)", curve)] for curve in curves]
    for height in heights:
        assert height == sorted(height) or height == sorted(height, reverse=True)
    assert len([each for each in root.iter(f"{SPACE}path") if each.get("fill") != "none"]) == 1
    assert len(list(root.iter(f"{SPACE}circle"))) == 2


def test_the_trend_steps_by_day_and_ends_at_the_last_sum() -> None:
    start = date(2022, 1, 1)
    points = [(start + timedelta(days=100 * n), excess) for n, excess in enumerate((0.4, -0.2, 3.0), 1)]
    root = parsed(trend("t", "t", "d", points, start=start, end=start + timedelta(days=400), up="more", down="fewer"))
    steps = re.findall(r"[ML]([\d.]+) ([\d.]+)", next(each.get("d") for each in root.iter(f"{SPACE}path")))
    xs, ys = ([float(each) for each in axis] for axis in zip(*steps, strict=True))
    assert xs == sorted(xs) and len(steps) == 2 + 2 * len(points)
    zero, first, second, third = ys[0], ys[2], ys[4], ys[6]
    assert first < zero < second and third == ys[-1] == min(ys)
    assert (zero - third) / (zero - first) == pytest.approx(3.0 / 0.4, rel=0.05)
    texts = [each.text for each in root.iter(f"{SPACE}text")]
    assert "↑ more" in texts and "↓ fewer" in texts and "2023" in texts and "0" in texts

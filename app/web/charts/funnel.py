"""A funnel plot: each hospital's ratio by its number of children, between limits that chance would give.

The curve is a picture, for a hospital of average case mix; the band in words is judged by the exact limits of a hospital's own children. Nothing in it
ranks: hospitals stand by their number of children.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from markupsafe import Markup

from app.statistics.arrays import Floats
from app.statistics.funnel import binomial_limit
from app.web.charts.svg import ACCENT, INK, LIGHT, LINE, PAPER, QUIET, Scale, drawing, element, label, line, path, text, ticks

WIDTH, HEIGHT = 560, 380
LEFT, RIGHT, TOP, BOTTOM = 54, 16, 18, 56
FEWEST = 8  # children from which the limits are drawn
LETTER = 7.2  # width of a letter of a label, in units of the drawing


@dataclass(frozen=True, slots=True)
class Point:
    """One hospital: children with a known outcome, observed over expected, and its label ("" for none)."""

    cases: int
    ratio: float
    label: str = ""
    own: bool = False


def funnel(id: str, title: str, description: str, points: Sequence[Point], *, target: float) -> Markup:
    """`target` is the average chance of the event, 0..1: it sets how fast the limits close."""
    most = max(point.cases for point in points) * 1.08 + 2
    sizes, curves = _curves(most, target)
    least = min(point.cases for point in points)
    ratios = [point.ratio for point in points]
    near = [float(np.interp(least, sizes, curves[p])) for p in (0.001, 0.999)]
    low = max(0.0, min(*ratios, near[0], 0.8) - 0.08)
    high = max(*ratios, near[1], 1.2) + 0.08
    x, y = Scale(0, most, LEFT, WIDTH - RIGHT), Scale(low, high, HEIGHT - BOTTOM, TOP)
    parts = [*_axes(x, y)]
    for p, curve in curves.items():
        dash = "5 4" if p in (0.025, 0.975) else ""
        inside = [(x(float(n)), y(float(limit))) for n, limit in zip(sizes, curve, strict=True) if low <= limit <= high]
        if len(inside) > 1:
            parts.append(path(inside, stroke=QUIET, dash=dash))
    parts.append(line(LEFT, y(1.0), WIDTH - RIGHT, y(1.0), stroke=INK))
    placed = [(x(point.cases) - 7, y(point.ratio) - 7, 14.0, 14.0) for point in points]
    for point in sorted(points, key=lambda point: point.own):
        parts.append(_mark(x(point.cases), y(point.ratio), point.own))
    for point in sorted(points, key=lambda point: not point.own):
        if point.label:
            parts += _label(x(point.cases), y(point.ratio), point, placed)
    return drawing(id, title, description, WIDTH, HEIGHT, parts)


@lru_cache(maxsize=64)
def _curves(most: float, target: float) -> tuple[Floats, dict[float, Floats]]:
    """Sizes, and the limits at each as ratios, by probability: without the small waves that whole children make, they only ever close in. 15 ms."""
    sizes = np.unique(np.geomspace(FEWEST, max(most, FEWEST + 1), 80))
    curves = {}
    for p in (0.001, 0.025, 0.975, 0.999):
        limit = binomial_limit(sizes, target, p) / target
        curves[p] = np.asarray(np.maximum.accumulate(limit) if p < 0.5 else np.minimum.accumulate(limit))
    return sizes, curves


def _axes(x: Scale, y: Scale) -> list[Markup]:
    parts = [line(x.start, y.start, x.end, y.start, stroke=LINE)]
    for tick in ticks(y.low, y.high, 7):
        parts.append(line(x.start, y(tick), x.end, y(tick), stroke=LIGHT))
        parts.append(text(x.start - 6, y(tick) + 4, f"{tick:g}", anchor="end", fill=QUIET))
    for tick in ticks(0, x.high, 8):
        parts.append(line(x(tick), y.start, x(tick), y.start + 4))
        parts.append(text(x(tick), y.start + 18, f"{tick:g}", fill=QUIET))
    parts.append(text((x.start + x.end) / 2, HEIGHT - 14, "Children with a known outcome"))
    middle = (y.start + y.end) / 2
    parts.append(
        element(
            "text",
            "Observed over expected",
            x=14,
            y=middle,
            font_size=13,
            text_anchor="middle",
            fill=INK,
            transform=f"rotate(-90 14 {middle:.0f})",
        )
    )
    return parts


def _mark(x: float, y: float, own: bool) -> Markup:
    if own:
        return element("path", d=f"M{x:.1f} {y - 9:.1f}l9 9l-9 9l-9-9z", fill=ACCENT, stroke=PAPER, stroke_width=2)
    return element("circle", cx=x, cy=y, r=5, fill=PAPER, stroke=INK, stroke_width=1.8)


def _label(x: float, y: float, point: Point, placed: list[tuple[float, float, float, float]]) -> list[Markup]:
    """The label where it touches nothing, with a line to its mark where it had to go far; none where there is no such place."""
    width, height = LETTER * len(point.label) + 4, 15.0
    for far in (12.0, 22.0, 34.0):
        for dx, dy in ((1, 0), (-1, 0), (0, -1), (0, 1), (0.8, -0.8), (-0.8, -0.8), (0.8, 0.8), (-0.8, 0.8)):
            cx, cy = x + dx * (far + (width / 2 if dx else 0)), y + dy * far
            box = (cx - width / 2, cy - height / 2, width, height)
            inside = box[0] >= LEFT and box[0] + width <= WIDTH and box[1] >= 0 and box[1] + height <= HEIGHT - BOTTOM
            if inside and not any(_overlap(box, other) for other in placed):
                placed.append(box)
                to_mark = [line(x, y, cx - dx * width / 2, cy, stroke=QUIET)] if far > 12 else []
                return [*to_mark, label(cx, cy + 4.5, point.label, weight="bold" if point.own else "")]
    return []


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] < b[0] + b[2] and b[0] < a[0] + a[2] and a[1] < b[1] + b[3] and b[1] < a[1] + a[3]

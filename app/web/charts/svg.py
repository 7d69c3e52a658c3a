"""Elements, scales and ticks: what every chart is made of."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

INK, QUIET, LINE, PAPER = "#212b32", "#4c6272", "#768692", "#ffffff"
DARK, LIGHT, ACCENT = "#7f9cb5", "#dbe5ee", "#005eb8"


def element(name: str, content: str | Markup = "", **attributes: object) -> Markup:
    """One element. `stroke_width` becomes `stroke-width`; numbers are written short; text content and values are escaped."""
    written = "".join(f' {key.strip("_").replace("_", "-")}="{_value(value)}"' for key, value in attributes.items())
    return Markup(f"<{name}{written}>{escape(content)}</{name}>" if content else f"<{name}{written}/>")  # noqa: S704


def text(
    x: float, y: float, content: str, *, size: float = 13, anchor: str = "middle", fill: str = INK, weight: str = ""
) -> Markup:
    """A line of text on its baseline."""
    more = {"font_weight": weight} if weight else {}
    return element("text", content, x=x, y=y, font_size=size, text_anchor=anchor, fill=fill, **more)


def label(x: float, y: float, content: str, *, weight: str = "") -> Markup:
    """Text with a rim of paper, so that it can be read where it crosses a line."""
    rim = {
        "stroke": PAPER,
        "stroke_width": 4,
        "stroke_linejoin": "round",
        "paint_order": "stroke",
        **({"font_weight": weight} if weight else {}),
    }
    return element("text", content, x=x, y=y, font_size=13, text_anchor="middle", fill=INK, **rim)


def line(x1: float, y1: float, x2: float, y2: float, *, stroke: str = LINE, width: float = 1, dash: str = "") -> Markup:
    """A straight line."""
    more = {"stroke_dasharray": dash} if dash else {}
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, stroke=stroke, stroke_width=width, **more)


def path(points: Iterable[tuple[float, float]], *, stroke: str, width: float = 1.5, dash: str = "") -> Markup:
    """An open line through points."""
    steps = "L".join(f"{_value(x)} {_value(y)}" for x, y in points)
    more = {"stroke_dasharray": dash} if dash else {}
    return element("path", d=f"M{steps}", fill="none", stroke=stroke, stroke_width=width, stroke_linejoin="round", **more)


def drawing(id: str, title: str, description: str, width: int, height: int, parts: Iterable[Markup]) -> Markup:
    """The whole: one image to a screen reader, with its name and what it shows. `id` is unique on the page."""
    head = element("title", title, id=f"{id}-title") + element("desc", description, id=f"{id}-desc")
    attributes = {
        "xmlns": "http://www.w3.org/2000/svg",
        "class_": "csor-chart",
        "role": "img",
        "aria_labelledby": f"{id}-title {id}-desc",
        "viewBox": f"0 0 {width} {height}",
        "width": width,
        "height": height,
        "font_family": "Arial, sans-serif",
    }
    return element("svg", head + Markup("").join(parts), **attributes)


@dataclass(frozen=True, slots=True)
class Scale:
    """From `low`..`high` of the data to `start`..`end` of the drawing; what lies outside is drawn at the edge."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers between `low` and `high`, at most `most` of them, in steps of 1, 2 or 5."""
    span = high - low
    if span <= 0:
        return [low]
    power = 10.0 ** math.floor(math.log10(span / most))
    step = next(power * m for m in (1, 2, 5, 10, 20) if span / (power * m) <= most - 1)
    first = math.ceil(low / step - 1e-9)
    return [round(step * n, 10) for n in range(first, math.floor(high / step + 1e-9) + 1)]


def percent_domain(values: Sequence[float]) -> tuple[float, float]:
    """A stretch of 0..1 in whole tenths around `values`, at least four tenths wide."""
    low, high = math.floor(min(values) * 10) / 10, math.ceil(max(values) * 10) / 10
    while high - low < 0.399:
        low, high = max(0.0, low - 0.1), min(1.0, high + (0.1 if low <= 0 else 0.0))
    return round(low, 1), round(high, 1)


def _value(value: object) -> str:
    if isinstance(value, float):
        short = f"{value:.1f}".removesuffix(".0")
        return "0" if short == "-0" else short
    return str(escape(value))

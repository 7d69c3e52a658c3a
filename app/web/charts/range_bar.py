"""A dot on a bar: what happened, on the range that was expected. The display that parents understood best in published tests."""

from collections.abc import Sequence

from markupsafe import Markup

from app.web.charts.svg import DARK, INK, LIGHT, LINE, PAPER, QUIET, Scale, drawing, element, line, text, ticks

WIDTH, HEIGHT, EDGE = 320, 72, 18
TOP, THICK = 22, 20


def range_bar(
    id: str, title: str, description: str, *, value: float, limits: Sequence[float], domain: tuple[float, float]
) -> Markup:
    """`value` and `limits` (2.5, 97.5, 0.1 and 99.9 %) are shares 0..1, drawn over `domain`: the same for all bars that are seen together."""
    x = Scale(*domain, EDGE, WIDTH - EDGE)
    low, high, lowest, highest = (x(limit) for limit in limits)
    middle = TOP + THICK / 2
    base = TOP + THICK + 6
    parts = [
        element("rect", x=lowest, y=TOP + 3, width=max(highest - lowest, 2), height=THICK - 6, fill=LIGHT, stroke=LINE),
        element("rect", x=low, y=TOP, width=max(high - low, 2), height=THICK, fill=DARK, stroke=INK),
        element("circle", cx=x(value), cy=middle, r=7, fill=INK, stroke=PAPER, stroke_width=2),
        text(x(value), TOP - 7, f"{100 * value:.0f}%", size=14, weight="bold"),
        line(x.start, base, x.end, base),
    ]
    for tick in ticks(*domain, 6):
        parts.append(line(x(tick), base, x(tick), base + 4))
        parts.append(text(x(tick), base + 18, f"{100 * tick:.0f}%", size=12, fill=QUIET))
    return drawing(id, title, description, WIDTH, HEIGHT, parts)

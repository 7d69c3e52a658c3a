"""A hundred children: so many of them, and so many not. Solid or hollow, so that no colour is needed."""

from markupsafe import Markup

from app.web.charts.svg import ACCENT, LINE, PAPER, drawing, element

COLUMNS, STEP_X, STEP_Y = 20, 16, 26


def icons(id: str, title: str, description: str, *, filled: int, of: int = 100) -> Markup:
    """`filled` of `of` children, row by row."""
    rows = -(-of // COLUMNS)
    parts = []
    for kind, fill, stroke in (("a", ACCENT, ACCENT), ("b", PAPER, LINE)):
        body = element("circle", cx=7, cy=5, r=3.2) + element("path", d="M3 22v-8a4 4 0 0 1 8 0v8z")
        parts.append(element("defs", element("g", body, id=f"{id}-{kind}", fill=fill, stroke=stroke, stroke_width=1.4)))
    for number in range(of):
        kind = "a" if number < filled else "b"
        x, y = number % COLUMNS * STEP_X + 1, number // COLUMNS * STEP_Y + 1
        parts.append(element("use", href=f"#{id}-{kind}", x=x, y=y))
    return drawing(id, title, description, COLUMNS * STEP_X, rows * STEP_Y, parts)

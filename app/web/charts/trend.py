"""How outcomes add up: observed less expected, child after child. Level is as expected; a long slope is not."""

from collections.abc import Sequence
from datetime import date

from markupsafe import Markup

from app.web.charts.svg import ACCENT, INK, LIGHT, QUIET, Scale, drawing, element, line, path, text, ticks

WIDTH, HEIGHT = 560, 260
LEFT, RIGHT, TOP, BOTTOM = 52, 16, 28, 34


def trend(
    id: str, title: str, description: str, points: Sequence[tuple[date, float]], *, start: date, end: date, up: str, down: str
) -> Markup:
    """`points` are (day, sum of observed less expected so far), by day; `up` and `down` say what each direction means."""
    reach = max(3.0, *(abs(excess) for _, excess in points)) * 1.05
    x = Scale(start.toordinal(), end.toordinal(), LEFT, WIDTH - RIGHT)
    y = Scale(-reach, reach, HEIGHT - BOTTOM, TOP)
    parts = []
    for tick in ticks(-reach, reach, 6):
        parts.append(line(LEFT, y(tick), WIDTH - RIGHT, y(tick), stroke=INK if tick == 0 else LIGHT))
        parts.append(text(LEFT - 6, y(tick) + 4, f"{tick:+g}" if tick else "0", anchor="end", fill=QUIET))
    for year in range(start.year + (start > date(start.year, 1, 1)), end.year + 1):
        at = x(date(year, 1, 1).toordinal())
        parts.append(line(at, TOP, at, HEIGHT - BOTTOM, stroke=LIGHT))
        parts.append(text(at, HEIGHT - BOTTOM + 18, str(year), fill=QUIET))
    corners: list[tuple[float, float]] = [(x.start, y(0.0))]
    for day, excess in points:
        at = x(day.toordinal())
        corners += [(at, corners[-1][1]), (at, y(excess))]
    corners.append((x.end, corners[-1][1]))
    parts.append(path(corners, stroke=ACCENT, width=2.5))
    parts.append(element("circle", cx=corners[-1][0], cy=corners[-1][1], r=4, fill=ACCENT))
    parts.append(text(LEFT + 4, TOP - 10, f"↑ {up}", anchor="start", fill=QUIET))
    parts.append(text(LEFT + 4, HEIGHT - BOTTOM - 6, f"↓ {down}", anchor="start", fill=QUIET))
    return drawing(id, title, description, WIDTH, HEIGHT, parts)

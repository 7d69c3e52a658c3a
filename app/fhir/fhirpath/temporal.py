"""Dates, times and moments as FHIRPath knows them: with the precision that was written, and three-valued comparison.

`parts` holds year, month, day, hour, minute, second as far as given; seconds carry their fraction and count as one precision.
Against a moment with a zone, one without has an order only if they are days apart.
"""

import calendar
import re
from datetime import datetime, timedelta
from decimal import Decimal

_FORMS = {
    "Date": re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d))?)?\Z"),
    "DateTime": re.compile(
        r"(\d{4})(?:-(\d\d)(?:-(\d\d))?)?(?:T(?:(\d\d)(?::(\d\d)(?::(\d\d(?:\.\d+)?))?)?)?(Z|[+-]\d\d:\d\d)?)?\Z",
    ),
    "Time": re.compile(r"T?(\d\d)(?::(\d\d)(?::(\d\d(?:\.\d+)?))?)?\Z"),
}
Part = int | Decimal


class Temporal:
    """A Date, DateTime or Time. `zone` is minutes east of UTC, None where none was given."""

    __slots__ = ("kind", "parts", "text", "zone")

    def __init__(self, kind: str, parts: tuple[Part, ...], zone: int | None = None, text: str = "") -> None:
        self.kind = kind
        self.parts = parts
        self.zone = zone
        self.text = text or _write(kind, parts, zone)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"@{'T' if self.kind == 'Time' else ''}{self.text}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Temporal) and comparable(self, other) and compare(self, other) == 0

    def __hash__(self) -> int:
        return hash(_in_utc(self)[:3] if self.kind != "Time" else self.parts[:1])


def parse_temporal(text: str, kind: str) -> Temporal | None:
    """None unless `text` is a day or time that exists."""
    match = _FORMS[kind].match(text)
    if match is None:
        return None
    groups = list(match.groups())
    zone = _zone(groups.pop()) if kind == "DateTime" else None
    parts: list[Part] = []
    for place, group in enumerate(groups):
        if group is None:
            break
        parts.append(Decimal(group) if place == len(groups) - 1 and kind != "Date" else int(group))
    return Temporal(kind, tuple(parts), zone, text) if _exists(kind, parts) else None


def _zone(text: str | None) -> int | None:
    if text is None or text == "Z":
        return None if text is None else 0
    minutes = int(text[1:3]) * 60 + int(text[4:6])
    return -minutes if text[0] == "-" else minutes


def _exists(kind: str, parts: list[Part]) -> bool:
    clock = parts if kind == "Time" else parts[3:]
    if kind != "Time":
        year, month, day = (*(int(part) for part in parts[:3]), 1, 1)[:3] if len(parts) < 3 else (int(p) for p in parts[:3])
        if not (year >= 1 and 1 <= month <= 12 and 1 <= day <= calendar.monthrange(year, month)[1]):
            return False
    return all(part < limit for part, limit in zip(clock, (24, 60, 61), strict=False))


def _write(kind: str, parts: tuple[Part, ...], zone: int | None) -> str:
    days = [] if kind == "Time" else [f"{parts[0]:04d}", *(f"{part:02d}" for part in parts[1:3])]
    clock = parts if kind == "Time" else parts[3:]
    text = "-".join(days)
    if clock:
        seconds = [] if len(clock) < 3 else [f"{clock[2]:02d}" if isinstance(clock[2], int) else _seconds(clock[2])]
        text += ("" if kind == "Time" else "T") + ":".join([*(f"{part:02d}" for part in clock[:2]), *seconds])
    if zone is not None and kind == "DateTime":
        text += "Z" if zone == 0 else f"{'-' if zone < 0 else '+'}{abs(zone) // 60:02d}:{abs(zone) % 60:02d}"
    return text


def _seconds(value: Decimal) -> str:
    text = f"{value:f}"
    return text if len(text.partition(".")[0]) == 2 else "0" + text


def from_datetime(moment: datetime) -> Temporal:
    """To the millisecond, with its zone."""
    offset = moment.utcoffset()
    seconds = Decimal(moment.second * 1000 + moment.microsecond // 1000).scaleb(-3)
    parts = (moment.year, moment.month, moment.day, moment.hour, moment.minute, seconds)
    return Temporal("DateTime", parts, None if offset is None else int(offset.total_seconds()) // 60)


def _in_utc(value: Temporal) -> tuple[Part, ...]:
    if not value.zone or len(value.parts) < 5:
        return value.parts
    year, month, day, hour, minute = (int(part) for part in value.parts[:5])
    try:
        moved = datetime(year, month, day, hour, minute) - timedelta(minutes=value.zone)  # noqa: DTZ001 - zone taken off here
    except OverflowError:
        return value.parts
    return (moved.year, moved.month, moved.day, moved.hour, moved.minute, *value.parts[5:])


def comparable(left: Temporal, right: Temporal) -> bool:
    """Times compare with times, days and moments with each other."""
    return (left.kind == "Time") == (right.kind == "Time")


def compare(left: Temporal, right: Temporal) -> int | None:
    """-1, 0, 1, or None where the coarser precision leaves it open. Both must be comparable."""
    first, second = left.parts, right.parts
    if left.zone != right.zone:
        if (left.zone is None or right.zone is None) and left.kind != "Time" and min(len(first), len(second)) > 3:
            return _compare_days(left, right)
        first, second = _in_utc(left), _in_utc(right)
    for mine, theirs in zip(first, second, strict=False):
        if mine != theirs:
            return -1 if mine < theirs else 1
    return 0 if len(first) == len(second) else None


def _compare_days(left: Temporal, right: Temporal) -> int | None:
    """One has a zone, the other none: only days that no zone can bring together have an order."""
    days = [datetime(*(int(part) for part in side.parts[:3])).toordinal() for side in (left, right)]  # type: ignore[arg-type]  # noqa: DTZ001
    return None if abs(days[0] - days[1]) < 2 else -1 if days[0] < days[1] else 1


def shift(value: Temporal, amount: Decimal, unit: str) -> Temporal | None:
    """`value` moved by whole calendar units (fractions only of seconds), at the precision it has. None where time ends."""
    if value.kind == "Time":
        return _shift_time(value, amount, unit)
    if unit in ("year", "month"):
        return _shift_months(value, int(amount) * (12 if unit == "year" else 1))
    step = _as_delta(amount, unit)
    precision = len(value.parts)
    if precision < 3:  # a month moves by whole months, a year by whole years
        return _shift_months(value, int(step.days / (365 if precision == 1 else 30)) * (12 if precision == 1 else 1))
    filled = [int(part) for part in value.parts] + [0] * (6 - precision)
    fraction = Decimal(value.parts[5]) % 1 if precision > 5 else Decimal(0)
    try:
        moved = datetime(*filled[:6]) + step + timedelta(microseconds=int(fraction * 1_000_000))  # type: ignore[arg-type]  # noqa: DTZ001
    except (OverflowError, ValueError):
        return None
    seconds = Decimal(moved.second) + Decimal(moved.microsecond).scaleb(-6)
    places = max(-_exponent(value.parts[5]) if precision > 5 else 0, 3 if moved.microsecond else 0)
    parts = (moved.year, moved.month, moved.day, moved.hour, moved.minute, seconds.quantize(Decimal(1).scaleb(-places)))
    return Temporal(value.kind, parts[:precision], value.zone)


def _exponent(value: Part) -> int:
    exponent = Decimal(value).as_tuple().exponent
    return exponent if isinstance(exponent, int) else 0


def _as_delta(amount: Decimal, unit: str) -> timedelta:
    if unit == "second":
        return timedelta(microseconds=int(amount * 1_000_000))
    if unit == "millisecond":
        return timedelta(microseconds=int(amount * 1_000))
    return timedelta(**{unit + "s": int(amount)})


def _shift_months(value: Temporal, months: int) -> Temporal | None:
    total = int(value.parts[0]) * 12 + (int(value.parts[1]) - 1 if len(value.parts) > 1 else 0) + months
    year, month = total // 12, total % 12 + 1
    if not 1 <= year <= 9999:
        return None
    parts = list(value.parts)
    parts[0] = year
    if len(parts) > 1:
        parts[1] = month
    if len(parts) > 2:
        parts[2] = min(int(parts[2]), calendar.monthrange(year, month)[1])
    return Temporal(value.kind, tuple(parts), value.zone)


def _shift_time(value: Temporal, amount: Decimal, unit: str) -> Temporal | None:
    if unit not in ("hour", "minute", "second", "millisecond"):
        return None
    day = shift(Temporal("DateTime", (2000, 1, 1, *value.parts)), amount, unit)
    return None if day is None else Temporal("Time", day.parts[3:])

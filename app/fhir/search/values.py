"""Text to index values, one way for both halves: what a resource says and what a caller asks go through the same functions.

Dates become half-open ranges of microseconds since 1970 UTC at the precision written (without zone: UTC). Numbers that a resource holds
are exact points; numbers that a caller asks for are the closed range that rounds to them (`5.4` is 5.35 to 5.45), except after
`gt lt ge le sa eb`, which compare with the number itself (R4, search, 3.1.1.4.2).
"""

import re
import unicodedata
from datetime import date
from decimal import Decimal, InvalidOperation
from functools import lru_cache

OPEN = 1 << 62
SECOND = 1_000_000
DAY = 86_400 * SECOND
_EPOCH = date(1970, 1, 1).toordinal()
_DATE = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?(Z|[+-]\d\d:\d\d)?)?)?)?\Z",
    re.ASCII,
)
_NUMBER = re.compile(r"[+-]?\d{1,40}(\.\d{1,40})?([eE][+-]?\d{1,3})?\Z", re.ASCII)


def _start_of(year: int, month: int, day: int) -> int:
    return (date(year, month, day).toordinal() - _EPOCH) * DAY


@lru_cache(maxsize=8192)
def date_range(text: str) -> tuple[int, int] | None:
    """`[low, high)` of a FHIR date, dateTime or instant; None for what is none."""
    match = _DATE.match(text)
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    try:
        if day is None:
            return _month_range(int(year), None if month is None else int(month))
        low = _start_of(int(year), int(month), int(day))
    except ValueError:
        return None
    if hour is None:
        return low, low + DAY
    if int(hour) > 23 or int(minute) > 59 or (second is not None and int(second) > 60):
        return None
    low += (int(hour) * 3600 + int(minute) * 60 + int(second or 0)) * SECOND - _offset(zone)
    if second is None:
        return low, low + 60 * SECOND
    if fraction is None:
        return low, low + SECOND
    digits = fraction[:6]
    step: int = 10 ** (6 - len(digits))
    low += int(digits) * step
    return low, low + step


def _month_range(year: int, month: int | None) -> tuple[int, int]:
    if month is None:
        return _start_of(year, 1, 1), _start_of(year, 12, 31) + DAY
    last = _start_of(year + 1, 1, 1) if month == 12 and year < 9999 else _start_of(year, 12, 31) + DAY
    return _start_of(year, month, 1), last if month == 12 else _start_of(year, month + 1, 1)


def _offset(zone: str | None) -> int:
    if zone is None or zone == "Z":
        return 0
    minutes = int(zone[1:3]) * 60 + int(zone[4:6])
    return (-minutes if zone[0] == "-" else minutes) * 60 * SECOND


@lru_cache(maxsize=8192)
def fold(text: str) -> str:
    """Without accents, case and repeated spaces: how strings are compared."""
    if text.isascii():
        return " ".join(text.lower().split())
    bare = "".join(char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char))
    return " ".join(unicodedata.normalize("NFKD", bare.casefold()).split())


def parse_number(text: str) -> Decimal | None:
    """The decimal as written; None for what is none."""
    if not _NUMBER.match(text):
        return None
    try:
        return Decimal(text)
    except InvalidOperation:
        return None


def number_range(value: Decimal) -> tuple[float, float]:
    """The closed range of numbers that round to `value` at the precision it was written with."""
    exponent = value.as_tuple().exponent
    half = Decimal(5).scaleb((exponent if isinstance(exponent, int) else 0) - 1)
    return float(value - half), float(value + half)


def split(text: str, separator: str) -> list[str]:
    r"""Split at unescaped separators; escapes stay (`a\,b,c` gives `a\,b` and `c`)."""
    if "\\" not in text:
        return text.split(separator)
    parts, part, at = [], "", 0
    while at < len(text):
        if text[at] == "\\" and at + 1 < len(text):
            part += text[at : at + 2]
            at += 2
            continue
        if text[at] == separator:
            parts.append(part)
            part = ""
        else:
            part += text[at]
        at += 1
    return [*parts, part]


def unescape(text: str) -> str:
    r"""`\,` `\|` `\$` `\\` are the characters themselves; any other backslash stays."""
    return re.sub(r"\\([,|$\\])", r"\1", text) if "\\" in text else text


def escape(text: str) -> str:
    """The inverse of `unescape`, for building query values."""
    return re.sub(r"([,|$\\])", r"\\\1", text)

"""The period of an evaluation, with the precision that was written: a year as end means its last day."""

import calendar
import re
from datetime import date
from typing import NamedTuple

from app.fhir.errors import BadRequest

_DAY = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T\S+)?)?)?")


class Period(NamedTuple):
    """Both days belong to it."""

    start: date
    end: date

    @property
    def text(self) -> str:
        """For people and file names."""
        return f"{self.start} to {self.end}"


def period(start: str | date, end: str | date) -> Period:
    """From FHIR dates of any precision. Raises BadRequest for what is no date, or an end before the start."""
    first, last = _bound(start, "periodStart", False), _bound(end, "periodEnd", True)
    if last < first:
        raise BadRequest(f"periodEnd ({last}) lies before periodStart ({first}).")
    return Period(first, last)


def _bound(value: str | date, name: str, end: bool) -> date:
    if isinstance(value, date):
        return value
    match = _DAY.fullmatch(str(value))
    try:
        if match is None:
            raise ValueError
        year, month, day = (int(part) if part else None for part in match.groups())
        assert year is not None
        month = month or (12 if end else 1)
        return date(year, month, day or (calendar.monthrange(year, month)[1] if end else 1))
    except ValueError:
        raise BadRequest(f"'{str(value)[:40]}' is no date for {name}: write 2024, 2024-03 or 2024-03-31.") from None

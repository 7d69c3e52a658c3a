"""HL7v2 times to FHIR, with the precision that was sent.

A day stays that day, whatever the zone. A time without offset is local time of the sender; the hour that comes twice in autumn
is read as its first and flagged, the hour that never comes in spring is flagged too.
"""

import re
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

_TS = re.compile(
    r"(\d{4})(?:-?(\d{2})(?:-?(\d{2})(?:[ T]?(\d{2})(?::?(\d{2})(?::?(\d{2})(?:\.(\d{1,9}))?)?)?)?)?)?(?:([+-])(\d{2}):?(\d{2})|\+)?\Z"
)


class Time(NamedTuple):
    """`text` is a FHIR date or dateTime; `micros` its beginning in microseconds since 1970 UTC; `doubt` a sentence or ""."""

    text: str
    micros: int
    doubt: str = ""

    @property
    def day(self) -> str:
        return self.text[:10]

    @property
    def has_time(self) -> bool:
        return "T" in self.text


@lru_cache(4096)
def read(text: str, zone: str) -> Time | None:
    """A time such as `201010101418`, `20101010`, `2010-10-10 14:18:00` or with an offset. None where it is no time."""
    match = _TS.match(text.strip())
    if not match:
        return None
    year, month, day, hour, minute, second, fraction, sign, off_hours, off_minutes = match.groups()
    try:
        local = datetime(int(year), int(month or 1), int(day or 1), int(hour or 0), int(minute or 0), min(int(second or 0), 59))  # noqa: DTZ001
        if sign:
            offset = timedelta(hours=int(off_hours), minutes=int(off_minutes))
            aware = local.replace(tzinfo=timezone(-offset if sign == "-" else offset))
        else:
            aware = local.replace(tzinfo=ZoneInfo(zone))
        micros = int(aware.timestamp()) * 1_000_000
    except (ValueError, OverflowError):
        return None
    if minute is None:  # an hour without minutes is not claimed to be a time
        return Time("-".join(part for part in (year, month, day) if part), micros)
    doubt = "" if sign else _doubt(local, ZoneInfo(zone))
    shown = aware.isoformat(timespec="seconds")
    if fraction:
        digits = fraction[:6]
        micros += int(digits.ljust(6, "0"))
        shown = f"{shown[:19]}.{digits}{shown[19:]}"
    return Time(shown, micros, doubt)


def _doubt(local: datetime, zone: ZoneInfo) -> str:
    first, second = (local.replace(tzinfo=zone, fold=fold).utcoffset() for fold in (0, 1))
    if first == second:
        return ""
    back = local.replace(tzinfo=zone).astimezone(UTC).astimezone(zone).replace(tzinfo=None)
    if back != local:
        return "This local time does not exist: the clocks went forward"
    return "This local time came twice when the clocks went back; read as the first"

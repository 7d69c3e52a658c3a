"""The one clock. Everything that asks for the time asks here, so that a test can hold it still."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

LONDON = ZoneInfo("Europe/London")


def now() -> datetime:
    """The present moment, in UTC."""
    return datetime.now(UTC)


def today() -> date:
    """The present day in London, where the hospitals are."""
    return datetime.now(LONDON).date()


def micros(moment: datetime | None = None) -> int:
    """Microseconds since 1970 in UTC: the unit in which the stores keep time."""
    moment = moment or now()
    return int(moment.timestamp()) * 1_000_000 + moment.microsecond


def instant(at: int) -> str:
    """A FHIR instant with milliseconds, from microseconds since 1970."""
    return datetime.fromtimestamp(at / 1_000_000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

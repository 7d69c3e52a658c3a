"""Times keep their precision, days stay days, and the odd hours of the year are flagged."""

import pytest

from app.intake.hl7v2.map.times import read

LONDON = "Europe/London"


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("2024", "2024"),
        ("202402", "2024-02"),
        ("20240229", "2024-02-29"),
        ("2024022923", "2024-02-29"),
        ("202407011525", "2024-07-01T15:25:00+01:00"),
        ("20240101152501", "2024-01-01T15:25:01+00:00"),
        ("20240101152501.1234", "2024-01-01T15:25:01.1234+00:00"),
        ("20240701152501+0000", "2024-07-01T15:25:01+00:00"),
        ("20240101152501-0330", "2024-01-01T15:25:01-03:30"),
        ("2024-01-01 15:25:01", "2024-01-01T15:25:01+00:00"),
        ("20240228+", "2024-02-28"),
    ],
)
def test_precision_and_zone(written: str, text: str) -> None:
    time = read(written, LONDON)
    assert time is not None and time.text == text and not time.doubt


@pytest.mark.parametrize(
    "written", ["20240230", "20241301", "2024010125", "yesterday", "", "99999999999", "00000101", "2024010112601"]
)
def test_what_is_no_time_is_none(written: str) -> None:
    assert read(written, LONDON) is None


def test_the_autumn_hour_is_read_as_its_first_and_flagged() -> None:
    time = read("202410270130", LONDON)
    assert time is not None and time.text == "2024-10-27T01:30:00+01:00" and "twice" in time.doubt
    plain = read("202410270130+0000", LONDON)
    assert plain is not None and not plain.doubt and plain.micros - time.micros == 3_600_000_000


def test_the_spring_hour_that_never_was_is_flagged() -> None:
    time = read("202403310130", LONDON)
    assert time is not None and "does not exist" in time.doubt


def test_a_day_is_the_same_day_in_any_zone() -> None:
    assert {getattr(read("20240701", zone), "text", None) for zone in (LONDON, "Pacific/Auckland", "America/New_York")} == {
        "2024-07-01"
    }

from datetime import date

import pytest

from app.fhir.errors import BadRequest
from app.measures.period import period


@pytest.mark.parametrize(
    ("start", "end", "first", "last"),
    [
        ("2022", "2024", date(2022, 1, 1), date(2024, 12, 31)),
        ("2024-02", "2024-02", date(2024, 2, 1), date(2024, 2, 29)),
        ("2023-02-03", "2023-02-03", date(2023, 2, 3), date(2023, 2, 3)),
        ("2023-02-03T10:00:00Z", date(2023, 3, 1), date(2023, 2, 3), date(2023, 3, 1)),
    ],
)
def test_the_precision_that_was_written_is_meant(start: str, end: str, first: date, last: date) -> None:
    assert period(start, end) == (first, last)


@pytest.mark.parametrize(
    ("start", "end"), [("2024", "2023"), ("2024-13", "2025"), ("soon", "2025"), ("2023-02-30", "2024"), ("", "2024")]
)
def test_what_is_no_period_is_refused(start: str, end: str) -> None:
    with pytest.raises(BadRequest):
        period(start, end)

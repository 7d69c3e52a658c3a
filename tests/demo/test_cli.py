"""What a newcomer reads on an ordinary terminal."""

from datetime import date
from io import StringIO

import pytest
from rich.console import Console

from app.demo.cli import _say_what_to_open, _table
from app.demo.nation import HOSPITALS, simulate
from app.demo.report import Report, Row
from app.demo.setting import Cast
from app.measures.comparison import BANDS


def rows() -> list[Row]:
    bands = [*BANDS.values()]
    return [
        Row(ods, name, 1163, 1124, 1081, 1092.4, 0.88, 0.76, 0.98, bands[number % len(bands)])
        for number, (ods, name, *_) in enumerate(HOSPITALS)
    ]


@pytest.mark.parametrize("width", [80, 100, 150])
def test_the_table_cuts_no_word_short(width: int) -> None:
    text = StringIO()
    Console(file=text, width=width).print(_table(Report(rows(), "2022-07-01", "2025-09-26", ""), width))
    told = text.getvalue()
    assert "…" not in told and max(map(len, told.splitlines())) <= width
    words = {word for row in rows() for word in (*row.name.split(), "1081", "1092.4", "0.76", "0.98")}
    assert words <= set(told.split())


def test_what_was_not_compared_has_no_figures() -> None:
    text = StringIO()
    row = Row("ZAA", "Alderbrook", 3, 2, 1, None, None, None, None, "no comparison")
    Console(file=text, width=80).print(_table(Report([row], "2022-07-01", "2025-09-26", ""), 80))
    assert "None" not in text.getvalue() and "to" not in text.getvalue().splitlines()[-3].split()


def test_addresses_and_tokens_are_whole() -> None:
    nation = simulate(date(2026, 11, 23), per_year=24)
    cast = Cast(7, "2026-11-23", passwords={"audit-zgg": "p" * 15, "national": "q" * 15}, tokens={"national": "t" * 60})
    cast.child, cast.link = "c" * 26, "/follow-up/parent_" + "x" * 60
    text = StringIO()
    _say_what_to_open(Console(file=text, width=80), "http://127.0.0.1:8000", cast, nation)
    found = text.getvalue().split()
    base = "http://127.0.0.1:8000"
    for whole in (f"{base}/operative-record?patient={cast.child}", base + cast.link, cast.tokens["national"], f"{base}/fhir"):
        assert whole in found

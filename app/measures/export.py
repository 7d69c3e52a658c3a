"""The tidy CSV that national bodies pull, and its CSVW description. Columns are stable; suppressed figures are empty and say so."""

import csv
from collections.abc import Sequence
from typing import IO, Any

from app.measures.period import Period
from app.measures.table import Row
from app.statistics import intervals

COLUMNS = {
    "organisation_ods_code": ("string", "ODS code of the hospital"),
    "measure_id": ("string", "Measure"),
    "measure_version": ("string", "Version of the measure"),
    "period_start": ("date", "First day of first operations"),
    "period_end": ("date", "Last day of first operations"),
    "stratum": ("string", "Condition; empty for all"),
    "numerator": ("integer", "Children with the event"),
    "denominator": ("integer", "Children with a known outcome"),
    "value": ("decimal", "Proportion with the event"),
    "lower95": ("decimal", "Lower 95 % limit of the proportion (Wilson)"),
    "upper95": ("decimal", "Upper 95 % limit of the proportion"),
    "lower998": ("decimal", "Lower 99.8 % limit of the proportion"),
    "upper998": ("decimal", "Upper 99.8 % limit of the proportion"),
    "expected": ("decimal", "Children expected to have the event, by the case-mix model"),
    "ratio": ("decimal", "Observed over expected"),
    "band": ("string", "Where the result lies against what was expected, in words"),
    "suppressed": (
        "boolean",
        "Whether figures are left out because they are small, or because a small one could be worked out from them",
    ),
    "completeness": ("decimal", "Share of eligible children with a known outcome"),
    "model_version": ("string", "The case-mix model"),
    "published_at": ("date", "Day on which this was made"),
}


def write(file: IO[str], rows: Sequence[Row], measure: str, period: Period, published: str) -> int:
    """Rows and their strata as CSV with a heading; `measure` is `id|version` or a canonical. The number of lines."""
    id, _, version = measure.rpartition("/")[2].partition("|")
    writer = csv.writer(file, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    lines = 0
    for row in (each for whole in rows for each in (whole, *whole.strata)):
        figures = _figures(row)
        head = [row.hospital, id, version, period.start, period.end, row.stratum]
        writer.writerow([*head, *figures, row.band, str(row.suppressed).lower(), _number(row.completeness), row.model, published])
        lines += 1
    return lines


def _figures(row: Row) -> list[Any]:
    if row.suppressed or not row.known or row.observed is None:
        return [row.observed if not row.suppressed else "", row.known if not row.suppressed else "", *[""] * 7]
    limits = [float(end) for level in (0.95, 0.998) for end in intervals.wilson(row.observed, row.known, level)]
    numbers = [row.proportion, *limits, row.expected, row.ratio]
    return [row.observed, row.known, *(_number(number) for number in numbers)]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def metadata(name: str) -> dict[str, Any]:
    """CSVW: what each column of the file `name` holds."""
    columns = [
        {"name": column, "titles": column, "datatype": datatype, "dc:description": text}
        for column, (datatype, text) in COLUMNS.items()
    ]
    return {"@context": "http://www.w3.org/ns/csvw", "url": name, "tableSchema": {"columns": columns}}

"""Files that the pages offer: CSV with its description (CSVW), and charts on their own."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

from markupsafe import Markup
from starlette.responses import JSONResponse, Response

from app.measures import export
from app.web.figures import Figures

_NEVER_KEPT = {"cache-control": "no-store", "x-content-type-options": "nosniff"}


def figures_csv(figures: Figures, name: str) -> Response:
    """The comparison of all hospitals as the reader may see it, in the columns that national bodies pull."""
    file = io.StringIO()
    export.write(file, figures.rows, figures.definition.canonical, figures.period, figures.made.isoformat())
    link = {"link": f'<{name}-metadata.json>; rel="describedby"; type="application/csvm+json"'}
    return csv_file(file.getvalue(), name, link)


def figures_metadata(name: str) -> Response:
    """What the columns of that file hold."""
    return JSONResponse(export.metadata(name), headers=_NEVER_KEPT, media_type="application/csvm+json")


def table_csv(columns: Sequence[str], rows: Iterable[Sequence[Any]], name: str) -> Response:
    """Rows under a heading."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\r\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return csv_file(file.getvalue(), name, {})


def csv_file(body: str, name: str, headers: dict[str, str]) -> Response:
    """A file to keep, called `name`."""
    kept = {"content-disposition": f'attachment; filename="{name}"'}
    return Response(body, headers=_NEVER_KEPT | kept | headers, media_type="text/csv; charset=utf-8; header=present")


def svg_file(chart: Markup, name: str) -> Response:
    """A chart to put into a report. Nothing in it can run."""
    headers = {"content-disposition": f'inline; filename="{name}"', "content-security-policy": "default-src 'none'"}
    return Response(str(chart), headers=_NEVER_KEPT | headers, media_type="image/svg+xml")

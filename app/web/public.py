"""The public pages: how hospitals do, for a parent of a child who needs an operation. Plain words, both frames, a range and never a rank.

What must stay true: every reader gets what the public may see, whoever has signed in; small numbers appear nowhere; hospitals stand in the order of their
names; the reporting period is fixed, so that two periods cannot be subtracted.
"""

from typing import Any

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from app.fhir.errors import NotFound
from app.measures.definition import shipped_ids
from app.measures.table import Row
from app.store.protocol import Store
from app.web import charts, downloads, words
from app.web.charts.svg import percent_domain
from app.web.figures import MAIN, Figures, cabinet
from app.web.pages import page, render

FILE = "figures.csv"


def routes(context: Any) -> list[BaseRoute]:
    """Open to everybody."""
    pages = Public(context.store)
    handlers = {
        "/public": pages.index,
        f"/public/{FILE}": pages.file,
        f"/public/{FILE}-metadata.json": pages.metadata,
        "/public/{ods}": pages.hospital,
    }
    return [Route(path, page(handler, context, signed_in=False), methods=["GET"]) for path, handler in handlers.items()]


class Public:
    """The handlers."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def index(self, request: Request) -> Response:
        """All hospitals, by name."""
        figures = await self._figures(request)
        rows = sorted(figures.rows, key=lambda row: (row.name, row.hospital))
        domain = domain_of(figures)
        entries = [(row, bar(row, figures, domain)) for row in rows]
        return self._page(request, "public/index.html", figures, "/public", entries=entries, array=array(figures.whole, figures))

    async def hospital(self, request: Request) -> Response:
        """One hospital. Raises NotFound for one without cases in the period."""
        figures = await self._figures(request)
        ods = request.path_params["ods"]
        row = figures.row(ods)
        if row is None:
            raise NotFound("We have no figures for such a hospital.")
        path = f"/public/{ods}"
        chart = bar(row, figures, domain_of(figures))
        return self._page(request, "public/hospital.html", figures, path, row=row, bar=chart, array=array(row, figures))

    async def file(self, request: Request) -> Response:
        """The published figures as CSV."""
        return downloads.figures_csv(await self._figures(request), FILE)

    async def metadata(self, _request: Request) -> Response:
        """What its columns hold."""
        return downloads.figures_metadata(FILE)

    async def _figures(self, request: Request) -> Figures:
        measure = request.query_params.get("measure", MAIN)
        if measure not in words.WORDINGS or measure not in shipped_ids():
            raise NotFound("We have no such page.")
        return await cabinet(self._store).public(measure)

    def _page(self, request: Request, template: str, figures: Figures, path: str, **values: Any) -> Response:
        wording = words.wording(figures.measure)
        switch = [(each.title, f"{path}?measure={id}", id == figures.measure) for id, each in words.WORDINGS.items()]
        return render(request, template, figures=figures, wording=wording, said=words, switch=switch, **values)


def domain_of(figures: Figures) -> tuple[float, float]:
    """One axis for all bars, so that the eye is not misled from one to the next."""
    values = []
    for row in figures.rows:
        if row.proportion is not None and (shares := words.expected_shares(row)):
            values += [row.proportion, *shares]
    return percent_domain(values) if values else (0.0, 1.0)


def bar(row: Row, figures: Figures, domain: tuple[float, float]) -> Markup | None:
    """A hospital's dot on its own range, None where that may not be told."""
    shares = words.expected_shares(row)
    if row.proportion is None or shares is None:
        return None
    did = words.wording(figures.measure).did
    told = f"{words.of_hundred(row)} of 100 children {did}. We expected {words.expected_range(row)}. {words.PLAIN_BANDS[row.band_code]}."
    return charts.range_bar(f"bar-{row.hospital}", row.name, told, value=row.proportion, limits=shares, domain=domain)


def array(row: Row, figures: Figures) -> Markup | None:
    """A hundred children, None where their number may not be told."""
    count = words.of_hundred(row)
    if count is None:
        return None
    wording = words.wording(figures.measure)
    told = f"{count} of 100 children {wording.did}; {100 - count} {wording.did_not}."
    return charts.icons("array", f"{row.name}: of 100 children", told, filled=count)

"""The page of one hospital: the result in a sentence, on its range, among all, by condition, over time."""

from collections.abc import Sequence
from datetime import date

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app.fhir.errors import NotFound
from app.measures import drill
from app.measures.drill import TrendPoint
from app.measures.table import Row, hospital_names
from app.store.protocol import Store
from app.web import charts, words
from app.web.charts.svg import percent_domain
from app.web.figures import Figures, cabinet
from app.web.hospital.view import NO_HOSPITAL, cases_of, hospital_of, measure_of, name_of, staff, switch
from app.web.pages import render


class Overview:
    """The handlers."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def choose(self, request: Request) -> Response:
        """One's own hospital, or a choice of one's own; for national bodies all of them, by name."""
        access = staff(request)
        if access.everything:
            return await self._nation(request, await cabinet(self._store).figures(access, measure_of(request)))
        own = sorted(access.hospitals or ())
        if len(own) == 1:
            return RedirectResponse(f"/hospital/{own[0]}", 303)
        names = await hospital_names(self._store, own)
        return render(request, "hospital/choose.html", hospitals=sorted(names.items(), key=lambda pair: (pair[1], pair[0])))

    async def _nation(self, request: Request, figures: Figures) -> Response:
        """All hospitals against what was expected of each."""
        return render(
            request,
            "hospital/national.html",
            figures=figures,
            measure=figures.measure,
            rows=sorted(figures.rows, key=lambda row: (row.name, row.hospital)),
            said=words,
            wording=words.wording(figures.measure),
            switch=switch("/hospital", figures.measure),
            funnel=own_funnel(figures, "", labelled=True),
        )

    async def show(self, request: Request) -> Response:
        """The page."""
        access, ods = hospital_of(request)
        measure = measure_of(request)
        figures = await cabinet(self._store).figures(access, measure)
        row = figures.row(ods)
        if row is None and access.everything and await name_of(self._store, ods) == ods:
            raise NotFound(NO_HOSPITAL)
        points = drill.trend(await cases_of(self._store, access, measure, ods)) if row is not None and row.known else []
        return render(
            request,
            "hospital/overview.html",
            ods=ods,
            name=row.name if row else await name_of(self._store, ods),
            figures=figures,
            measure=measure,
            row=row,
            said=words,
            wording=words.wording(measure),
            switch=switch(f"/hospital/{ods}", measure),
            bar=own_bar(figures, row) if row else None,
            funnel=own_funnel(figures, ods, labelled=access.everything),
            trend=own_trend(figures, points) if len(points) > 1 else None,
            quarters=quarters(points),
        )


def own_bar(figures: Figures, row: Row) -> Markup | None:
    """The dot on its range."""
    shares = words.expected_shares(row)
    if row.proportion is None or shares is None:
        return None
    low, high, lowest, highest = (words.percent(share) for share in shares)
    told = (
        f"{words.percent(row.proportion)} of children {words.wording(figures.measure).did}. Expected between {low} and {high} 19 times in 20, "
        f"between {lowest} and {highest} 998 times in 1,000."
    )
    title = f"{row.name}: what happened and what was expected"
    domain = percent_domain([row.proportion, *shares])
    return charts.range_bar("bar", title, told, value=row.proportion, limits=shares, domain=domain)


def own_funnel(figures: Figures, ods: str, *, labelled: bool) -> Markup | None:
    """All hospitals; this one marked, the others named for national bodies alone."""
    points = [
        charts.Point(row.known, row.ratio, row.hospital if labelled or row.hospital == ods else "", row.hospital == ods)
        for row in figures.rows
        if row.known and row.ratio is not None
    ]
    expected = sum(row.expected for row in figures.rows if row.expected is not None)
    known = sum(row.known for row in figures.rows if row.expected is not None and row.known)
    if not points or not 0 < expected < known:
        return None
    own = next((point for point in points if point.own), None)
    where = (
        f"This hospital: {own.cases} children, ratio {own.ratio:.2f}."
        if own
        else "This hospital is not shown: its numbers are withheld, so that no child can be found out."
    )
    told = (
        f"Each mark is one of {len(points)} hospitals, by its children with a known outcome and by observed over expected. Dashed lines hold what chance "
        f"gives 19 times in 20, whole lines 998 times in 1,000. {where}".strip()
    )
    title = f"Funnel plot: {words.wording(figures.measure).title}, all hospitals"
    return charts.funnel("funnel", title, told, points, target=expected / known)


def own_trend(figures: Figures, points: Sequence[TrendPoint]) -> Markup:
    """Observed less expected, added up."""
    did = words.wording(figures.measure).did
    last = points[-1].excess
    told = f"After {len(points)} children {abs(last):.1f} {'more' if last >= 0 else 'fewer'} {did} than were expected to. A level line is as expected."
    steps = [(point.day, point.excess) for point in points]
    up, down = f"more {did} than expected", f"fewer {did} than expected"
    return charts.trend(
        "trend",
        "Observed less expected, added up over time",
        told,
        steps,
        start=figures.period.start,
        end=figures.period.end,
        up=up,
        down=down,
    )


def quarters(points: Sequence[TrendPoint]) -> list[tuple[str, int, float]]:
    """The trend as a table: quarter, children so far, excess at its end."""
    ends: dict[str, tuple[int, float]] = {}
    for number, point in enumerate(points, 1):
        ends[_quarter(point.day)] = (number, point.excess)
    return [(quarter, number, excess) for quarter, (number, excess) in ends.items()]


def _quarter(day: date) -> str:
    first = (day.month - 1) // 3 * 3
    months = ("January to March", "April to June", "July to September", "October to December")
    return f"{months[first // 3]} {day.year}"

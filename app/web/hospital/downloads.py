"""What a hospital takes away: its cases, the comparison and the charts, as files. No file carries a name or a number of a person."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from app.fhir.errors import NotFound
from app.measures import drill
from app.measures.drill import CaseLine
from app.outcomes.weights import OPERATIONS
from app.store.protocol import Store
from app.web import downloads
from app.web.figures import cabinet
from app.web.hospital.overview import own_funnel, own_trend
from app.web.hospital.view import cases_of, hospital_of, measure_of

COMPARISON = "comparison.csv"
CASE_COLUMNS = [
    "case",
    "condition",
    "first_operation",
    "counted_to",
    *(kind.replace("-", "_") for kind in OPERATIONS),
    "infections",
    "quality_of_life_level",
    "died",
    "score",
    "score_low95",
    "score_high95",
    "score_worst",
    "score_best",
    "age_days_at_score",
    "did_well",
    "measure",
    "counts",
    "event",
    "expected",
    "weights",
    "model",
]


class Downloads:
    """The handlers."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def comparison(self, request: Request) -> Response:
        """All hospitals as the reader may see them."""
        access, _ods = hospital_of(request)
        return downloads.figures_csv(await cabinet(self._store).figures(access, measure_of(request)), COMPARISON)

    async def metadata(self, request: Request) -> Response:
        """Its columns."""
        hospital_of(request)
        return downloads.figures_metadata(COMPARISON)

    async def cases(self, request: Request) -> Response:
        """The hospital's own cases."""
        access, ods = hospital_of(request)
        measure = measure_of(request)
        figures = await cabinet(self._store).figures(access, measure)
        model = figures.model.canonical if figures.model else ""
        lines = await cases_of(self._store, access, measure, ods)
        return downloads.table_csv(
            CASE_COLUMNS, (_case(line, figures.definition.canonical, model) for line in lines), f"cases-{ods}-{measure}.csv"
        )

    async def funnel(self, request: Request) -> Response:
        """The funnel plot on its own."""
        access, ods = hospital_of(request)
        chart = own_funnel(await cabinet(self._store).figures(access, measure_of(request)), ods, labelled=access.everything)
        if chart is None:
            raise NotFound("There is nothing to draw yet.")
        return downloads.svg_file(chart, f"funnel-{ods}.svg")

    async def trend(self, request: Request) -> Response:
        """The trend on its own."""
        access, ods = hospital_of(request)
        measure = measure_of(request)
        points = drill.trend(await cases_of(self._store, access, measure, ods))
        if len(points) < 2:
            raise NotFound("There is nothing to draw yet.")
        return downloads.svg_file(own_trend(await cabinet(self._store).figures(access, measure), points), f"trend-{ods}.svg")


def _case(line: CaseLine, measure: str, model: str) -> list[Any]:
    facts, score = line.facts, line.score
    return [
        facts.case,
        facts.condition,
        facts.index_date,
        facts.as_of,
        *(facts.count(kind) for kind in OPERATIONS),  # type: ignore[arg-type]
        len(facts.infections),
        facts.quality_of_life,
        facts.died_on,
        *(
            None if number is None else f"{number:.4f}"
            for number in (score.value, score.low, score.high, score.worst, score.best)
        ),
        score.as_of_age_days,
        None if score.success is None else str(score.success).lower(),
        measure,
        str(line.counts).lower(),
        str(line.event).lower() if line.counts else None,
        None if line.expected is None else f"{line.expected:.4f}",
        f"{score.label}: {score.weights}",
        model,
    ]

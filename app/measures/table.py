"""One row for each hospital: what pages, the command line and the CSV show. In the order of ODS codes, never of results."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from app.fhir.errors import Gone, NotFound
from app.measures.comparison import BANDS
from app.measures.context import organisation
from app.measures.evaluate import cells, count
from app.measures.period import Period
from app.measures.tally import Cell, Tally
from app.security.access import SYSTEM, Access
from app.store.protocol import Store


@dataclass(frozen=True, slots=True)
class Row:
    """`cases` are those whose horizon has passed, `known` those of them with a known outcome, `observed` those with the event.

    Figures are None where they are suppressed, or where there is no case or no model. `low` and `high` are the 95 % interval of the ratio;
    `limits` the proportions at 2.5, 97.5, 0.1 and 99.9 % that chance would give; `band` is words, `band_code` and `signal` codes.
    """

    hospital: str
    name: str
    stratum: str
    suppressed: bool
    cases: int | None
    known: int | None
    observed: int | None
    expected: float | None
    ratio: float | None
    low: float | None
    high: float | None
    limits: tuple[float, float, float, float] | None
    band: str
    band_code: str
    signal: str
    completeness: float | None
    model: str
    strata: tuple["Row", ...] = field(default=(), repr=False)

    @property
    def proportion(self) -> float | None:
        """Observed over known."""
        return self.observed / self.known if self.known and self.observed is not None else None


async def hospital_table(store: Store, access: Access, measure: str, period: Period) -> list[Row]:
    """A row for each hospital with cases in the period, its strata inside, as `access` may see them.

    For any role: the public gets what is published, a hospital its own row whole. Raises NotFound for an unknown measure.
    """
    counted = await count(store, access if access.role not in ("public", "parent") else SYSTEM, measure, period)
    names = await hospital_names(store, [counted.columns.hospitals[number] for number in counted.reporting()])
    rows = []
    for number in counted.reporting():
        rows.append(_row(counted, access, number, names))
        await asyncio.sleep(0)  # some 10 ms of arithmetic each: others get their turn
    return rows


async def hospital_names(store: Store, hospitals: Sequence[str]) -> dict[str, str]:
    """Names by ODS code; a hospital that is not in the store is called by its code."""
    found = {}
    for ods in hospitals:
        try:
            stored = await store.read(SYSTEM, "Organization", organisation(ods).partition("/")[2])
            found[ods] = str(stored.resource.get("name") or ods)
        except (NotFound, Gone):
            found[ods] = ods
    return found


def _row(counted: Tally, access: Access, number: int, names: dict[str, str]) -> Row:
    ods = counted.columns.hospitals[number]
    whole, strata = cells(counted, access, number)
    inner = tuple(row_of(counted, cell, ods, names[ods]) for cell in strata)
    return row_of(counted, whole, ods, names[ods], inner)


def row_of(counted: Tally, cell: Cell, hospital: str, name: str, strata: tuple[Row, ...] = ()) -> Row:
    """A cell as a row, with nothing in it that the cell's suppression hides."""
    shown, comparison = not cell.suppressed, cell.comparison
    figures = comparison if shown else None
    code = comparison.band if comparison else ""
    return Row(
        hospital,
        name,
        cell.stratum,
        cell.suppressed,
        cell.counts["denominator"] if shown else None,
        cell.known if shown else None,
        cell.observed if shown else None,
        figures.expected if figures else None,
        figures.ratio if figures else None,
        figures.ratio_low if figures else None,
        figures.ratio_high if figures else None,
        figures.limits if figures else None,
        BANDS.get(code, "no comparison: no case-mix model has been fitted" if counted.model is None else BANDS["too-few"]),
        code,
        comparison.signal if comparison else "",
        cell.completeness if shown else None,
        counted.model.canonical if counted.model else "",
        strata,
    )

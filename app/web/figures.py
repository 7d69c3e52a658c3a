"""The figures behind the pages: evaluated once, kept while nothing changed, and only as the reader may see them.

A page never evaluates at each hit: a table is kept for each kind of reader and measure until a case, the model or the day changes. What must stay
true: the key of what is kept holds everything that decides what a reader may see.
"""

import asyncio
import calendar
import time
import weakref
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from app import clock
from app.fhir.errors import NotFound
from app.measures import artefacts, drill
from app.measures.columns import shelf
from app.measures.definition import Definition, shipped, shipped_ids
from app.measures.drill import CaseLine
from app.measures.evaluate import cells, count
from app.measures.period import Period
from app.measures.published import publication, stored_reports
from app.measures.rules import canonical as rules_canonical
from app.measures.table import Row, hospital_names, hospital_table, row_of
from app.measures.tally import Tally
from app.measures.viewer import sees_small_numbers
from app.outcomes import case_mix
from app.outcomes.case_facts import HORIZON_DAYS
from app.outcomes.case_mix import Model
from app.outcomes.weights import in_force
from app.security.access import PUBLIC, SYSTEM, Access
from app.store.protocol import Store

YEARS = 4
FRESH = 2.0  # seconds for which kept figures are not questioned, so that a load does not evaluate at every hit
KEPT = 256
MAIN = "treatment-success"


@dataclass(frozen=True)
class Figures:
    """A measure over the reporting period as one kind of reader may see it. `whole` is all hospitals together.

    `sources` are what every figure was made with: (what, name and version). `published` is the day of publication, "" for figures of now.
    """

    definition: Definition
    period: Period
    rows: list[Row]
    whole: Row
    model: Model | None
    made: date
    sources: tuple[tuple[str, str], ...]
    published: str = ""

    @property
    def measure(self) -> str:
        """The measure's id."""
        return self.definition.id

    def row(self, ods: str) -> Row | None:
        """The hospital's row, None where it has no case in the period."""
        return next((row for row in self.rows if row.hospital == ods), None)


def reporting_period(today: date) -> Period:
    """The four years up to the last quarter whose children could all be followed for a year. It moves four times a year, not with each day."""
    last = today - timedelta(days=HORIZON_DAYS)
    year, month = last.year, (last.month - 1) // 3 * 3
    if not month:
        year, month = year - 1, 12
    end = date(year, month, calendar.monthrange(year, month)[1])
    return Period(date(end.year - YEARS, end.month, end.day if end.month != 2 else 28) + timedelta(days=1), end)


class Cabinet:
    """What was evaluated, for one store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: dict[tuple[Any, ...], tuple[float, tuple[Any, ...], Any]] = {}
        self._locks: weakref.WeakValueDictionary[tuple[Any, ...], asyncio.Lock] = weakref.WeakValueDictionary()

    async def figures(self, access: Access, measure: str) -> Figures:
        """A measure, of now, as `access` may see it. Raises NotFound for a measure that no page shows."""
        _known(measure)
        return await self._figures(access, measure)

    async def public(self, measure: str) -> Figures:
        """What the public sees: what was published for the period; until something was, the figures of now."""
        _known(measure)
        return await self._get(("published", measure), lambda: self._published(measure))

    async def _figures(self, access: Access, measure: str, *, of_now: bool = False) -> Figures:
        """`of_now` for what goes into other figures, which are stamped as of now."""
        return await self._get((_viewer(access), measure), lambda: self._evaluate(access, measure), of_now=of_now)

    async def _published(self, measure: str) -> Figures:
        period, definition = reporting_period(clock.today()), shipped(measure)
        hospitals = [ods for ods in (await shelf(self._store).columns()).hospitals if ods]
        found = await publication(self._store, definition.canonical, period, hospitals)
        if found is None:
            return await self._figures(PUBLIC, measure, of_now=True)
        models = sorted({row.model for row in found.rows if row.model})
        kinds = ("Weights of the score", "Rules of comparison", *("Case-mix model" for _ in models))
        named = (("Measure", definition.canonical), *zip(kinds, (*found.artefacts, *models), strict=False))
        made = date.fromisoformat(found.made[:10])
        return Figures(definition, period, found.rows, found.whole, None, made, named, found.made[:10])

    async def cases(self, access: Access, measure: str, ods: str) -> list[CaseLine]:
        """A hospital's own cases. Raises NotFound where the reader may not see them."""
        _known(measure)
        period = reporting_period(clock.today())
        make = lambda: drill.hospital_cases(self._store, access, measure, ods, period)  # noqa: E731
        return await self._get((_viewer(access), measure, ods), make)

    async def _evaluate(self, access: Access, measure: str) -> Figures:
        """What everybody may see is worked out once, some 10 ms a hospital; a reader's own hospitals and the whole take the place of theirs in it."""
        period = reporting_period(clock.today())
        if access.role == "public":
            everybodys = await hospital_table(self._store, PUBLIC, measure, period)
        else:
            everybodys = (await self._figures(PUBLIC, measure, of_now=True)).rows
        rows = {row.hospital: row for row in everybodys}
        counted = await count(self._store, SYSTEM, measure, period)
        for number in counted.reporting():
            ods = counted.columns.hospitals[number]
            if sees_small_numbers(access, ods):
                rows[ods] = _row(counted, access, number, ods, (await hospital_names(self._store, [ods]))[ods])
        model = counted.model.canonical if counted.model else "none has been fitted"
        return Figures(
            counted.definition,
            period,
            [rows[ods] for ods in sorted(rows)],
            _row(counted, access, None, "", "All hospitals together"),
            counted.model,
            clock.today(),
            (
                ("Measure", counted.definition.canonical),
                ("Weights of the score", f"{in_force().label}: {in_force().canonical}"),
                ("Case-mix model", model),
                ("Rules of comparison", rules_canonical()),
            ),
        )

    async def _get(self, key: tuple[Any, ...], make: Any, *, of_now: bool = False) -> Any:
        kept = self._kept.get(key)
        if kept is not None and not of_now and time.monotonic() - kept[0] < FRESH:
            return kept[2]
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:
            stamp = await self._stamp(key)
            kept = self._kept.pop(key, None)
            same = kept is not None and _unchanged(kept[1], stamp)
            value = kept[2] if kept is not None and same else await make()
            self._kept[key] = (time.monotonic(), stamp, value)
            while len(self._kept) > KEPT:
                del self._kept[next(iter(self._kept))]
        return value

    async def _stamp(self, key: tuple[Any, ...]) -> tuple[Any, ...]:
        """What the figures come from: equal as long as nothing changed."""
        columns = await shelf(self._store).columns()
        canonical = shipped(key[1]).canonical
        model = await artefacts.current_model(self._store, SYSTEM, case_mix.library_id(canonical))
        latest = None
        if key[0] == "published":
            hospitals = [ods for ods in columns.hospitals if ods]
            found = await stored_reports(self._store, canonical, reporting_period(clock.today()), hospitals)
            latest = [(stored.id, stored.version) for stored in found.values()]
        return weakref.ref(columns), model, latest  # the same object for the same columns; to keep these would keep all cases


def _row(counted: Tally, access: Access, number: int | None, ods: str, name: str) -> Row:
    whole, strata = cells(counted, access, number)
    return row_of(counted, whole, ods, name, tuple(row_of(counted, cell, ods, name) for cell in strata))


def _unchanged(before: tuple[Any, ...], now: tuple[Any, ...]) -> bool:
    return before[0] is now[0] and before[1] is now[1] and before[2] == now[2]


def _known(measure: str) -> None:
    if measure not in shipped_ids():
        raise NotFound("There is no page for this measure.")


def _viewer(access: Access) -> tuple[Any, ...]:
    """What decides who may see what: see `app.measures.viewer`."""
    return access.role, access.hospitals


_cabinets: dict[int, tuple[Store, Cabinet]] = {}


def cabinet(store: Store) -> Cabinet:
    """The one cabinet of a store."""
    found = _cabinets.get(id(store))
    if found is None or found[0] is not store:
        _cabinets.clear()  # a process serves one store
        found = _cabinets[id(store)] = (store, Cabinet(store))
    return found[1]

"""Criteria as columns over cases, so that an evaluation is arithmetic on arrays.

The columns are derived: from the case-facts records, the day, and a measure. A shelf for each store keeps them in memory and makes anew only the
cases whose facts are others (an open case's are, each day), or whose horizon has passed since. Nothing is stored twice; a restart makes them again (about 0.2 ms a case and measure).
They hold every hospital's cases: who may see what is decided where counts leave this room (`evaluate`, `disclosure`).
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from weakref import WeakKeyDictionary

import msgspec
import numpy as np
import numpy.typing as npt

from app import clock
from app.measures.context import case_bundle, horizon_passed, variables
from app.measures.definition import POPULATIONS, Definition
from app.outcomes import case_mix
from app.outcomes.case_facts import CaseFacts
from app.outcomes.score import Scores, score_at, score_many
from app.outcomes.weights import in_force
from app.registry.consumer import KIND, CaseFactsConsumer
from app.registry.facts import at_day
from app.security.access import SYSTEM
from app.statistics.arrays import Floats, Integers
from app.store.consumer import CURSOR
from app.store.protocol import Record, Store

_PAGE = 1000
_MEASURES = 32  # kept at a time, the last used
_PAUSE_EVERY = 100  # cases between which other requests get their turn
_decoder = msgspec.json.Decoder(CaseFacts)


@dataclass(frozen=True)
class Columns:
    """Of all cases (n,), by case id: `day` is the ordinal of the index date, `hospital` a number into `hospitals`; `design` is (n, k)."""

    facts: Sequence[CaseFacts]
    hospitals: tuple[str, ...]
    hospital: Integers
    day: Integers
    scores: Scores
    design: Floats
    today: date


@dataclass(frozen=True)
class Flags:
    """Of one measure over all cases: membership (n,) by population code; the strata's names, and each case's number (n,) into them.

    A measure without a stratifier has no names, and -1 for each case.
    """

    member: dict[str, npt.NDArray[np.bool_]]
    strata: tuple[str, ...]
    stratum: Integers


def columns_of(facts: Sequence[CaseFacts], today: date) -> Columns:
    """The columns that do not depend on a measure. `facts` are as of `today`."""
    hospitals, hospital = np.unique(np.array([each.hospital for each in facts], dtype=np.str_), return_inverse=True)
    return Columns(
        facts,
        tuple(str(ods) for ods in hospitals),
        hospital.astype(np.int64),
        np.array([date.fromisoformat(each.index_date).toordinal() for each in facts], dtype=np.int64),
        score_many(facts, in_force()),
        case_mix.design(facts, case_mix.demonstration()),
        today,
    )


Row = tuple[int, str]  # one bit for each of POPULATIONS, and the stratum


def row_of(columns: Columns, number: int, definition: Definition) -> Row:
    """One case through one measure's criteria. Raises FHIRPathError, TooCostly."""
    facts = columns.facts[number]
    bundle = case_bundle(facts, score_at(columns.scores, number, facts, in_force()))
    known = variables(facts, columns.today)
    bits = 0
    for bit, code in enumerate(POPULATIONS):
        criterion = definition.criteria.get(code)
        if criterion is not None and criterion.holds(bundle, variables=known):
            bits |= 1 << bit
    values = definition.stratifiers[0][1].evaluate(bundle, variables=known) if definition.stratifiers else []
    return bits, str(values[0]) if values else ""


def flags_of(rows: Sequence[Row], definition: Definition) -> Flags:
    """Rows as columns."""
    bits = np.array([row[0] for row in rows], dtype=np.int64)
    member = {code: (bits >> bit) & 1 == 1 for bit, code in enumerate(POPULATIONS)}
    if not definition.stratifiers:
        return Flags(member, (), np.full(len(rows), -1, dtype=np.int64))
    names, stratum = np.unique(np.array([row[1] for row in rows], dtype=np.str_), return_inverse=True)
    return Flags(member, tuple(str(name) for name in names), stratum.astype(np.int64))


class Shelf:
    """The columns of one store, kept up to date on demand."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = asyncio.Lock()
        self._stamp: tuple[object, ...] = ()
        self._told: dict[str, tuple[int, int]] = {}
        self._facts: dict[str, CaseFacts] = {}
        self._columns = columns_of([], clock.today())
        self._rows: dict[tuple[str, ...], dict[str, tuple[CaseFacts, bool, Row]]] = {}
        self._flags: dict[tuple[str, ...], tuple[Columns, Flags]] = {}

    async def columns(self) -> Columns:
        """All cases as of today."""
        async with self._lock:
            stamp = await self._now()
            if stamp != self._stamp:
                await self._refresh()
                self._stamp = stamp
            return self._columns

    async def flags(self, definition: Definition, columns: Columns) -> Flags:
        """One measure over these columns."""
        async with self._lock:
            key = definition.key
            kept = self._flags.get(key)
            if kept is not None and kept[0] is columns:
                return kept[1]
            memo = self._rows.pop(key, {})
            fresh: dict[str, tuple[CaseFacts, bool, Row]] = {}
            for number, facts in enumerate(columns.facts):
                if number % _PAUSE_EVERY == 0:
                    await asyncio.sleep(0)
                passed = horizon_passed(facts, columns.today)
                known = memo.get(facts.case)
                # The facts themselves, not their revision: these may be columns of before.
                if known is None or known[0] is not facts or known[1] is not passed:
                    known = (facts, passed, row_of(columns, number, definition))
                fresh[facts.case] = known
            self._rows[key] = fresh
            flags = flags_of([known[2] for known in fresh.values()], definition)
            self._flags[key] = (columns, flags)
            while len(self._rows) > _MEASURES:
                oldest = next(iter(self._rows))
                del self._rows[oldest]
                self._flags.pop(oldest, None)
            return flags

    async def _now(self) -> tuple[object, ...]:
        """What must be unchanged for the columns to be: the consumer's place in the feed, the number of records, the day."""
        cursor = await self._store.get_record(SYSTEM, CURSOR, CaseFactsConsumer.name)
        return cursor and _stamp(cursor), await self._store.count_records(SYSTEM, KIND), clock.today()

    async def _refresh(self) -> None:
        today, after = clock.today(), None
        told, facts = {}, {}
        while True:
            page = await self._store.find_records(SYSTEM, KIND, after=after, limit=_PAGE)
            for record in page:
                stamp = told[record.key] = _stamp(record)
                known = self._facts.get(record.key) if self._told.get(record.key) == stamp else None
                facts[record.key] = at_day(known or _decoder.decode(record.body), today)
            if len(page) < _PAGE:
                break
            after = page[-1].key
            await asyncio.sleep(0)
        self._told, self._facts = told, facts
        self._flags.clear()  # they hold the columns of before
        self._columns = columns_of(list(facts.values()), today)


def _stamp(record: Record) -> tuple[int, int]:
    """Another one for whatever was written since: a record that went and came again counts its revisions anew."""
    return record.revision, record.updated


_shelves: "WeakKeyDictionary[Store, Shelf]" = WeakKeyDictionary()


def shelf(store: Store) -> Shelf:
    """The one shelf of a store."""
    found = _shelves.get(store)
    if found is None:
        found = _shelves[store] = Shelf(store)
    return found

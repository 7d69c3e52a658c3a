"""A hospital's own cases behind its figures: each with its score and what was expected, and how they add up over time.

Only for who may see the children. A case that does not count yet, or whose outcome is not known, says so instead of vanishing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import accumulate

import numpy as np

from app.fhir.errors import NotFound
from app.measures import viewer
from app.measures.evaluate import count
from app.measures.period import Period
from app.outcomes.case_facts import CaseFacts
from app.outcomes.score import Score, score_at
from app.outcomes.weights import in_force
from app.security.access import Access
from app.store.protocol import Store


@dataclass(frozen=True, slots=True)
class CaseLine:
    """`counts` where the case is in the score of the measure, `event` whether it is in the numerator; `expected` is its chance of that."""

    facts: CaseFacts
    score: Score
    counts: bool
    event: bool
    expected: float | None


@dataclass(frozen=True, slots=True)
class TrendPoint:
    """After the case of `day`: events so far less those expected so far. Above 0 is more events than expected."""

    day: date
    excess: float


async def hospital_cases(store: Store, access: Access, measure: str, hospital: str, period: Period) -> list[CaseLine]:
    """The cases of a hospital in a period, by day of first operation. Raises NotFound for a hospital whose children the caller may not see."""
    counted = await count(store, access, measure, period)
    columns = counted.columns
    if hospital not in columns.hospitals:
        raise NotFound("There is no such hospital with cases.")
    chosen = counted.mask(columns.hospitals.index(hospital), 0) & counted.members["initial-population"]
    rows = [int(row) for row in np.flatnonzero(chosen) if viewer.sees_child(access, columns.facts[int(row)])]
    if chosen.any() and not rows:
        raise NotFound("There is no such hospital with cases.")
    rows.sort(key=lambda row: (columns.facts[row].index_date, columns.facts[row].case))
    return [
        CaseLine(
            columns.facts[row],
            score_at(columns.scores, row, columns.facts[row], in_force()),
            bool(counted.scored[row]),
            bool(counted.scored[row] and counted.members["numerator"][row]),
            None if counted.chances is None else float(counted.chances[row]),
        )
        for row in rows
    ]


def trend(lines: Sequence[CaseLine]) -> list[TrendPoint]:
    """Cumulative observed less expected over the cases that count (a variable life-adjusted display, turned so that up is more events)."""
    counting = [line for line in lines if line.counts and line.expected is not None]
    steps = accumulate(float(line.event) - (line.expected or 0.0) for line in counting)
    return [TrendPoint(date.fromisoformat(line.facts.index_date), excess) for line, excess in zip(counting, steps, strict=True)]

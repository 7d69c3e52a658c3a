"""Which counts are too small to publish, and which others would tell them.

A cell is a hospital and a stratum; column 0 is the hospital as a whole. A count from 1 to 7 (by the rules) of children, of events or of children without
the event is primary. Secondary: a lone suppressed stratum could be had by subtraction from the hospital's total; and in a column fewer than three
suppressed hospitals could be had from the national total by a hospital that knows its own count. Zeros tell of nobody and stay.
"""

import numpy as np
import numpy.typing as npt

from app.measures.rules import Rules
from app.statistics.arrays import Integers

Mask = npt.NDArray[np.bool_]


def suppressed(cases: Integers, events: Integers, rules: Rules) -> Mask:
    """(hospitals, 1 + strata): True where a cell is not published. `cases` are those with a known outcome, of the same shape as `events`."""
    hidden = _small(cases, rules) | _small(events, rules) | _small(cases - events, rules)
    while True:
        before = int(hidden.sum())
        for row, size in zip(hidden, cases, strict=True):
            lone = not row[0] and row[1:].sum() == 1  # the total less the others tells it
            if lone or (row[0] and len(row) > 1 and not row[1:].any()):  # the strata add up to the total
                _hide_smallest(row[1:], size[1:], 1)
        for column, size in zip(hidden.T, cases.T, strict=True):
            if 0 < column.sum() < rules.fewest_suppressed_hospitals:
                _hide_smallest(column, size, rules.fewest_suppressed_hospitals - int(column.sum()))
        if int(hidden.sum()) == before:
            return hidden


def _small(counts: Integers, rules: Rules) -> Mask:
    return np.asarray((counts >= rules.suppress_from) & (counts <= rules.suppress_to))


def _hide_smallest(hidden: Mask, size: Integers, number: int) -> None:
    """Hide that many more of those that have children, the smallest first."""
    open_cells = np.flatnonzero(~hidden & (size > 0))
    hidden[open_cells[np.argsort(size[open_cells], kind="stable")][:number]] = True

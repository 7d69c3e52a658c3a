"""Which counts are too small to publish, and which others would tell them. The one place that decides it.

A cell is a hospital (the last row: all together) and a stratum (column 0: the whole), shown or hidden with all its counts. A cell with a count from 1 to 7
(by the rules) is hidden. Rows and columns add up, so others go with it: a hidden cell cannot be had by subtraction if and only if it lies on a ring of hidden
cells, in which each row and each column that has one has two. A hospital knows its own row, so every cell has such a ring without it as well. Zeros tell of
nobody and stay.

The measures count the same children. What hides the children is therefore chosen from their numbers alone, alike in every measure; each measure then adds
what its own outcomes ask for. So all of them together, over one period, tell exactly no small count: not to the public, and not to a hospital.

Not protected against: whoever knows the rows of several hospitals (a vendor; `fewest_suppressed_hospitals` in the rules is 2 more than the hospitals that
may pool what they know), the subtraction of two periods, what a band says of a hidden cell, and bounds (two hidden cells that add up to 2 are 1 and 1).
"""

import numpy as np
import numpy.typing as npt

from app.measures.rules import Rules
from app.statistics.arrays import Floats, Integers

Mask = npt.NDArray[np.bool_]
_ALREADY_HIDDEN = 0.001  # not 0: of two rings the shorter is better


def suppressed(children: Integers, outcomes: Integers, rules: Rules) -> Mask:
    """(hospitals + 1, 1 + strata): True where a cell is not published.

    Both are (counts, hospitals + 1, 1 + strata): `children` is alike for every measure, `outcomes` a measure's own. The first count of each says how much is
    lost with a cell, and that there is something to hide.
    """
    if children.shape[2] == 1:  # without strata the whole is the one stratum
        return suppressed(children.repeat(2, axis=2), outcomes.repeat(2, axis=2), rules)[:, :1]
    hidden = np.zeros(children.shape[1:], dtype=np.bool_)
    for counts in (children, outcomes):
        small = ((counts >= rules.suppress_from) & (counts <= rules.suppress_to)).any(axis=0)
        hidden |= small
        for row, column in np.argwhere(small):
            _enclose(hidden, counts[0], (int(row), int(column)), frozenset(), rules.fewest_suppressed_hospitals - 2)
    return hidden


def _enclose(hidden: Mask, size: Integers, cell: tuple[int, int], known: frozenset[int], pool: int) -> None:
    """Hide the cheapest ring through a cell without the `known` hospitals, and others without each of its hospitals, up to `pool` of them.

    Where there is no ring, the cell counts children of the known hospitals alone.
    """
    price = np.where(hidden, _ALREADY_HIDDEN, np.where(size > 0, size, np.inf))
    price[[*known]] = np.inf
    price[cell] = np.inf
    ring = _way(price, *cell)
    for each in ring:
        hidden[each] = True
    if len(known) < pool:
        for hospital in sorted({row for row, _ in ring} - {cell[0], len(hidden) - 1}):
            _enclose(hidden, size, cell, known | {hospital}, pool)


def _way(price: Floats, row: int, column: int) -> list[tuple[int, int]]:
    """The cells by which one gets from a row to a column most cheaply, stepping along rows and columns in turn. Empty where there is no way."""
    rows = np.full(len(price), np.inf)
    rows[row] = 0.0
    while True:
        columns = (rows[:, None] + price).min(axis=0)
        nearer = np.minimum(rows, (columns + price).min(axis=1))
        if np.array_equal(nearer, rows):
            break
        rows = nearer
    way: list[tuple[int, int]] = []
    while np.isfinite(columns[column]):  # back from the end
        before = int((rows + price[:, column]).argmin())
        way.append((before, column))
        if before == row:
            break
        column = int((columns + price[before]).argmin())
        way.append((before, column))
    return way

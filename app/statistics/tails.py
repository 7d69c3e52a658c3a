"""Exact tail probabilities of a count against its target, and the one rule that flags.

The rule: high where P(X >= observed) <= p, low where P(X <= observed) <= p. It keeps false alarms at or below `p` for every target, which
neither the interpolated curve nor a confidence interval does (Manktelow and Seaton, PLoS One 2012;7:e45723).
"""

from typing import NamedTuple

import numpy as np
from scipy import special

from app.statistics.arrays import Floats, Integers, Numbers, floats

ALERT, ALARM = 0.025, 0.001  # one-sided: outside 95 % and outside 99.8 %


class Tails(NamedTuple):
    """`low` is P(X <= observed), `high` is P(X >= observed); both count the observed value, so their sum exceeds 1."""

    low: Floats
    high: Floats


def poisson(observed: Numbers, expected: Numbers) -> Tails:
    """Tails of Poisson(expected). Shapes broadcast; counts whole."""
    count, mean = np.broadcast_arrays(floats(observed, "observed counts", low=0), floats(expected, "expected counts", low=0))
    high = np.where(count > 0, special.gammainc(np.where(count > 0, count, 1.0), mean), 1.0)
    return Tails(np.asarray(special.gammaincc(count + 1, mean)), high)


def binomial(events: Numbers, cases: Numbers, chance: Numbers) -> Tails:
    """Tails of Binomial(cases, chance). Shapes broadcast; counts whole."""
    x, n, p = np.broadcast_arrays(
        floats(events, "events", low=0), floats(cases, "cases", low=0), floats(chance, "chances", low=0, high=1)
    )
    if np.any(x > n):
        raise ValueError("there cannot be more events than cases")
    high = np.where(x > 0, special.betainc(np.where(x > 0, x, 1.0), n - x + 1, p), 1.0)
    low = np.where(x < n, special.betaincc(x + 1, np.where(x < n, n - x, 1.0), p), 1.0)
    return Tails(low, high)


def flag(tails: Tails, p: float = ALERT) -> Integers:
    """1 where high, -1 where low, 0 where neither; same shape as the tails."""
    return np.asarray(tails.high <= p, dtype=np.int64) - np.asarray(tails.low <= p, dtype=np.int64)

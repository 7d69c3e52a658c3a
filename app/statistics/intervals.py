"""Confidence intervals of a count, a proportion and a mean.

Confidence intervals say how well one hospital's own figure is known. To judge a hospital against a target use `tails` and `funnel`:
limits made from confidence intervals flag too seldom (Seaton and Manktelow, BMC Med Res Methodol 2012;12:98).
"""

import numpy as np
from scipy import special

from app.statistics.arrays import Floats, Interval, Numbers, floats, tail_of

EXACT_BELOW = 10  # the count from which English public-health practice takes Byar's approximation


def _z(confidence: float) -> float:
    return float(-special.ndtri(tail_of(confidence)))


def byar(observed: Numbers, confidence: float = 0.95) -> Interval:
    """Byar's approximate limits of a Poisson count; accurate to about 0.1 % from 10 up.

    Breslow and Day, Statistical Methods in Cancer Research II (1987), p 69. Any shape; unit: events.
    """
    count = floats(observed, "observed counts", low=0)
    z = _z(confidence)
    with np.errstate(divide="ignore", invalid="ignore"):
        low = np.where(count > 0, count * (1 - 1 / (9 * count) - z / (3 * np.sqrt(count))) ** 3, 0.0)
    up = count + 1
    return Interval(np.asarray(low), np.asarray(up * (1 - 1 / (9 * up) + z / (3 * np.sqrt(up))) ** 3))


def poisson_exact(observed: Numbers, confidence: float = 0.95) -> Interval:
    """Exact (Garwood 1936) limits of a Poisson count: the means at which each tail is half of what is left out.

    Takes fractional counts too, by the gamma function. Any shape; unit: events.
    """
    count = floats(observed, "observed counts", low=0)
    alpha = tail_of(confidence)
    low = np.where(count > 0, special.gammaincinv(np.where(count > 0, count, 1.0), alpha), 0.0)
    return Interval(np.asarray(low), np.asarray(special.gammaincinv(count + 1, 1 - alpha)))


def count_limits(observed: Numbers, confidence: float = 0.95) -> Interval:
    """Exact below 10 events, Byar from there: the rule of the English public-health indicators. Any shape; unit: events."""
    count = floats(observed, "observed counts", low=0)
    exact, approximate = poisson_exact(count, confidence), byar(count, confidence)
    few = count < EXACT_BELOW
    return Interval(np.where(few, exact.low, approximate.low), np.where(few, exact.high, approximate.high))


def wilson(events: Numbers, cases: Numbers, confidence: float = 0.95) -> Interval:
    """Wilson's score interval of a proportion (JASA 1927;22:209). Shapes broadcast; unit: proportion. `cases` of 0 give nan."""
    x, n = floats(events, "events", low=0), floats(cases, "cases", low=0)
    if np.any(x > n):
        raise ValueError("there cannot be more events than cases")
    z = _z(confidence)
    with np.errstate(divide="ignore", invalid="ignore"):
        root = z * np.sqrt(z * z + 4 * x * (1 - x / n))
        low, high = ((2 * x + z * z + sign * root) / (2 * (n + z * z)) for sign in (-1, 1))
    return Interval(np.where(n > 0, low, np.nan), np.where(n > 0, high, np.nan))


def mean(values: Numbers, confidence: float = 0.95) -> Interval:
    """Student's interval of the mean of a one-dimensional sample of at least two. Scalars; unit: that of the values."""
    sample: Floats = floats(values, "values")
    if sample.ndim != 1 or len(sample) < 2:
        raise ValueError("the interval of a mean needs at least two values")
    half = -special.stdtrit(len(sample) - 1, tail_of(confidence)) * sample.std(ddof=1) / np.sqrt(len(sample))
    return Interval(np.asarray(sample.mean() - half), np.asarray(sample.mean() + half))

"""Funnel limits: what a hospital of a given size would show by chance alone around the target.

Exact limits jump with the size; for drawing they are interpolated (Spiegelhalter, Stat Med 2005;24:1185, appendix). The curve is a picture:
`tails.flag` decides.
"""

from collections.abc import Callable

import numpy as np
from scipy import special

from app.statistics.arrays import Floats, Numbers, floats


def _interpolated(cumulative: Callable[[Floats], Floats], guess: Floats, p: float) -> Floats:
    """r - alpha, with r the least whole number whose cumulative probability reaches `p` and alpha the overshoot as a share."""
    rank = np.maximum(np.ceil(np.nan_to_num(guess)), 0.0)
    while np.any(below := cumulative(rank) < p):
        rank = rank + below
    while np.any(above := (rank > 0) & (cumulative(rank - 1) >= p)):
        rank = rank - above
    at, before = cumulative(rank), cumulative(rank - 1)
    return np.asarray(rank - (at - p) / (at - before))


def binomial_limit(cases: Numbers, target: float, p: float) -> Floats:
    """The proportion below which a share `p` of hospitals with `cases` cases would fall; 0..1, shape of `cases`.

    `p` is 0.025 and 0.975 for 95 % limits, 0.001 and 0.999 for 99.8 %. Raises ValueError for a target or `p` outside (0, 1).
    """
    n = floats(cases, "cases", low=1)
    if not (0 < target < 1 and 0 < p < 1):
        raise ValueError("target and p must lie between 0 and 1")

    def cumulative(x: Floats) -> Floats:
        inside = special.betaincc(np.maximum(x + 1, 1), np.maximum(n - x, 1e-9), target)
        return np.where(x < 0, 0.0, np.where(x >= n, 1.0, inside))

    guess = n * target + special.ndtri(p) * np.sqrt(n * target * (1 - target))
    return np.clip(_interpolated(cumulative, guess, p) / n, 0.0, 1.0)


def poisson_limit(expected: Numbers, p: float) -> Floats:
    """The ratio observed/expected below which a share `p` would fall; at least 0, shape of `expected`."""
    mean = floats(expected, "expected counts", low=np.nextafter(0, 1))
    if not 0 < p < 1:
        raise ValueError("p must lie between 0 and 1")

    def cumulative(x: Floats) -> Floats:
        return np.where(x < 0, 0.0, special.gammaincc(np.maximum(x + 1, 1), mean))

    return np.maximum(_interpolated(cumulative, mean + special.ndtri(p) * np.sqrt(mean), p) / mean, 0.0)


def normal_limit(standard_error: Numbers, target: float, p: float, *, tau_squared: float = 0.0) -> Floats:
    """Limits of a mean score, widened by the variance between hospitals where `tau_squared` is given; unit of the target."""
    error = floats(standard_error, "standard errors", low=0)
    return np.asarray(target + special.ndtri(p) * np.sqrt(error * error + tau_squared))

"""How much hospitals vary among themselves: Q, I², the between-hospital variance and the median odds ratio.

One hospital can carry all of it: report the figures with each hospital left out as well (`leave_one_out`).
"""

from typing import NamedTuple

import numpy as np
from scipy import special

from app.statistics.arrays import Floats, Numbers, floats, same_length


class Heterogeneity(NamedTuple):
    """`q` on `df` degrees of freedom; `i_squared` in per cent; `tau_squared` in the squared unit of the estimates."""

    mean: float
    standard_error: float
    q: float
    df: int
    i_squared: float
    tau_squared: float


def dersimonian_laird(estimates: Numbers, variances: Numbers) -> Heterogeneity:
    """Random-effects summary by the method of moments (DerSimonian and Laird, Control Clin Trials 1986;7:177).

    One-dimensional, at least two, of one length. Raises ValueError else.
    """
    y, v = floats(estimates, "estimates"), floats(variances, "variances", low=np.nextafter(0, 1))
    count = same_length(estimates=y, variances=v)
    if count < 2:
        raise ValueError("variation between hospitals needs at least two")
    weight = 1 / v
    fixed = float((weight * y).sum() / weight.sum())
    q, df = float((weight * (y - fixed) ** 2).sum()), count - 1
    tau2 = max(0.0, (q - df) / float(weight.sum() - (weight**2).sum() / weight.sum()))
    random = 1 / (v + tau2)
    i_squared = max(0.0, 100 * (q - df) / q) if q > 0 else 0.0
    return Heterogeneity(float((random * y).sum() / random.sum()), float(1 / np.sqrt(random.sum())), q, df, i_squared, tau2)


def log_odds(events: Numbers, cases: Numbers) -> tuple[Floats, Floats]:
    """Log odds and their variances; half an event is added to all where any cell is empty (Haldane)."""
    x, n = floats(events, "events", low=0), floats(cases, "cases", low=1)
    add = 0.5 if np.any((x == 0) | (x == n)) else 0.0
    good, bad = x + add, n - x + add
    return np.asarray(np.log(good / bad)), np.asarray(1 / good + 1 / bad)


def leave_one_out(estimates: Numbers, variances: Numbers) -> list[Heterogeneity]:
    """The summary with each hospital left out in turn, in their order."""
    y, v = floats(estimates, "estimates"), floats(variances, "variances")
    return [dersimonian_laird(np.delete(y, i), np.delete(v, i)) for i in range(len(y))]


def median_odds_ratio(sigma: float) -> float:
    """How much the odds differ, in the median, between two hospitals drawn at random (Merlo and others, JECH 2006;60:290)."""
    return float(np.exp(np.sqrt(2) * sigma * special.ndtri(0.75)))


def reliability(tau_squared: float, variances: Numbers) -> Floats:
    """The share of each estimate's variance that is real: below 0.7 most flags are false (van Dishoeck, BMJQS 2011;20:869)."""
    return np.asarray(tau_squared / (tau_squared + floats(variances, "variances", low=np.nextafter(0, 1))))

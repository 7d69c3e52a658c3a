"""Overdispersion: hospitals that differ more than chance and case mix explain, without any being an outlier.

Spiegelhalter, Stat Med 2005;24:1185 and Qual Saf Health Care 2005;14:347. The additive (random effects) form is the better founded.
"""

import numpy as np

from app.statistics.arrays import Floats, Numbers, floats, same_length


def proportion_z(events: Numbers, cases: Numbers, target: float) -> Floats:
    """Naive z-scores of proportions against the target; shape of `events`."""
    x, n = floats(events, "events", low=0), floats(cases, "cases", low=1)
    return np.asarray((x / n - target) / np.sqrt(target * (1 - target) / n))


def arcsine_z(events: Numbers, cases: Numbers, target: float) -> Floats:
    """z-scores on the arcsine square-root scale, where the standard error is 1/(2 sqrt(n))."""
    x, n = floats(events, "events", low=0), floats(cases, "cases", low=1)
    return np.asarray((np.arcsin(np.sqrt(x / n)) - np.arcsin(np.sqrt(target))) * 2 * np.sqrt(n))


def log_ratio_z(observed: Numbers, expected: Numbers) -> Floats:
    """z-scores of ln(observed/expected) with standard error 1/sqrt(expected), as the English hospital mortality index takes them."""
    o, e = (
        floats(observed, "observed counts", low=np.nextafter(0, 1)),
        floats(expected, "expected counts", low=np.nextafter(0, 1)),
    )
    return np.asarray(np.log(o / e) * np.sqrt(e))


def winsorised(z: Numbers, share: float = 0.1) -> Floats:
    """The lowest and highest `share` pulled in to the quantiles at `share` and 1 - `share` (linear quantiles)."""
    scores = floats(z, "z-scores")
    if not 0 <= share < 0.5:
        raise ValueError("share must lie between 0 and 0.5")
    return np.clip(scores, np.quantile(scores, share), np.quantile(scores, 1 - share))


def phi(z: Numbers) -> float:
    """The mean square of the z-scores: 1 where chance explains all."""
    scores = floats(z, "z-scores")
    if scores.size == 0:
        raise ValueError("overdispersion needs at least one hospital")
    return float(np.mean(scores * scores))


def multiplier(z: Numbers) -> float:
    """By how much to widen limits: sqrt(phi) where there is more spread than chance gives (I phi > I - 1), else 1."""
    scores = floats(z, "z-scores")
    spread = phi(scores)
    return float(np.sqrt(spread)) if scores.size * spread > scores.size - 1 and spread > 1 else 1.0


def tau_squared(z: Numbers, standard_errors: Numbers) -> float:
    """The variance between hospitals (method of moments), in squared units of the standard errors; 0 where chance explains all."""
    scores, errors = floats(z, "z-scores"), floats(standard_errors, "standard errors", low=np.nextafter(0, 1))
    count = same_length(z=scores, standard_errors=errors)
    weight = 1 / (errors * errors)
    excess = count * phi(scores) - (count - 1)
    spread = weight.sum() - (weight * weight).sum() / weight.sum()
    return float(max(0.0, excess / spread)) if count > 1 else 0.0

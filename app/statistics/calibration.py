"""How well predicted chances agree with what came: does the model separate (AUC), and can its numbers be taken at their word?

The four levels of Van Calster and others (J Clin Epidemiol 2016;74:167), as far as a few hundred cases carry them.
"""

from dataclasses import dataclass

import numpy as np
from scipy import special

from app.statistics import logistic
from app.statistics.arrays import Floats, Numbers, floats, same_length


@dataclass(frozen=True, slots=True)
class Calibration:
    """`slope` 1, `intercept` 0 and `in_the_large` 0 are perfect; `slope` below 1 is overfitting. `brier` is a mean squared error.

    `auc` is nan where one outcome is absent; slope and intercept are nan where they cannot be estimated.
    """

    cases: int
    events: int
    auc: float
    slope: float
    intercept: float
    in_the_large: float
    brier: float


def assess(outcomes: Numbers, chances: Numbers) -> Calibration:
    """Outcomes (n,) of 0 and 1 against chances (n,). Raises ValueError for shapes or values that do not fit."""
    y, p = floats(outcomes, "outcomes", low=0, high=1), floats(chances, "chances", low=0, high=1)
    cases = same_length(outcomes=y, chances=p)
    if cases == 0:
        raise ValueError("calibration needs at least one case")
    p = np.clip(p, 1e-9, 1 - 1e-9)
    logit = np.asarray(special.logit(p))
    one = np.ones((cases, 1))
    nan = np.array([np.nan, np.nan])
    line = _coefficients(np.column_stack([one, logit]), y) if np.ptp(logit) > 1e-9 else nan
    large = _coefficients(one, y, logit)
    return Calibration(
        cases, int(y.sum()), auc(y, p), float(line[1]), float(line[0]), float(large[0]), float(np.mean((y - p) ** 2))
    )


def _coefficients(design: Floats, y: Floats, offset: Numbers = 0.0) -> Floats:
    if np.all(y == y[0]):
        return np.full(design.shape[1], np.nan)
    try:
        return logistic.fit(design, y, offset=offset).coefficients
    except logistic.NotConverged:
        return np.full(design.shape[1], np.nan)


def auc(outcomes: Numbers, chances: Numbers) -> float:
    """The chance that a case with the event was given a higher chance than one without; ties count half. nan if one is absent."""
    y, p = floats(outcomes, "outcomes", low=0, high=1), floats(chances, "chances")
    same_length(outcomes=y, chances=p)
    _, group, size = np.unique(p, return_inverse=True, return_counts=True)
    rank = (np.cumsum(size) - (size - 1) / 2)[group]
    events = float(y.sum())
    others = len(y) - events
    if events == 0 or others == 0:
        return float("nan")
    return float((rank[y == 1].sum() - events * (events + 1) / 2) / (events * others))


def belt(outcomes: Numbers, chances: Numbers, groups: int = 10) -> list[tuple[int, float, float]]:
    """Cases, mean chance and observed share in `groups` groups of rising chance: the points of a calibration plot."""
    y, p = floats(outcomes, "outcomes", low=0, high=1), floats(chances, "chances")
    same_length(outcomes=y, chances=p)
    parts = np.array_split(np.argsort(p, kind="stable"), groups)
    return [(len(part), float(p[part].mean()), float(y[part].mean())) for part in parts if len(part)]

"""The treatment success score of a child: 1 is the best possible outcome, 0 is palliation, below 0 is worse.

TSS = 1 - U / beta_palliation, with U the sum of the utilities of the levels that the child's outcome reached: the only linear scale that meets the
published anchor points. Its uncertainty is that of the weights, by the delta method from their covariance; the child's outcome itself is a fact. What must stay true: no
score without its interval, its weights and the age it speaks of; a missing quality of life gives bounds, not a guess.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from math import isfinite

import numpy as np
from scipy import special

from app.outcomes.case_facts import CaseFacts
from app.outcomes.weights import ATTRIBUTES, INFECTIONS, OPERATIONS, QUALITY_OF_LIFE, SURVIVAL, WeightSet
from app.statistics.arrays import Floats, Integers

UNKNOWN = -1
_QUALITY, _SURVIVAL, _INFECTIONS = (ATTRIBUTES.index(code) for code in (QUALITY_OF_LIFE, SURVIVAL, INFECTIONS))


@dataclass(frozen=True, slots=True)
class Score:
    """`value`, `low` and `high` (95 %) are None where quality of life is not known; `worst` and `best` bound it then and equal it else.

    `success` is None until the outcome is known. `as_of_age_days` is the child's age on the last day that counts,
    None where the day of birth is not known.
    """

    value: float | None
    low: float | None
    high: float | None
    worst: float
    best: float
    success: bool | None
    as_of_age_days: int | None
    weights: str
    label: str


@dataclass(frozen=True, slots=True)
class Scores:
    """The same for many cases, as arrays (n,): nan where there is no value; `success` 1, 0, or -1 for not known."""

    value: Floats
    low: Floats
    high: Floats
    worst: Floats
    best: Floats
    success: Integers


def levels_of(facts: CaseFacts, weights: WeightSet) -> list[int]:
    """The level of each attribute that a child's outcome reached; quality of life is -1 where it is not known."""
    kinds: list[str] = [operation.kind for operation in facts.operations]
    counts = [kinds.count(kind) for kind in OPERATIONS] + [len(facts.infections)]
    found = [bisect_right(weights.attributes[i].from_, count) - 1 for i, count in enumerate(counts)]
    if facts.died_on is None:
        quality = UNKNOWN if facts.quality_of_life is None else facts.quality_of_life
        return [*found, min(quality, weights.levels(QUALITY_OF_LIFE)), 0]
    days = (date.fromisoformat(facts.died_on) - date.fromisoformat(facts.index_date)).days
    lived = weights.attributes[_SURVIVAL].from_[1:]  # falling: the least days of each level below survival to the horizon
    survival = next((level for level, least in enumerate(lived, 1) if days >= least), len(lived))
    return [*found, weights.quality_of_life_after_death, survival]


def score_many(cases: Sequence[CaseFacts], weights: WeightSet, *, confidence: float = 0.95) -> Scores:
    """Scores of many cases at once; about 4 µs a case."""
    reached = np.array([levels_of(facts, weights) for facts in cases], dtype=np.int64).reshape(len(cases), len(ATTRIBUTES))
    known = reached[:, _QUALITY] != UNKNOWN
    final = np.array([facts.outcome_known for facts in cases], dtype=bool)
    value, error = _values(reached, weights)
    half = special.ndtri((1 + confidence) / 2) * error
    worst, best = (_values(_filled(reached, level), weights)[0] for level in (weights.levels(QUALITY_OF_LIFE), 0))
    met = np.where(known & final, (value >= weights.success_threshold).astype(np.int64), UNKNOWN)
    hidden = np.where(known, 0.0, np.nan)
    return Scores(value + hidden, value - half + hidden, value + half + hidden, worst, best, met)


def score(facts: CaseFacts, weights: WeightSet) -> Score:
    """The score of one child."""
    return score_at(score_many([facts], weights), 0, facts, weights)


def score_at(scores: Scores, index: int, facts: CaseFacts, weights: WeightSet) -> Score:
    """One of many scores; `facts` is the case that stood at `index`."""
    parts = (float(part[index]) for part in (scores.value, scores.low, scores.high))
    value, low, high = (part if isfinite(part) else None for part in parts)
    met = int(scores.success[index])
    return Score(
        value,
        low,
        high,
        float(scores.worst[index]),
        float(scores.best[index]),
        None if met == UNKNOWN else bool(met),
        _age_days(facts),
        weights.canonical,
        weights.label,
    )


def _age_days(facts: CaseFacts) -> int | None:
    born = facts.birth_date or ""
    return (date.fromisoformat(facts.as_of) - date.fromisoformat(born)).days if len(born) == len("2023-01-01") else None


def _filled(reached: Integers, level: int) -> Integers:
    filled = reached.copy()
    column = filled[:, _QUALITY]
    column[column == UNKNOWN] = level
    return filled


def _values(reached: Integers, weights: WeightSet) -> tuple[Floats, Floats]:
    """Values and standard errors (n,). With g = dTSS/d(beta, palliation) = (-z / p, U / p²), the variance is g' V g."""
    design = np.zeros((len(reached), len(weights.betas) + 1))
    rows = np.arange(len(reached))
    for attribute, first in enumerate(weights.first):
        level = reached[:, attribute]
        above = level > 0
        design[rows[above], first + level[above] - 1] = 1.0
    utility = design[:, :-1] @ weights.betas
    gradient = -design / weights.palliation
    gradient[:, -1] = utility / weights.palliation**2
    variance = ((gradient @ weights.covariance) * gradient).sum(axis=1)
    # Rounded, so that a score on the threshold does not hang on the order of a sum.
    return np.round(1 - utility / weights.palliation, 12), np.sqrt(np.maximum(variance, 0.0))

"""One hospital against what was expected for its own children.

The null is the Poisson-binomial distribution of the children's own chances; the band is judged by its exact tails; the interval of the ratio inverts the
same tails. What must stay true: no band from too few children or too little known; the words never rank.
"""

from dataclasses import dataclass

import numpy as np

from app.measures.rules import Rules
from app.statistics import poisson_binomial
from app.statistics.arrays import Floats
from app.statistics.tails import Tails, flag

BANDS = {
    "as-expected": "as expected for the children treated here",
    "better": "better than expected",
    "fewer-good": "fewer good outcomes than expected",
    "too-few": "too few children to tell",
}


@dataclass(frozen=True, slots=True)
class Comparison:
    """`limits` are proportions at 2.5, 97.5, 0.1 and 99.9 %; `tail_low` is P(count <= observed). `signal` is "", alert or alarm."""

    observed: int
    cases: int
    expected: float
    ratio: float
    ratio_low: float
    ratio_high: float
    limits: tuple[float, float, float, float]
    tail_low: float
    tail_high: float
    band: str
    signal: str


def compare(observed: int, chances: Floats, *, decrease: bool, completeness: float, rules: Rules) -> Comparison | None:
    """`observed` events among cases with these chances; `decrease` where an event is bad. None without cases."""
    cases = len(chances)
    if cases == 0:
        return None
    mass = poisson_binomial.pmf(chances)
    cumulative = np.cumsum(mass)
    tails = Tails(np.asarray(min(cumulative[observed], 1.0)), np.asarray(min(mass[observed:].sum(), 1.0)))
    expected = float(chances.sum())
    interval = poisson_binomial.ratio_interval(observed, chances, rules.confidence)
    ends = [rules.alert, 1 - rules.alert, rules.alarm, 1 - rules.alarm]
    low95, high95, low998, high998 = (float(limit) / cases for limit in poisson_binomial.limits_of(mass, ends))
    possible = float(mass[0]) <= rules.alert or float(mass[-1]) <= rules.alert
    enough = cases >= rules.fewest_cases and completeness >= rules.least_completeness and possible
    direction = int(flag(tails, rules.alert)) * (-1 if decrease else 1)
    band = {1: "better", -1: "fewer-good", 0: "as-expected"}[direction] if enough else "too-few"
    signal = ("alarm" if int(flag(tails, rules.alarm)) else "alert") if enough and direction else ""
    return Comparison(
        observed,
        cases,
        expected,
        observed / expected,
        float(interval.low),
        float(interval.high),
        (low95, high95, low998, high998),
        float(tails.low),
        float(tails.high),
        band,
        signal,
    )

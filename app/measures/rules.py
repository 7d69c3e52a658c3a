"""When a result is unusual, when there are too few children to tell, and what is too small to publish: data, in a versioned Library."""

from functools import lru_cache

import msgspec

from app.outcomes import artefact

_NAME = "comparison-rules-demonstration"


class Rules(msgspec.Struct, frozen=True):
    """`alert` and `alarm` are one-sided tail probabilities; counts from `suppress_from` to `suppress_to` are not published.

    `suppress_unknown`: neither are so few unknown outcomes. How many parents did not answer tells nothing of a child, and where nearly all
    answer, to hide it would hide most hospitals' figures.
    """

    alert: float
    alarm: float
    confidence: float
    fewest_cases: int
    least_completeness: float
    suppress_from: int
    suppress_to: int
    fewest_suppressed_hospitals: int
    suppress_unknown: bool = False


@lru_cache(maxsize=1)
def rules() -> Rules:
    """The rules in force."""
    found: Rules = artefact.typed(artefact.shipped(_NAME), Rules)
    return found


@lru_cache(maxsize=1)
def canonical() -> str:
    """`url|version` of the rules in force."""
    return artefact.canonical(artefact.shipped(_NAME))

"""The score of a simulated child, worked out from the truth alone by a second, plain implementation of the formula.

It shares nothing with `app/outcomes/score.py` but the published formula and the weights in the Library, so that each checks the other.
"""

import base64
from dataclasses import dataclass
from functools import cache
from typing import Any

from app.content import PROFILES
from app.demo.nation import Child, Nation
from app.fhir import codec


@dataclass(frozen=True, slots=True)
class Tally:
    """What one hospital's report must say."""

    cases: int
    known: int
    successes: int


@cache
def weights() -> dict[str, Any]:
    """The document inside the demonstration weight set."""
    library = codec.decode((PROFILES / "libraries" / "treatment-success-demonstration.json").read_bytes())
    return codec.decode(base64.b64decode(library["content"][0]["data"]))


def score(child: Child) -> float | None:
    """The treatment success score; None where nobody could know the quality of life."""
    document = weights()
    kinds = [kind for _, kind in child.counted_operations()]
    lost = 0.0
    for attribute in document["attributes"]:
        code, betas = attribute["code"], attribute["betas"]
        if code == "quality-of-life":
            if child.died_within:
                level = int(document.get("quality-of-life-after-death", document.get("quality_of_life_after_death", 0)))
            elif child.answered_quality is None:
                return None
            else:
                level = child.answered_quality
        elif code == "survival":
            level = _survival_level(child, attribute["from"])
        else:
            count = len(child.counted_infections()) if code == "infections" else kinds.count(code)
            level = min(count, len(betas) - 1)
        lost += float(betas[level])
    return 1 - lost / float(document["palliation"])


def _survival_level(child: Child, days: list[int]) -> int:
    if not child.died_within:
        return 0
    lived = (child.died_within - child.index.on).days
    return next(level for level in range(1, len(days)) if lived >= days[level])


def success(child: Child) -> bool | None:
    """Whether treatment went well; None where that cannot be known."""
    value = score(child)
    threshold = weights().get("success-threshold", weights().get("success_threshold"))
    return None if value is None else value >= float(threshold)


def tally(nation: Nation, ods: str) -> Tally:
    """The counts of one hospital."""
    told = [success(child) for child in nation.of(ods)]
    known = [value for value in told if value is not None]
    return Tally(len(told), len(known), sum(known))

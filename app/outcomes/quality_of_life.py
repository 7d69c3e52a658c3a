"""From a parent's answers to the quality of life level that the score counts: 0 is best, 3 is worst.

The map is a Library, so that a site with a licensed instrument adds its own thresholds without code. What ships is a demonstration.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec

from app.fhir.errors import BusinessRule, NotFound
from app.outcomes import artefact


class Instrument(msgspec.Struct, frozen=True):
    """`worst_of` holds, for levels 0, 1, 2 and 3, the worst total that still belongs to the level, going from best to worst."""

    questionnaire: str
    title: str
    best: float
    worst: float
    worst_of: list[float]


class Document(msgspec.Struct, frozen=True):
    instruments: list[Instrument]


def load(library: Mapping[str, Any]) -> dict[str, Instrument]:
    """Instruments by the canonical URL of their Questionnaire. Raises Invalid."""
    document: Document = artefact.typed(library, Document)
    return {instrument.questionnaire: instrument for instrument in document.instruments}


@lru_cache(maxsize=1)
def demonstration() -> dict[str, Instrument]:
    """The map that ships."""
    return load(artefact.shipped("quality-of-life-demonstration"))


def quality_of_life_level(questionnaire: str, total: float, instruments: Mapping[str, Instrument] | None = None) -> int:
    """The level for an instrument's total. `questionnaire` may carry a version.

    Raises NotFound for an instrument without a map, BusinessRule for a total outside its range.
    """
    known = instruments if instruments is not None else demonstration()
    instrument = known.get(questionnaire.partition("|")[0])
    if instrument is None:
        raise NotFound("No quality of life map is known for this questionnaire.")
    low, high = sorted((instrument.best, instrument.worst))
    if not low <= total <= high:
        raise BusinessRule(f"A total of {total:g} is outside the instrument's range of {low:g} to {high:g}.")
    sign = 1 if instrument.worst > instrument.best else -1
    return next(level for level, bound in enumerate(instrument.worst_of) if sign * total <= sign * bound)

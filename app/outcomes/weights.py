"""The weights of the treatment success score, as a versioned Library.

The programme's weights are not public. What ships is a demonstration that keeps every published constraint, and nothing is called the
programme's unless the Library declares it, with its source, and whoever loads it asks for that.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import msgspec
import numpy as np

from app.fhir.errors import Invalid, NotFound
from app.outcomes import artefact
from app.statistics.arrays import Floats

OPERATIONS = ("major-planned", "minor-planned", "major-emergency", "minor-emergency")
INFECTIONS, QUALITY_OF_LIFE, SURVIVAL = "infections", "quality-of-life", "survival"
ATTRIBUTES = (*OPERATIONS, INFECTIONS, QUALITY_OF_LIFE, SURVIVAL)


class Attribute(msgspec.Struct, frozen=True):
    """`betas` are utilities by level, 0 for the best, falling. `from_` is the least count (or, for survival, days of life) of each level."""

    code: str
    title: str
    levels: list[str]
    betas: list[float]
    from_: list[int] = msgspec.field(default_factory=list, name="from")


class Document(msgspec.Struct, frozen=True):
    """What the Library's content holds. `covariance` is over the betas above level 0, attribute by attribute, then palliation."""

    standing: Literal["demonstration", "programme"]
    group: str
    attributes: list[Attribute]
    palliation: float
    covariance: list[list[float]]
    success_threshold: float
    quality_of_life_after_death: int
    source: str = ""


@dataclass(frozen=True)
class WeightSet:
    """A checked set. `betas` (k,), `covariance` (k + 1, k + 1), `first` the position of each attribute's level 1."""

    canonical: str
    label: str
    standing: str
    group: str
    attributes: tuple[Attribute, ...]
    betas: Floats
    palliation: float
    covariance: Floats
    first: tuple[int, ...]
    success_threshold: float
    quality_of_life_after_death: int

    def levels(self, code: str) -> int:
        """The number of the worst level of an attribute."""
        return len(self.attributes[ATTRIBUTES.index(code)].betas) - 1


def load(library: Mapping[str, Any], *, as_programme: bool = False) -> WeightSet:
    """A Library as weights.

    `as_programme` asks to call them the programme's: refused with Invalid unless the Library declares `standing` programme, is active, not
    experimental, and names its source. Without it even such a set is labelled as not confirmed. Raises Invalid for any broken constraint.
    """
    document: Document = artefact.typed(library, Document)
    _check(document)
    declared = (
        document.standing == "programme"
        and bool(document.source)
        and library.get("status") == "active"
        and not library.get("experimental", False)
    )
    if as_programme and not declared:
        raise Invalid(
            "These weights cannot be called the programme's: the library must declare standing 'programme' with a source, "
            "be active and not experimental.",
            expression="Library",
        )
    title = str(library.get("title") or library["name"])
    betas = [attribute.betas[1:] for attribute in document.attributes]
    return WeightSet(
        artefact.canonical(library),
        _label(title, declared, as_programme),
        document.standing if as_programme else "demonstration",
        document.group,
        tuple(document.attributes),
        np.array([beta for each in betas for beta in each]),
        document.palliation,
        np.array(document.covariance, dtype=np.float64),
        tuple(int(n) for n in np.cumsum([0, *(len(each) for each in betas)])[:-1]),
        document.success_threshold,
        document.quality_of_life_after_death,
    )


def _label(title: str, declared: bool, as_programme: bool) -> str:
    if as_programme:
        return title
    if declared:
        return f"{title} (not confirmed as the programme's)"
    return title if "demonstration" in title.lower() else f"{title} (demonstration)"


def _check(document: Document) -> None:
    """The constraints that any weight set must meet, all at once."""
    problems = []
    codes = tuple(attribute.code for attribute in document.attributes)
    if codes != ATTRIBUTES:
        raise Invalid(f"The attributes must be {', '.join(ATTRIBUTES)}, in this order.", expression="Library.content[0].data")
    for attribute in document.attributes:
        if attribute.betas[:1] != [0] or len(attribute.betas) != len(attribute.levels) or len(attribute.betas) < 2:
            problems.append(f"{attribute.code}: the first level has beta 0, and each level has one")
        if any(later > before for before, later in zip(attribute.betas, attribute.betas[1:], strict=False)):
            problems.append(f"{attribute.code}: a worse level must not have a better weight")
        if min(attribute.betas) <= document.palliation:
            problems.append(f"{attribute.code}: no single level may weigh more than palliation")
        if attribute.code != QUALITY_OF_LIFE and len(attribute.from_) != len(attribute.betas):
            problems.append(f"{attribute.code}: each level needs its bound in 'from'")
    size = sum(len(attribute.betas) - 1 for attribute in document.attributes) + 1
    covariance = (
        np.array(document.covariance, dtype=np.float64) if len({len(r) for r in document.covariance}) == 1 else np.zeros(0)
    )
    if covariance.shape != (size, size):
        problems.append(f"the covariance must be {size} by {size}")
    elif not np.allclose(covariance, covariance.T) or np.linalg.eigvalsh(covariance).min() < -1e-9:
        problems.append("the covariance must be symmetric without negative eigenvalues")
    quality = document.attributes[ATTRIBUTES.index(QUALITY_OF_LIFE)]
    if not 0 <= document.quality_of_life_after_death < len(quality.betas):
        problems.append("quality_of_life_after_death must be a level of quality of life")
    if problems:
        raise Invalid(f"The weights do not fit: {'; '.join(problems)}.", expression="Library.content[0].data")


@lru_cache(maxsize=1)
def demonstration() -> WeightSet:
    """The set that ships: a demonstration, not the programme's."""
    return load(artefact.shipped("treatment-success-demonstration"))


@lru_cache(maxsize=1)
def in_force() -> WeightSet:
    """The programme's set where a site has put one beside the others as `treatment-success-programme.json`, else the demonstration.

    Raises Invalid where that file does not declare itself the programme's.
    """
    try:
        library = artefact.shipped("treatment-success-programme")
    except NotFound:
        return demonstration()
    return load(library, as_programme=True)

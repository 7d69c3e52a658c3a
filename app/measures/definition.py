"""A Measure, ready to be evaluated: standard FHIR with FHIRPath criteria on the case's resources.

What must stay true: only what is understood is evaluated; a Measure with another scoring, language or several groups is refused with the
place, not half evaluated.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from app.content import PROFILES
from app.fhir import codec
from app.fhir.errors import BusinessRule, FHIRError, NotFound, NotSupported
from app.fhir.fhirpath import Expression
from app.fhir.fhirpath import compile as compile_fhirpath
from app.outcomes import artefact
from app.store.rules import same

LANGUAGE = "text/fhirpath"
POPULATIONS = ("initial-population", "denominator", "denominator-exclusion", "denominator-exception", "numerator")
_NEEDED = ("initial-population", "denominator", "numerator")


@dataclass(frozen=True)
class Definition:
    """`criteria` by population code, in the order of POPULATIONS; `stratifiers` by their code's text."""

    resource: Mapping[str, Any]
    id: str
    canonical: str
    title: str
    decrease: bool
    adjusted: bool
    criteria: Mapping[str, Expression]
    stratifiers: tuple[tuple[str, Expression], ...]
    own: bool  # one of the program's; anybody else's is evaluated on the caller's own cases alone

    @property
    def key(self) -> tuple[str, ...]:
        """What makes two definitions count alike, whatever they are called."""
        named = [*self.criteria.items(), *self.stratifiers]
        return (self.canonical, *(f"{name}: {expression.text}" for name, expression in named))


def shipped_ids() -> list[str]:
    """The ids of the Measures that come with the program, in order."""
    return sorted(path.stem for path in (PROFILES / "measures").glob("*.json"))


@lru_cache(maxsize=32)
def shipped(id: str) -> Definition:
    """A Measure of `profiles/measures/`. Raises NotFound."""
    if id not in shipped_ids():
        raise NotFound(f"There is no measure '{id[:64]}'. There is: {', '.join(shipped_ids())}.")
    return define(codec.decode((PROFILES / "measures" / f"{id}.json").read_bytes()), own=True)


def refuse_namesake(measure: Mapping[str, Any]) -> None:
    """No client stores another Measure under the url of one that ships: its reports would pass for those. Raises BusinessRule."""
    url = str(measure.get("url", "")).partition("|")[0]
    for id in shipped_ids():
        ours = shipped(id).resource
        if url == ours["url"] and not same({**measure, "meta": None}, {**ours, "meta": None}):
            raise BusinessRule(f"{url} is a Measure of this server's own. Give yours another url.", expression="Measure.url")


def define(measure: Mapping[str, Any], *, own: bool = False) -> Definition:
    """A Measure as a definition. Raises NotSupported with the place."""
    scoring = _code(measure.get("scoring") or {})
    if scoring != "proportion":
        raise NotSupported(f"Only proportion measures can be evaluated, not '{scoring}'.", expression="Measure.scoring")
    groups = measure.get("group") or []
    if len(groups) != 1:
        raise NotSupported(f"A measure must have one group; this has {len(groups)}.", expression="Measure.group")
    criteria = {}
    for index, population in enumerate(groups[0].get("population") or []):
        code, where = _code(population.get("code") or {}), f"Measure.group[0].population[{index}]"
        if code not in POPULATIONS:
            raise NotSupported(f"The population '{code}' cannot be evaluated.", expression=f"{where}.code")
        criteria[code] = _expression(population.get("criteria") or {}, f"{where}.criteria")
    if missing := [code for code in _NEEDED if code not in criteria]:
        raise NotSupported(f"The measure lacks the population(s) {', '.join(missing)}.", expression="Measure.group[0].population")
    if len(groups[0].get("stratifier") or []) > 1:
        raise NotSupported("A measure can have one stratifier.", expression="Measure.group[0].stratifier")
    stratifiers = []
    for index, stratifier in enumerate(groups[0].get("stratifier") or []):
        where = f"Measure.group[0].stratifier[{index}]"
        if "component" in stratifier:
            raise NotSupported("Stratifiers with components cannot be evaluated.", expression=where)
        name = (stratifier.get("code") or {}).get("text") or f"stratifier {index + 1}"
        stratifiers.append((str(name), _expression(stratifier.get("criteria") or {}, f"{where}.criteria")))
    return Definition(
        measure,
        str(measure["id"]),
        artefact.canonical(measure) if "version" in measure else str(measure["url"]),
        str(measure.get("title") or measure.get("name") or measure["id"]),
        _code(measure.get("improvementNotation") or {}) == "decrease",
        bool(measure.get("library")),
        {code: criteria[code] for code in POPULATIONS if code in criteria},
        tuple(stratifiers),
        own,
    )


def _code(concept: Mapping[str, Any]) -> str:
    return str(next((coding.get("code") for coding in concept.get("coding") or []), concept.get("text", "")))


def _expression(criteria: Mapping[str, Any], where: str) -> Expression:
    if criteria.get("language") != LANGUAGE or not criteria.get("expression"):
        raise NotSupported(f"Criteria must be in {LANGUAGE}, not {criteria.get('language')}.", expression=where)
    try:
        return compile_fhirpath(str(criteria["expression"]))
    except FHIRError as error:
        raise NotSupported(f"The criterion does not compile: {error}", expression=f"{where}.expression") from error

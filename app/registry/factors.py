"""Child factors (case mix) out of Observations. Their codes and grades are data: terminology/child-factor.json."""

import json
from collections.abc import Iterable
from decimal import Decimal
from functools import cache
from typing import Any

from app import names
from app.content import TERMINOLOGY
from app.outcomes.case_facts import Factors
from app.registry.encounters import SOURCE_ORDER, codes, source_of

FROM_LOINC = {"11884-4": "gestation", "8339-4": "birth-weight"}
UNITS = {  # in weeks and grams: UCUM's code first, then what messages say instead, in lower case
    "gestation": {
        1.0: ("wk", "wks", "week", "weeks"),
        1 / 7: ("d", "day", "days"),
    },
    "birth-weight": {
        1.0: ("g", "gm", "gms", "gram", "grams", "gramme", "grammes"),
        1000.0: ("kg", "kgs", "kilo", "kilos", "kilogram", "kilograms", "kilogramme", "kilogrammes"),
    },
}
TO_BASE = {factor: {unit: base for base, units in table.items() for unit in units} for factor, table in UNITS.items()}
FLAGS = ("major-cardiac-anomaly", "chromosomal-anomaly", "other-anomaly", "antenatal-diagnosis")
YES = frozenset(("Y", "373066001", "yes", "true"))
NO = frozenset(("N", "373067005", "no", "false"))


@cache
def severities() -> dict[str, tuple[str, int]]:
    """Severity class -> (condition, grade 0 to 2)."""
    system = json.loads((TERMINOLOGY / "child-factor.json").read_bytes())
    classes = next(concept["concept"] for concept in system["concept"] if concept["code"] == "severity")
    table = {}
    for each in classes:
        told = {p["code"]: p.get("valueCode", p.get("valueInteger")) for p in each["property"]}
        table[each["code"]] = (told["condition"], told["grade"])
    return table


def factors_from(observations: Iterable[dict[str, Any]], condition: str) -> Factors:
    """The factors that these Observations tell; of two that know the same, the better source, then the later."""
    told: dict[str, Any] = {}
    for observation in sorted(observations, key=_credence):
        for factor in _factors_of(observation):
            if (value := _value(observation, factor, condition)) is not None:
                told[factor] = value
    return Factors(
        gestation_weeks=told.get("gestation"),
        birth_weight_g=told.get("birth-weight"),
        severity=told.get("severity"),
        severity_grade=severities()[told["severity"]][1] if "severity" in told else None,
        **{factor.replace("-", "_"): told[factor] for factor in FLAGS if factor in told},
    )


def as_observations(factors: Factors) -> list[dict[str, Any]]:
    """The factors that are not yes or no, in weeks, grams and a class, as an operative record asks for them."""
    values = {
        "gestation": {"valueQuantity": {"value": factors.gestation_weeks, "code": "wk"}} if factors.gestation_weeks else None,
        "birth-weight": {"valueQuantity": {"value": factors.birth_weight_g, "code": "g"}} if factors.birth_weight_g else None,
        "severity": {"valueCodeableConcept": _coded(factors.severity)} if factors.severity else None,
    }
    return [{"resourceType": "Observation", "code": _coded(factor), **value} for factor, value in values.items() if value]


def _coded(code: str) -> dict[str, Any]:
    return {"coding": [{"system": names.CHILD_FACTOR, "code": code}]}


def _credence(observation: dict[str, Any]) -> tuple[int, str, str]:
    source = source_of(observation)
    rank = SOURCE_ORDER.index(source) if source in SOURCE_ORDER else len(SOURCE_ORDER)
    return -rank, observation.get("effectiveDateTime", ""), str(observation.get("id", ""))


def _factors_of(observation: dict[str, Any]) -> set[str]:
    code = observation.get("code")
    loinc = (FROM_LOINC[c] for c in codes(code, names.LOINC) if c in FROM_LOINC)
    return {*codes(code, names.CHILD_FACTOR), *loinc}


def _value(observation: dict[str, Any], factor: str, condition: str) -> float | bool | str | None:
    """What an Observation knows of a factor; None where it does not know it."""
    if factor in UNITS:
        return _amount(observation, factor)
    if factor == "severity":
        classes = codes(observation.get("valueCodeableConcept"), names.CHILD_FACTOR)
        return next((code for code in classes if severities().get(code, ("", 0))[0] == condition), None)
    return _flag(observation)


def _amount(observation: dict[str, Any], factor: str) -> float | None:
    """Weeks or grams, to a thousandth; None in a unit that is not known for this factor, or in none. A bare integer is in weeks or grams."""
    quantity = observation.get("valueQuantity", {"value": observation.get("valueInteger"), "code": UNITS[factor][1.0][0]})
    said = (str(quantity.get(key, "")).strip().lower() for key in ("code", "unit"))
    base = next((TO_BASE[factor][unit] for unit in said if unit in TO_BASE[factor]), None)
    value = quantity.get("value")
    return round(float(value) * base, 3) if base and isinstance(value, int | float | Decimal) else None


def _flag(observation: dict[str, Any]) -> bool | None:
    if "valueBoolean" in observation:
        return bool(observation["valueBoolean"])
    said = {coding.get("code") for coding in observation.get("valueCodeableConcept", {}).get("coding", ())}
    return True if said & YES else False if said & NO else None

"""Case mix: what outcome to expect for a child, from factors that were known before the first operation.

The factors are declared in a Library before any outcome is looked at; the fit is a penalised logistic regression, because strata are tiny. What
must stay true: the intercept is free, so expected equals observed over the fitted cases; a missing factor has its own indicator and never drops a child; a
model's version is a hash of its data and its factors, so that two figures with one version come from one model.
"""

import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np

from app.fhir.errors import BusinessRule, Invalid
from app.names import CONDITIONS, canonical
from app.outcomes import artefact
from app.outcomes.case_facts import CaseFacts
from app.statistics import calibration, logistic
from app.statistics.arrays import Floats, Integers

GRADES = (1, 2)
FEWEST_CASES = 50
FOLDS = 10


class Number(msgspec.Struct, frozen=True):
    """A measured factor, as (value - centre) / scale, cut to low..high first."""

    factor: str
    centre: float
    scale: float
    low: float
    high: float


class Specification(msgspec.Struct, frozen=True):
    """The declared factors: what goes into the model and how strongly it is penalised."""

    reference_condition: str
    ridge: float
    numbers: list[Number]
    flags: list[str]
    severity: str = "grade by condition"
    missing_indicators: bool = True


class Performance(msgspec.Struct, frozen=True):
    """Of `calibration.Calibration`; None where it cannot be told."""

    auc: float | None
    slope: float | None
    intercept: float | None
    in_the_large: float | None
    brier: float | None


class Model(msgspec.Struct, frozen=True):
    """A fitted model. `covariance` is over the coefficients, on the log-odds scale."""

    outcome: str  # canonical url|version of the measure whose numerator it predicts
    version: str
    specification: Specification
    factors: list[str]
    coefficients: list[float]
    covariance: list[list[float]]
    cases: int
    events: int
    fitted_on: str  # first..last index date of the cases
    apparent: Performance
    cross_validated: Performance

    @property
    def canonical(self) -> str:
        """`url|version` of the Library that carries it."""
        return f"{canonical('Library', library_id(self.outcome))}|{self.version}"


@lru_cache(maxsize=1)
def demonstration() -> Specification:
    """The factors that ship."""
    found: Specification = artefact.typed(artefact.shipped("case-mix-demonstration"), Specification)
    return found


def factor_names(specification: Specification) -> list[str]:
    """The columns of the design, in order."""
    names = ["intercept", *(f"condition:{c}" for c in CONDITIONS if c != specification.reference_condition)]
    names += [f"severity:{c}:{grade}" for c in CONDITIONS for grade in GRADES]
    names += [number.factor for number in specification.numbers] + specification.flags
    if specification.missing_indicators:
        names += [f"missing:{f}" for f in ("severity", *(n.factor for n in specification.numbers), *specification.flags)]
    return names


def design(cases: Sequence[CaseFacts], specification: Specification) -> Floats:
    """The design (n, k): a column for each of `factor_names`. About 2 µs a case."""
    names = factor_names(specification)
    place = {name: column for column, name in enumerate(names)}
    rows = np.zeros((len(cases), len(names)))
    rows[:, 0] = 1.0
    for row, facts in zip(rows, cases, strict=True):
        factors = facts.factors
        if (column := place.get(f"condition:{facts.condition}")) is not None:
            row[column] = 1.0
        missing = ["severity"] if factors.severity_grade is None else []
        if (column := place.get(f"severity:{facts.condition}:{factors.severity_grade}")) is not None:
            row[column] = 1.0
        for number in specification.numbers:
            value = getattr(factors, number.factor)
            if value is None:
                missing.append(number.factor)
            else:
                row[place[number.factor]] = (min(max(value, number.low), number.high) - number.centre) / number.scale
        for flag in specification.flags:
            value = getattr(factors, flag)
            if value is None:
                missing.append(flag)
            else:
                row[place[flag]] = float(value)
        if specification.missing_indicators:
            for name in missing:
                row[place[f"missing:{name}"]] = 1.0
    return rows


def fit(
    matrix: Floats, outcomes: Integers, keys: Sequence[str], days: Sequence[str], *, outcome: str, specification: Specification
) -> Model:
    """A model of `outcomes` (n,) of 0 and 1 by the design (n, k). `keys` (case ids) order the cases, `days` are their index dates.

    Raises BusinessRule where there are too few cases, or all had one outcome.
    """
    events = int(outcomes.sum())
    if len(outcomes) < FEWEST_CASES or events in (0, len(outcomes)):
        raise BusinessRule(
            f"A case-mix model needs at least {FEWEST_CASES} cases with a known outcome, of both kinds; "
            f"there are {len(outcomes)}, {events} with the outcome."
        )
    order = np.argsort(np.array(keys))
    x, y = matrix[order], outcomes[order].astype(np.float64)
    fitted = _fit(x, y, specification)
    held_out = np.empty(len(y))
    fold = np.arange(len(y)) % FOLDS
    for number in range(FOLDS):
        out = fold == number
        held_out[out] = _chances(x[~out], y[~out], x[out], specification)
    digest = hashlib.sha256(msgspec.json.encode(specification) + outcome.encode() + x.tobytes() + y.tobytes()).hexdigest()
    return Model(
        outcome,
        digest[:12],
        specification,
        factor_names(specification),
        fitted.coefficients.tolist(),
        fitted.covariance.tolist(),
        len(y),
        events,
        f"{min(days)}..{max(days)}",
        _performance(y, fitted.predict(x)),
        _performance(y, held_out),
    )


def _fit(x: Floats, y: Floats, specification: Specification) -> logistic.Fit:
    penalty = np.full(x.shape[1], max(specification.ridge, 1e-6))
    penalty[0] = 0.0
    try:
        return logistic.fit(x, y, ridge=penalty)
    except logistic.NotConverged as error:
        raise BusinessRule(f"The case-mix model could not be fitted: {error}.") from error


def _chances(x: Floats, y: Floats, others: Floats, specification: Specification) -> Floats:
    """Of `others` by a model of (x, y); where all of those had one outcome, their rate, half a case to either side."""
    events = y.sum()
    if events in (0, len(y)):
        return np.full(len(others), (events + 0.5) / (len(y) + 1))
    return _fit(x, y, specification).predict(others)


def _performance(y: Floats, chances: Floats) -> Performance:
    found = calibration.assess(y, chances)
    figures = (found.auc, found.slope, found.intercept, found.in_the_large, found.brier)
    return Performance(*(float(f) if np.isfinite(f) else None for f in figures))


def expected(matrix: Floats, model: Model) -> Floats:
    """The chance of the outcome (n,) for the rows of a design (n, k)."""
    return np.asarray(1 / (1 + np.exp(-(matrix @ np.array(model.coefficients)))))


def library_id(outcome: str) -> str:
    """`case-mix-treatment-success` for the measure of that name."""
    return f"case-mix-{outcome.partition('|')[0].rsplit('/', 1)[-1]}"


def to_library(model: Model, *, day: str) -> dict[str, Any]:
    """The model as a Library that says what it was fitted on and how well it predicts."""
    name = library_id(model.outcome)
    auc = f"{model.cross_validated.auc:.3f}" if model.cross_validated.auc is not None else "not known"
    return artefact.packed(
        {
            "resourceType": "Library",
            "id": name,
            "url": canonical("Library", name),
            "version": model.version,
            "name": "".join(part.capitalize() for part in name.split("-")),
            "title": f"Case-mix model for {name.removeprefix('case-mix-').replace('-', ' ')} (demonstration)",
            "status": "active",
            "experimental": True,
            "type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/library-type", "code": "asset-collection"}]},
            "date": day,
            "description": (
                f"A DEMONSTRATION. Fitted on {model.cases} cases, {model.events} with the outcome, operated {model.fitted_on}; "
                f"cross-validated AUC {auc}. The version is a hash of the data and the declared factors."
            ),
            "relatedArtifact": [
                {"type": "depends-on", "resource": artefact.canonical(artefact.shipped("case-mix-demonstration"))},
                {"type": "derived-from", "display": "The outcome is the numerator of the measure", "resource": model.outcome},
            ],
        },
        model,
    )


def from_library(library: Mapping[str, Any]) -> Model:
    """The model in a Library. Raises Invalid where its parts do not fit together."""
    model: Model = artefact.typed(library, Model)
    size = len(model.coefficients)
    if model.factors != factor_names(model.specification) or len(model.factors) != size or len(model.covariance) != size:
        raise Invalid(
            "The case-mix model's factors, coefficients and covariance do not fit together.", expression="Library.content"
        )
    return model

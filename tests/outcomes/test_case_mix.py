from datetime import date

import msgspec
import numpy as np
import pytest

from app.fhir.errors import BusinessRule, Invalid
from app.outcomes import artefact, case_mix
from app.outcomes.case_facts import Factors
from app.outcomes.score import score_many
from app.outcomes.weights import demonstration
from tests.outcomes.cases import case, nation

SPECIFICATION = case_mix.demonstration()
CASES = nation()
OUTCOMES = score_many(CASES, demonstration()).success
MATRIX = case_mix.design(CASES, SPECIFICATION)
NAMES = case_mix.factor_names(SPECIFICATION)
OUTCOME = "https://csor.example.org/Measure/treatment-success|0.1.0"


def fitted(order: np.ndarray | None = None) -> case_mix.Model:
    index = np.arange(len(CASES)) if order is None else order
    return case_mix.fit(
        MATRIX[index],
        OUTCOMES[index],
        [CASES[i].case for i in index],
        [CASES[i].index_date for i in index],
        outcome=OUTCOME,
        specification=SPECIFICATION,
    )


def test_a_child_as_a_row() -> None:
    facts = case(
        condition="congenital-diaphragmatic-hernia",
        factors=Factors(
            gestation_weeks=33.0, birth_weight_g=9000, major_cardiac_anomaly=True, chromosomal_anomaly=False, severity_grade=2
        ),
    )
    row = dict(zip(NAMES, case_mix.design([facts], SPECIFICATION)[0], strict=True))
    assert {name: value for name, value in row.items() if value} == {
        "intercept": 1,
        "condition:congenital-diaphragmatic-hernia": 1,
        "severity:congenital-diaphragmatic-hernia:2": 1,
        "gestation_weeks": -1,
        "birth_weight_g": (5500 - 2600) / 800,
        "major_cardiac_anomaly": 1,
        "missing:other_anomaly": 1,
    }


def test_nothing_known_drops_no_child() -> None:
    row = dict(zip(NAMES, case_mix.design([case(factors=Factors())], SPECIFICATION)[0], strict=True))
    assert sum(value for name, value in row.items() if name.startswith("missing:")) == 6


@pytest.mark.parametrize("events", [1, 2, len(CASES) - 1])
def test_an_outcome_that_one_fold_alone_has(events: int) -> None:
    outcomes = np.zeros(len(CASES), dtype=np.int64)
    outcomes[np.argsort(np.array([each.case for each in CASES]))[:: case_mix.FOLDS][:events]] = 1
    if events > 2:
        outcomes = 1 - np.eye(len(CASES), dtype=np.int64)[0]
    model = case_mix.fit(
        MATRIX, outcomes, [each.case for each in CASES], ["2023-01-01"], outcome=OUTCOME, specification=SPECIFICATION
    )
    assert case_mix.expected(MATRIX, model).sum() == pytest.approx(events, abs=1e-6)
    assert model.cross_validated.auc is not None


def test_a_model_without_a_maximum_is_refused_with_a_reason() -> None:
    endless = msgspec.structs.replace(SPECIFICATION, ridge=0.0)
    separated = np.column_stack([np.ones(60), np.repeat([0.0, 1e9], 30)])
    with pytest.raises(BusinessRule, match="could not be fitted"):
        case_mix.fit(
            separated, np.repeat([0, 1], 30), [f"{n:02}" for n in range(60)], ["x"], outcome=OUTCOME, specification=endless
        )


def test_expected_equals_observed_and_severity_counts() -> None:
    model = fitted()
    chances = case_mix.expected(MATRIX, model)
    assert chances.sum() == pytest.approx(OUTCOMES.sum(), abs=1e-6)
    effects = dict(zip(model.factors, model.coefficients, strict=True))
    assert effects["severity:gastroschisis:2"] < -0.8 and effects["major_cardiac_anomaly"] < -0.4
    assert model.apparent.auc is not None and model.cross_validated.auc is not None
    assert 0.62 < model.cross_validated.auc <= model.apparent.auc
    assert model.cross_validated.slope == pytest.approx(1, abs=0.25)


def test_the_version_is_of_the_data_and_not_of_their_order() -> None:
    model = fitted()
    again = fitted(np.random.default_rng(2).permutation(len(CASES)))
    assert again.version == model.version and again.coefficients == pytest.approx(model.coefficients)
    assert fitted(np.arange(len(CASES) - 1)).version != model.version


def test_a_model_goes_through_its_library_unchanged() -> None:
    model = fitted()
    library = case_mix.to_library(model, day=date(2026, 1, 1).isoformat())
    assert case_mix.from_library(library) == model
    assert artefact.canonical(library) == model.canonical
    assert "DEMONSTRATION" in library["description"] and library["experimental"] is True
    broken = artefact.packed(library, msgspec.structs.replace(model, coefficients=model.coefficients[:-1]))
    with pytest.raises(Invalid, match="do not fit together"):
        case_mix.from_library(broken)


def test_too_few_cases_are_refused() -> None:
    with pytest.raises(BusinessRule, match="at least 50"):
        fitted(np.arange(49))
    with pytest.raises(BusinessRule, match="both kinds"):
        fitted(np.flatnonzero(OUTCOMES == 1))

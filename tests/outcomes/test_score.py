import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.outcomes.score import score, score_many
from app.outcomes.weights import OPERATIONS, demonstration
from tests.outcomes.cases import case, infections, operations

WEIGHTS = demonstration()


def test_the_best_possible_outcome_scores_one() -> None:
    assert score(case(operations=()), WEIGHTS).value == 1
    assert score(case(operations=()), WEIGHTS).low == 1  # nothing weighed, nothing uncertain


def test_an_outcome_as_bad_as_palliation_scores_nothing_and_a_worse_one_less() -> None:
    from dataclasses import replace

    dead = case(operations=(), died_on="2023-01-03", as_of="2023-01-03", quality_of_life=None)
    as_bad = replace(WEIGHTS, palliation=-1.996)
    assert score(dead, as_bad).value == pytest.approx(0)
    assert score(dead, replace(WEIGHTS, palliation=-1.5)).value == pytest.approx(1 - 1.996 / 1.5)


def test_by_hand() -> None:
    facts = case(
        operations=operations("major-planned", "major-emergency", "major-emergency", "minor-planned"),
        infections=infections(2),
        quality_of_life=1,
    )
    found = score(facts, WEIGHTS)
    utility = -0.03 - 0.15 - 0.02 - 0.12 - 0.22
    assert found.value == pytest.approx(1 + utility / 2.2)
    assert found.success is True  # 0.7545 with a threshold of 0.75
    assert found.low is not None and found.high is not None and found.low < found.value < found.high
    assert (found.worst, found.best) == (pytest.approx(found.value), pytest.approx(found.value))
    assert found.as_of_age_days == 366
    assert "demonstration" in found.label.lower() and found.weights.endswith("/treatment-success-demonstration|0.1.0")


def test_uncertainty_is_that_of_the_weights() -> None:
    """The delta method against 200,000 draws of the weights from their covariance."""
    facts = case(operations=operations("major-planned", "major-emergency"), infections=infections(1), quality_of_life=2)
    found = score(facts, WEIGHTS)
    mean = np.append(WEIGHTS.betas, WEIGHTS.palliation)
    draws = np.random.default_rng(3).multivariate_normal(mean, WEIGHTS.covariance, 200_000)
    first = WEIGHTS.first
    columns = [first[0], first[2], first[4], first[5] + 1]
    drawn = 1 - draws[:, columns].sum(axis=1) / draws[:, -1]
    assert found.low is not None and found.high is not None
    assert (found.high - found.low) / (2 * 1.959964) == pytest.approx(drawn.std(), rel=0.02)


def test_missing_quality_of_life_gives_bounds_and_no_verdict() -> None:
    found = score(case(quality_of_life=None), WEIGHTS)
    assert (found.value, found.low, found.high, found.success) == (None, None, None, None)
    assert (found.best, found.worst) == (
        score(case(quality_of_life=0), WEIGHTS).value,
        score(case(quality_of_life=3), WEIGHTS).value,
    )


def test_a_death_is_known_without_an_answer_and_is_worse_the_sooner() -> None:
    found = [
        score(case(died_on=day, as_of=day, quality_of_life=None), WEIGHTS) for day in ("2023-12-24", "2023-02-20", "2023-01-05")
    ]
    values = [each.value for each in found]
    assert None not in values and values == sorted(values, reverse=True) and len(set(values)) == 3  # type: ignore[type-var]
    assert [each.success for each in found] == [False] * 3
    assert found[2].as_of_age_days == 4


def test_before_the_horizon_there_is_a_score_as_of_an_age_but_no_verdict() -> None:
    found = score(case(horizon_reached=False, as_of="2023-06-30"), WEIGHTS)
    assert found.value is not None and found.success is None
    assert found.as_of_age_days == 180


@pytest.mark.parametrize("born", [None, "", "2023", "2023-01"])
def test_without_a_day_of_birth_there_is_a_score_and_no_age(born: str | None) -> None:
    found = score(case(birth_date=born), WEIGHTS)
    assert (found.value, found.as_of_age_days) == (score(case(), WEIGHTS).value, None)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(OPERATIONS), max_size=8),
    st.integers(0, 5),
    st.integers(0, 3),
    st.sampled_from([*OPERATIONS, "infection", "quality"]),
)
def test_nothing_bad_that_is_added_makes_the_score_better(kinds: list[str], ill: int, quality: int, added: str) -> None:
    before = case(operations=operations(*kinds), infections=infections(ill), quality_of_life=quality)
    after = case(
        operations=operations(*kinds, *([added] if added in OPERATIONS else [])),
        infections=infections(ill + (added == "infection")),
        quality_of_life=min(3, quality + (added == "quality")),
    )
    both = score_many([before, after], WEIGHTS)
    assert both.value[1] <= both.value[0] <= 1


def test_many_are_scored_as_one() -> None:
    cases = [case(), case(quality_of_life=None), case(died_on="2023-03-01"), case(quality_of_life=2, infections=infections(4))]
    many = score_many(cases, WEIGHTS)
    for index, facts in enumerate(cases):
        one = score(facts, WEIGHTS)
        assert (None if np.isnan(many.value[index]) else many.value[index]) == one.value
        assert {1: True, 0: False, -1: None}[int(many.success[index])] == one.success
    assert len(score_many([], WEIGHTS).value) == 0


def test_a_score_on_the_threshold_is_a_success_whatever_led_there() -> None:
    from dataclasses import replace

    facts = case(operations=operations("major-planned", "minor-planned"), infections=infections(1), quality_of_life=1)
    value = score(facts, WEIGHTS).value
    assert value is not None
    assert score(facts, replace(WEIGHTS, success_threshold=value)).success is True
    assert score(facts, replace(WEIGHTS, success_threshold=value + 1e-9)).success is False

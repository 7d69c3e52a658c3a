import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.statistics import intervals, poisson_binomial, tails

MIX = np.repeat([0.95, 0.80, 0.50], [10, 20, 10])


def test_a_mixed_ward_has_a_quarter_of_the_poisson_variance() -> None:
    mass = poisson_binomial.pmf(MIX)
    counts = np.arange(41)
    mean = mass @ counts
    assert mean == pytest.approx(30.5)
    assert mass @ (counts - mean) ** 2 == pytest.approx(6.175)
    assert (poisson_binomial.quantile(MIX, 0.025), poisson_binomial.quantile(MIX, 0.975)) == (25, 35)
    assert poisson_binomial.tails(24, MIX).low == pytest.approx(0.009939, abs=5e-7)
    assert poisson_binomial.tails(37, MIX).high == pytest.approx(0.004524, abs=5e-7)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=9))
def test_mass_equals_the_sum_over_every_outcome(chances: list[float]) -> None:
    exact = np.zeros(len(chances) + 1)
    for outcome in itertools.product((0, 1), repeat=len(chances)):
        exact[sum(outcome)] += np.prod([p if came else 1 - p for came, p in zip(outcome, chances, strict=True)])
    np.testing.assert_allclose(poisson_binomial.pmf(chances), exact, atol=1e-12)


@pytest.mark.parametrize("size", [1, 63, 64, 65, 200, 3000])
def test_equal_chances_give_the_binomial(size: int) -> None:
    from scipy.stats import binom

    np.testing.assert_allclose(poisson_binomial.pmf(np.full(size, 0.8)), binom.pmf(np.arange(size + 1), size, 0.8), atol=1e-13)
    observed = int(size * 0.7)
    one, other = poisson_binomial.tails(observed, np.full(size, 0.8)), tails.binomial(observed, size, 0.8)
    assert (float(one.low), float(one.high)) == (pytest.approx(other.low), pytest.approx(other.high))


@pytest.mark.parametrize("events", [0, 1, 7, 32, 39, 40])
def test_interval_for_equal_chances_is_clopper_and_pearsons(events: int) -> None:
    from scipy.stats import binomtest

    exact = binomtest(events, 40).proportion_ci(0.95, "exact")
    found = poisson_binomial.ratio_interval(events, np.full(40, 0.8))
    assert (found.low, found.high) == (pytest.approx(exact.low / 0.8, abs=1e-7), pytest.approx(exact.high / 0.8, abs=1e-7))


def test_interval_is_tighter_than_poisson_and_never_impossible() -> None:
    found = poisson_binomial.ratio_interval(32, np.full(40, 0.8))
    poisson = intervals.count_limits(32).scaled(1 / 32)
    assert found.high <= 1.25 < poisson.high
    assert found.high - found.low < 0.6 * (poisson.high - poisson.low)


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 60), st.integers(0, 10_000), st.data())
def test_interval_and_tails_agree_on_what_is_unusual(size: int, seed: int, data) -> None:
    chances = np.random.default_rng(seed).uniform(0.2, 0.97, size)
    observed = data.draw(st.integers(0, size))
    flagged = int(tails.flag(poisson_binomial.tails(observed, chances)))
    interval = poisson_binomial.ratio_interval(observed, chances)
    assert flagged == int(interval.low >= 1 - 1e-7) - int(interval.high <= 1 + 1e-7)


def test_large_hospitals_use_an_approximation_that_is_as_good() -> None:
    chances = np.random.default_rng(4).uniform(0.5, 0.97, 1500)
    found = poisson_binomial.ratio_interval(1090, chances)
    logit = np.log(chances / (1 - chances))
    for end, side in ((found.low, "high"), (found.high, "low")):
        tilted = 1 / (1 + np.exp(-logit - _shift_for(float(end) * chances.sum(), chances)))
        assert float(getattr(poisson_binomial.tails(1090, tilted), side)) == pytest.approx(0.025, abs=1e-4)


def _shift_for(mean: float, chances: np.ndarray) -> float:
    from scipy.optimize import brentq

    logit = np.log(chances / (1 - chances))
    return float(brentq(lambda shift: (1 / (1 + np.exp(-logit - shift))).sum() - mean, -5, 5, xtol=1e-13))


def test_drawn_limits_lie_within_one_case_of_the_exact_quantiles() -> None:
    drawn = poisson_binomial.limits(MIX, [0.025, 0.975])
    assert 24 <= drawn[0] <= 25 and 34 <= drawn[1] <= 35


@pytest.mark.parametrize("call", [lambda: poisson_binomial.pmf([1.2]), lambda: poisson_binomial.tails(3, [0.5, 0.5])])
def test_what_cannot_be_is_refused(call) -> None:
    with pytest.raises(ValueError):
        call()

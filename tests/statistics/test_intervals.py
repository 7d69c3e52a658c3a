import numpy as np
import pytest

from app.statistics import intervals


@pytest.mark.parametrize(
    ("count", "confidence", "low", "high"),
    [
        (65, 0.95, 50.163187710, 82.849138546),
        (1045, 0.95, 982.593201807, 1110.331212986),
        (1, 0.95, 0.013072133, 5.563755582),
        (65, 0.998, 42.880261471, 94.000290844),
    ],
)
def test_byar_equals_the_published_rows(count: int, confidence: float, low: float, high: float) -> None:
    found = intervals.byar(count, confidence)
    assert found.low == pytest.approx(low, abs=5e-9)
    assert found.high == pytest.approx(high, abs=5e-9)


@pytest.mark.parametrize(
    ("events", "cases", "confidence", "low", "high"),
    [
        (65, 100, 0.95, 0.552544433, 0.736357518),
        (1045, 5000, 0.95, 0.197955499, 0.220491304),
        (65, 100, 0.998, 0.495494657, 0.778354061),
        (1, 100, 0.95, 0.001767432, 0.054486196),
        (5, 100, 0.95, 0.021543679, 0.111750469),
        (20, 100, 0.95, 0.133366933, 0.288829166),
    ],
)
def test_wilson_equals_the_published_rows(events: int, cases: int, confidence: float, low: float, high: float) -> None:
    found = intervals.wilson(events, cases, confidence)
    assert (found.low, found.high) == (pytest.approx(low, abs=5e-9), pytest.approx(high, abs=5e-9))


def test_wilson_equals_statsmodels() -> None:
    from statsmodels.stats.proportion import proportion_confint

    events, cases = np.arange(0, 41), np.full(41, 40)
    low, high = proportion_confint(events, cases, method="wilson")
    found = intervals.wilson(events, cases)
    np.testing.assert_allclose(found.low, low, atol=1e-12)
    np.testing.assert_allclose(found.high, high, atol=1e-12)


def test_exact_poisson_limits_are_the_means_whose_tails_are_half_of_the_rest() -> None:
    from scipy.stats import poisson

    counts = np.array([1, 3, 9, 40])
    found = intervals.poisson_exact(counts)
    np.testing.assert_allclose(poisson.sf(counts - 1, found.low), 0.025, rtol=1e-9)
    np.testing.assert_allclose(poisson.cdf(counts, found.high), 0.025, rtol=1e-9)
    assert intervals.poisson_exact(0).low == 0


def test_counts_are_exact_below_ten_and_byar_from_there() -> None:
    found = intervals.count_limits([9, 10])
    assert found.low[0] == intervals.poisson_exact(9).low
    assert found.low[1] == intervals.byar(10).low


def test_mean_of_known_spread() -> None:
    sample = 53.704345 + 20.975575258 * np.array([1, -1, 1, -1, 1, -1, 1, -1]) * np.sqrt(7 / 8)
    found = intervals.mean(sample)
    assert (found.low, found.high) == (pytest.approx(36.168325, abs=1e-5), pytest.approx(71.240365, abs=1e-5))
    found = intervals.mean(sample, 0.998)
    assert (found.low, found.high) == (pytest.approx(18.216705, abs=1e-5), pytest.approx(89.191985, abs=1e-5))


@pytest.mark.parametrize(
    "call",
    [
        lambda: intervals.byar(-1),
        lambda: intervals.byar(float("nan")),
        lambda: intervals.wilson(3, 2),
        lambda: intervals.mean([1.0]),
        lambda: intervals.byar(3, confidence=1.0),
    ],
)
def test_what_cannot_be_is_refused(call) -> None:
    with pytest.raises(ValueError):
        call()

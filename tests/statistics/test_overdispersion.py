import numpy as np
import pytest

from app.statistics import heterogeneity, multiplicity, overdispersion, standardisation
from tests.statistics.test_tails_and_funnel import CENTRES

OPERATIONS, DEATHS = np.array(list(CENTRES.values())).T
TARGET = 397 / 3319


def test_overdispersion_of_childrens_heart_surgery() -> None:
    z = overdispersion.proportion_z(DEATHS, OPERATIONS, TARGET)
    assert (z**2).sum() == pytest.approx(58.0662, abs=5e-5)
    assert overdispersion.phi(z) == pytest.approx(4.83885, abs=5e-6)
    cut = overdispersion.winsorised(z)
    assert (cut.min(), cut.max()) == (pytest.approx(-1.42140, abs=5e-6), pytest.approx(2.24049, abs=5e-6))
    assert overdispersion.phi(cut) == pytest.approx(1.68929, abs=5e-6)
    cut = overdispersion.winsorised(overdispersion.arcsine_z(DEATHS, OPERATIONS, TARGET))
    assert overdispersion.phi(cut) == pytest.approx(1.56171, abs=5e-6)
    assert overdispersion.tau_squared(cut, 1 / (2 * np.sqrt(OPERATIONS))) == pytest.approx(6.5117e-4, abs=5e-8)


def test_log_ratio_scores() -> None:
    observed, expected = [100, 150, 180, 80, 120, 225], [108, 112, 165, 95, 100, 220]
    z = overdispersion.log_ratio_z(observed, expected)
    assert z == pytest.approx([-0.79980, 3.09168, 1.11768, -1.67499, 1.82322, 0.33333], abs=5e-6)
    assert overdispersion.phi(z) == pytest.approx(2.948033, abs=5e-7)
    assert overdispersion.tau_squared(z, 1 / np.sqrt(expected)) == pytest.approx(0.0194775, abs=5e-8)


def test_limits_are_widened_only_where_there_is_more_than_chance() -> None:
    assert overdispersion.multiplier([0.5, -0.5, 0.2]) == 1
    assert overdispersion.multiplier([2.0, -2.0, 2.0]) == pytest.approx(2)


def test_variation_between_hospitals() -> None:
    found = heterogeneity.dersimonian_laird(*heterogeneity.log_odds(DEATHS, OPERATIONS))
    assert (found.q, found.df) == (pytest.approx(53.5479, abs=5e-5), 11)
    assert (found.i_squared, found.tau_squared) == (pytest.approx(79.46, abs=5e-3), pytest.approx(0.13689, abs=5e-6))
    without = heterogeneity.leave_one_out(*heterogeneity.log_odds(DEATHS, OPERATIONS))[0]
    assert (without.q, without.tau_squared) == (pytest.approx(19.0193, abs=5e-5), pytest.approx(0.03207, abs=5e-6))
    assert heterogeneity.median_odds_ratio(0.352933) == pytest.approx(1.40025, abs=5e-6)
    assert heterogeneity.reliability(0.1, [0.1, 0.3]) == pytest.approx([0.5, 0.25])


def test_empty_cells_do_not_break_the_log_odds() -> None:
    odds, variance = heterogeneity.log_odds([0, 5], [10, 10])
    assert np.isfinite(odds).all() and np.isfinite(variance).all()


def test_benjamini_hochberg() -> None:
    p = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0]
    found = multiplicity.benjamini_hochberg(p)
    assert found[:5] == pytest.approx([0.0015, 0.0030, 0.0095, 0.035625, 0.0603], abs=5e-6)
    assert (found <= 0.05).sum() == 4
    shuffled = np.random.default_rng(1).permutation(15)
    assert multiplicity.benjamini_hochberg(np.array(p)[shuffled]) == pytest.approx(found[shuffled])


def test_indirect_standardisation_by_hand() -> None:
    expected = standardisation.expected_count([[10, 30], [40, 0]], [0.5, 0.1])
    assert expected == pytest.approx([8, 20])
    assert standardisation.ratio([4, 0], [8, 0])[0] == 0.5
    assert np.isnan(standardisation.ratio([4, 0], [8, 0])[1])
    interval = standardisation.ratio_interval(65, 50)
    assert interval.low == pytest.approx(50.163187710 / 50)
    assert standardisation.adjusted_rate(4, 8, 0.2) == pytest.approx(0.1)

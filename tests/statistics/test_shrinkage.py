import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit

from app.statistics import shrinkage
from tests.statistics.test_tails_and_funnel import CENTRES

CASES = [47, 148, 119, 810, 211, 196, 148, 215, 207, 97, 256, 360]
DEATHS = [0, 18, 8, 46, 8, 13, 9, 31, 14, 8, 29, 24]


def test_the_classic_ranking_example_without_a_sampler() -> None:
    table = shrinkage.binomial_table(DEATHS, CASES)
    found = shrinkage.posterior(table)
    assert (found.mu, found.mu_sd) == (pytest.approx(-2.558, abs=0.01), pytest.approx(0.1535, abs=0.003))
    assert (found.sigma, found.sigma_sd) == (pytest.approx(0.4035, abs=0.002), pytest.approx(0.158, abs=0.003))
    exact = [0.05323, 0.10316, 0.07075, 0.05930, 0.05178, 0.06926, 0.06673, 0.12315, 0.06999, 0.07855, 0.10214, 0.06852]
    assert found.mean(expit(table.grid)) == pytest.approx(exact, abs=3e-5)
    low, high = found.interval()
    assert np.all(low < found.mean(table.grid)) and np.all(high > found.mean(table.grid))
    above = found.probability_above(float(np.log(0.1 / 0.9)))
    assert above.argmax() == 7 and above[3] < 0.001


def test_an_interval_lies_where_the_density_does_however_fine_the_grid() -> None:
    grid = np.linspace(-4, 4, 81)  # a standard normal
    density = np.exp(-(grid**2) / 2)[:, None]
    found = shrinkage.Posterior(0, 0, 1, 0, grid, density / density.sum())
    assert np.ravel(found.interval()) == pytest.approx([-1.959964, 1.959964], abs=5e-3)


def test_maximum_likelihood() -> None:
    mu, sigma = shrinkage.maximum_likelihood(shrinkage.binomial_table(DEATHS, CASES))
    assert (mu, sigma) == (pytest.approx(-2.543959, abs=5e-5), pytest.approx(0.357698, abs=2e-4))
    operations, deaths = np.array(list(CENTRES.values())).T
    mu, sigma = shrinkage.maximum_likelihood(shrinkage.binomial_table(deaths, operations))
    assert (mu, sigma) == (pytest.approx(-1.932863, abs=5e-5), pytest.approx(0.352933, abs=2e-4))


def test_observed_against_expected_by_gauss_hermite() -> None:
    observed, expected = np.array([12, 30, 7, 22, 41]), np.array([10.0, 20.0, 14.0, 21.0, 40.0])
    node, weight = np.polynomial.hermite_e.hermegauss(60)

    def loss(theta: np.ndarray) -> float:
        u = theta[0] + np.exp(theta[1]) * node
        like = np.exp(observed[:, None] * u - expected[:, None] * np.exp(u) + expected[:, None] - observed[:, None])
        return -float(np.log(like @ weight).sum())

    best = minimize(loss, [0.0, -1.0], method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-10}).x
    mu, sigma = shrinkage.maximum_likelihood(shrinkage.poisson_table(observed, expected))
    assert (mu, sigma) == (pytest.approx(best[0], abs=2e-3), pytest.approx(np.exp(best[1]), abs=4e-3))


def test_case_mix_table_of_equal_children_is_the_binomial_one() -> None:
    hospital = np.repeat([0, 1], [30, 20])
    outcome = np.r_[np.ones(20), np.zeros(10), np.ones(5), np.zeros(15)]
    table = shrinkage.case_mix_table(outcome, np.full(50, 0.5), hospital, points=601)
    other = shrinkage.binomial_table([20, 5], [30, 20], width=3, points=601)
    a, b = shrinkage.posterior(table), shrinkage.posterior(other)
    assert a.mean(expit(a.grid)) == pytest.approx(b.mean(expit(b.grid)), abs=1e-3)


def test_alike_hospitals_are_drawn_together() -> None:
    table = shrinkage.binomial_table([8, 8, 8, 8], [10, 10, 10, 10])
    assert shrinkage.maximum_likelihood(table)[1] < 0.05

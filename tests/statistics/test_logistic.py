import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit

from app.statistics import calibration, logistic

RNG = np.random.default_rng(11)
DESIGN = np.column_stack([np.ones(400), RNG.normal(size=(400, 3)), RNG.integers(0, 2, 400)])
OUTCOME = (RNG.random(400) < expit(DESIGN @ [0.5, 0.8, -0.4, 0.0, 0.7])).astype(float)


def test_the_published_regression_of_heart_surgery_survivors_on_volume() -> None:
    operations = np.array([187, 323, 122, 164, 405, 239, 482, 195, 177, 581, 301])
    deaths = np.array([25, 24, 23, 25, 42, 24, 53, 26, 25, 58, 31])
    found = logistic.fit(np.column_stack([np.ones(11), operations]), operations - deaths, trials=operations)
    assert found.coefficients == pytest.approx([1.7348545, 0.0009615], abs=5e-8)
    assert found.standard_errors == pytest.approx([0.1410843, 0.0003807], abs=5e-8)
    assert found.deviance == pytest.approx(12.169, abs=5e-4)
    assert 4 - 2 * found.log_likelihood == pytest.approx(72.622, abs=5e-4)


def test_unpenalised_fit_equals_statsmodels() -> None:
    import statsmodels.api as sm

    theirs = sm.Logit(OUTCOME, DESIGN).fit(disp=0)
    ours = logistic.fit(DESIGN, OUTCOME)
    assert ours.coefficients == pytest.approx(theirs.params, abs=1e-8)
    np.testing.assert_allclose(ours.covariance, theirs.cov_params(), atol=1e-8)
    assert ours.log_likelihood == pytest.approx(theirs.llf)


@pytest.mark.parametrize("firth", [False, True])
def test_penalised_fit_is_the_maximum_of_its_objective(firth: bool) -> None:
    penalty = np.array([0.0, 2, 2, 2, 2])

    def loss(beta: np.ndarray) -> float:
        eta = DESIGN @ beta
        p = expit(eta)
        information = (DESIGN.T * (p * (1 - p))) @ DESIGN + np.diag(penalty)
        extra = np.linalg.slogdet(information)[1] / 2 if firth else 0.0
        return -float(OUTCOME @ eta - np.logaddexp(0, eta).sum() - (penalty * beta**2).sum() / 2 + extra)

    ours = logistic.fit(DESIGN, OUTCOME, ridge=penalty, firth=firth).coefficients
    theirs = minimize(loss, np.zeros(5), method="BFGS", options={"gtol": 1e-7}).x
    assert ours == pytest.approx(theirs, abs=2e-5)


def test_firth_of_a_two_by_two_table_adds_half_to_each_cell() -> None:
    design = np.column_stack([np.ones(30), np.repeat([0.0, 1.0], [10, 20])])
    outcome = np.r_[np.repeat([1.0, 0.0], [4, 6]), np.repeat([1.0, 0.0], [20, 0])]  # the second group is separated
    found = logistic.fit(design, outcome, firth=True)
    assert found.coefficients[0] == pytest.approx(np.log(4.5 / 6.5), abs=1e-7)
    assert found.coefficients.sum() == pytest.approx(np.log(20.5 / 0.5), abs=1e-6)
    with pytest.raises(logistic.NotConverged):
        logistic.fit(design, outcome)
    assert np.isfinite(logistic.fit(design, outcome, ridge=[0.0, 1.0]).standard_errors).all()


def test_an_unpenalised_intercept_makes_expected_equal_observed() -> None:
    found = logistic.fit(DESIGN, OUTCOME, ridge=[0, 5, 5, 5, 5])
    assert found.predict(DESIGN).sum() == pytest.approx(OUTCOME.sum())


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="design"):
        logistic.fit(DESIGN, OUTCOME[:-1])
    with pytest.raises(ValueError, match="trials"):
        logistic.fit(DESIGN, OUTCOME * 3, trials=np.ones(400))


def test_calibration_of_the_model_on_its_own_data_is_perfect() -> None:
    chances = logistic.fit(DESIGN, OUTCOME).predict(DESIGN)
    found = calibration.assess(OUTCOME, chances)
    assert (found.slope, found.intercept, found.in_the_large) == (
        pytest.approx(1, abs=1e-6),
        pytest.approx(0, abs=1e-6),
        pytest.approx(0, abs=1e-6),
    )
    assert found.brier == pytest.approx(np.mean((OUTCOME - chances) ** 2))


def test_calibration_sees_overconfidence_and_shift() -> None:
    chances = logistic.fit(DESIGN, OUTCOME).predict(DESIGN)
    logit = np.log(chances / (1 - chances))
    assert calibration.assess(OUTCOME, expit(2 * logit)).slope == pytest.approx(0.5, abs=1e-6)
    assert calibration.assess(OUTCOME, expit(logit + 1)).in_the_large == pytest.approx(-1, abs=1e-6)


def test_auc_counts_pairs_and_half_of_ties() -> None:
    outcome, chance = np.array([1, 0, 1, 0, 1.0]), np.array([0.9, 0.1, 0.5, 0.5, 0.5])
    pairs = [(c > d) + (c == d) / 2 for c in chance[outcome == 1] for d in chance[outcome == 0]]
    assert calibration.auc(outcome, chance) == pytest.approx(np.mean(pairs))
    assert np.isnan(calibration.auc([1, 1], [0.2, 0.3]))


def test_belt_keeps_every_case() -> None:
    chances = logistic.fit(DESIGN, OUTCOME).predict(DESIGN)
    points = calibration.belt(OUTCOME, chances)
    assert sum(n for n, _, _ in points) == 400
    assert sum(n * seen for n, _, seen in points) == pytest.approx(OUTCOME.sum())

"""Logistic regression that stays finite: ridge and Firth penalties, because strata of rare conditions are tiny.

Without a penalty a stratum without events sends its coefficient to infinity; published models show such terms at -13 to -15. The covariance
is the inverse of the penalised information, which is what the delta method and prediction intervals need.
"""

from dataclasses import dataclass

import numpy as np
from scipy import special

from app.statistics.arrays import Floats, Numbers, floats

_STEPS = 100


class NotConverged(ValueError):
    """The maximum could not be found; the data separate the outcomes and no penalty was asked for, or the design is singular."""


@dataclass(frozen=True, slots=True)
class Fit:
    """`coefficients` (k,), `covariance` (k, k) on the log-odds scale; `deviance` and `log_likelihood` without the penalty.

    `log_likelihood` leaves out the binomial coefficient unless `trials` were given.
    """

    coefficients: Floats
    covariance: Floats
    log_likelihood: float
    deviance: float
    steps: int

    @property
    def standard_errors(self) -> Floats:
        """(k,)"""
        return np.sqrt(np.diag(self.covariance))

    def predict(self, design: Numbers, offset: Numbers = 0.0) -> Floats:
        """Chances (n,) for the rows of a design (n, k)."""
        return np.asarray(special.expit(np.asarray(design, dtype=np.float64) @ self.coefficients + np.asarray(offset)))


def fit(
    design: Numbers,
    events: Numbers,
    *,
    trials: Numbers | None = None,
    offset: Numbers = 0.0,
    ridge: Numbers = 0.0,
    firth: bool = False,
    tolerance: float = 1e-10,
) -> Fit:
    """Fit log-odds = design @ coefficients + offset by penalised iteratively reweighted least squares.

    design (n, k), with its own column of ones where an intercept is wanted; events (n,), 0 or 1, or counts out of `trials` (n,).
    `ridge`: half of ridge times the squared coefficient is taken from the log-likelihood; a scalar or (k,), 0 for a free intercept.
    `firth`: half the log determinant of the information is added (Firth, Biometrika 1993;80:27; Heinze and Schemper, Stat Med 2002;21:2409).
    Raises ValueError for shapes that do not agree, NotConverged where the maximum is at infinity.
    """
    x, y, n, shift, penalty = _checked(design, events, trials, offset, ridge)
    beta = np.zeros(x.shape[1])
    objective, information = _objective(x, y, n, shift, penalty, beta, firth)
    steps = 0
    while True:
        steps += 1
        p = special.expit(x @ beta + shift)
        residual = y - n * p
        if firth:
            residual = residual + _leverage(x, n * p * (1 - p), information) * (0.5 - p)
        move = _solve(information, x.T @ residual - penalty * beta)
        size, before = 1.0, objective
        for _ in range(30):
            objective, information_there = _objective(x, y, n, shift, penalty, beta + size * move, firth)
            if objective >= before - 1e-12 * (abs(before) + 1):
                break
            size /= 2
        beta, information = beta + size * move, information_there
        if np.abs(size * move).max(initial=0.0) <= tolerance * (1 + np.abs(beta).max(initial=0.0)):
            break
        if np.abs(beta).max(initial=0.0) > 1e3:
            raise NotConverged("the data separate the outcomes: ask for a ridge or Firth penalty")
        if steps == _STEPS:
            raise NotConverged(f"no maximum after {_STEPS} steps: ask for a ridge or Firth penalty")
    log_likelihood, deviance = _likelihood(x @ beta + shift, y, n, trials is not None)
    return Fit(beta, _solve(information, np.eye(len(beta))), log_likelihood, deviance, steps)


def _checked(
    design: Numbers, events: Numbers, trials: Numbers | None, offset: Numbers, ridge: Numbers
) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    x, y = floats(design, "the design"), floats(events, "events", low=0)
    if x.ndim != 2 or y.shape != (x.shape[0],):
        raise ValueError(f"the design must be (cases, factors) and events (cases,), not {x.shape} and {y.shape}")
    n = floats(np.ones_like(y) if trials is None else trials, "trials", low=0)
    if n.shape != y.shape or np.any(y > n):
        raise ValueError("there cannot be more events than trials, and both need one length")
    shift = np.broadcast_to(floats(offset, "the offset"), y.shape)
    return x, y, n, np.asarray(shift), np.asarray(np.broadcast_to(floats(ridge, "ridge", low=0), x.shape[1]))


def _objective(
    x: Floats, y: Floats, n: Floats, shift: Floats, penalty: Floats, beta: Floats, firth: bool
) -> tuple[float, Floats]:
    eta = x @ beta + shift
    p = special.expit(eta)
    scaled = x * np.sqrt(n * p * (1 - p))[:, None]  # a matrix by its own transpose costs half
    information = scaled.T @ scaled + np.diag(penalty)
    value = float(y @ eta - n @ np.logaddexp(0.0, eta) - (penalty * beta * beta).sum() / 2)
    if firth:
        sign, log_determinant = np.linalg.slogdet(information)
        value += log_determinant / 2 if sign > 0 else -np.inf
    return value, information


def _leverage(x: Floats, weight: Floats, information: Floats) -> Floats:
    return np.asarray(weight * np.einsum("ij,ij->i", x, _solve(information, x.T).T))


def _solve(information: Floats, right: Floats) -> Floats:
    try:
        solved = np.linalg.solve(information, right)
    except np.linalg.LinAlgError:
        raise NotConverged("the factors determine one another or separate the outcomes: drop one, or ask for a penalty") from None
    if not np.all(np.isfinite(solved)):
        raise NotConverged("the data separate the outcomes: ask for a ridge or Firth penalty")
    return np.asarray(solved)


def _likelihood(eta: Floats, y: Floats, n: Floats, grouped: bool) -> tuple[float, float]:
    fitted = y @ eta - n @ np.logaddexp(0.0, eta)
    full = (special.xlogy(y, y) + special.xlogy(n - y, n - y) - special.xlogy(n, n)).sum()
    constant = (special.gammaln(n + 1) - special.gammaln(y + 1) - special.gammaln(n - y + 1)).sum() if grouped else 0.0
    return float(fitted + constant), float(2 * (full - fitted))

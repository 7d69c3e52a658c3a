"""Hierarchical estimates: each hospital's figure drawn towards all, the more the fewer its cases. By quadrature, without a sampler.

Every hospital's likelihood is tabulated once on a common grid of log-odds (or log-ratio); each pair (mean, spread) of the population then costs
one matrix product. The same code serves proportions, case-mix adjusted outcomes and observed against expected counts.
"""

from dataclasses import dataclass

import numpy as np
from scipy import special

from app.statistics.arrays import Floats, Numbers, floats, same_length


@dataclass(frozen=True, slots=True)
class Table:
    """Log-likelihood of each hospital (g, i) on a grid (g,), up to a constant for each hospital."""

    grid: Floats
    log_likelihood: Floats


@dataclass(frozen=True, slots=True)
class Posterior:
    """Of the population: mean and spread with standard deviations; of each hospital: a density (g, i) on the grid that sums to 1."""

    mu: float
    mu_sd: float
    sigma: float
    sigma_sd: float
    grid: Floats
    density: Floats

    def mean(self, values: Numbers) -> Floats:
        """(i,) posterior mean of a function of the grid, given as its values (g,)."""
        return np.asarray(np.asarray(values, dtype=np.float64) @ self.density)

    def probability_above(self, threshold: float) -> Floats:
        """(i,) chance that a hospital lies above a point of the grid's scale."""
        return self.mean(self.grid > threshold)

    def interval(self, confidence: float = 0.95) -> tuple[Floats, Floats]:
        """(i,), (i,) equal-tailed credible limits on the grid's scale."""
        cumulative = np.cumsum(self.density, axis=0) - self.density / 2  # a point stands for the cell around it
        low, high = (1 - confidence) / 2, (1 + confidence) / 2
        columns = range(cumulative.shape[1])
        return tuple(np.array([np.interp(p, cumulative[:, i], self.grid) for i in columns]) for p in (low, high))  # type: ignore[return-value]


def binomial_table(events: Numbers, cases: Numbers, *, width: float = 5.0, points: int = 401) -> Table:
    """Hospitals' (i,) events out of cases; the grid is log-odds around the pooled value."""
    x, n = floats(events, "events", low=0), floats(cases, "cases", low=1)
    same_length(events=x, cases=n)
    grid = float(special.logit((x.sum() + 0.5) / (n.sum() + 1))) + np.linspace(-width, width, points)
    return Table(grid, grid[:, None] * x - np.logaddexp(0.0, grid)[:, None] * n)


def poisson_table(observed: Numbers, expected: Numbers, *, width: float = 3.0, points: int = 401) -> Table:
    """Hospitals' (i,) observed against expected counts; the grid is the log of the ratio around 0."""
    o, e = floats(observed, "observed counts", low=0), floats(expected, "expected counts", low=np.nextafter(0, 1))
    same_length(observed=o, expected=e)
    grid = np.linspace(-width, width, points)
    return Table(grid, grid[:, None] * o - np.exp(grid)[:, None] * e)


def case_mix_table(outcomes: Numbers, chances: Numbers, hospital: Numbers, *, width: float = 3.0, points: int = 301) -> Table:
    """Cases (n,) with outcome, predicted chance and hospital number 0..i-1; the grid is a shift of every case's log-odds."""
    y, p = floats(outcomes, "outcomes", low=0, high=1), floats(chances, "chances", low=0, high=1)
    where = np.asarray(hospital, dtype=np.int64)
    same_length(outcomes=y, chances=p, hospital=where)
    logit = np.asarray(special.logit(np.clip(p, 1e-9, 1 - 1e-9)))
    grid = np.linspace(-width, width, points)
    count = int(where.max(initial=-1)) + 1
    rows = [np.bincount(where, y * (logit + shift) - np.logaddexp(0.0, logit + shift), count) for shift in grid]
    return Table(grid, np.array(rows))


def _weights(grid: Floats, mu: Floats, sigma: Floats) -> Floats:
    """(k, g) normal weights of each population on the grid, each row summing to 1."""
    log = -(((grid - mu[:, None]) / sigma[:, None]) ** 2) / 2
    weight = np.exp(log - log.max(axis=1, keepdims=True))
    return np.asarray(weight / weight.sum(axis=1, keepdims=True))


def _marginal(table: Table, mu: Floats, sigma: Floats) -> tuple[Floats, Floats, Floats]:
    """Log marginal likelihood (k,), and the parts from which hospitals' densities are made."""
    scaled = np.exp(table.log_likelihood - table.log_likelihood.max(axis=0))
    weight = _weights(table.grid, mu, sigma)
    each = weight @ scaled
    return np.log(np.maximum(each, 1e-300)).sum(axis=1), weight, scaled


def maximum_likelihood(table: Table) -> tuple[float, float]:
    """(mu, sigma) that make the hospitals' data most likely; sigma is 0 where chance explains all."""
    step = float(table.grid[1] - table.grid[0])
    centre = float((table.grid * np.exp(_pooled(table))).sum())
    mu_half, sigmas = 1.0, np.concatenate([[step / 2], np.geomspace(step, 2.0, 40)])
    mus = np.linspace(centre - mu_half, centre + mu_half, 41)
    for _ in range(12):
        pairs_mu, pairs_sigma = (part.ravel() for part in np.meshgrid(mus, sigmas))
        best = int(_marginal(table, pairs_mu, pairs_sigma)[0].argmax())
        mu, sigma = float(pairs_mu[best]), float(pairs_sigma[best])
        mu_half /= 3
        mus = np.linspace(mu - mu_half, mu + mu_half, 21)
        ratio = (sigmas[-1] / sigmas[-2]) ** 1.5 if len(sigmas) > 1 else 1.0
        sigmas = sigma * np.geomspace(1 / ratio, ratio, 21)
    return mu, 0.0 if sigma <= step / 2 else sigma


def _pooled(table: Table) -> Floats:
    total = table.log_likelihood.sum(axis=1)
    shifted = total - total.max()
    return np.asarray(shifted - np.log(np.exp(shifted).sum()))


def posterior(table: Table, *, shape: float = 0.001, rate: float = 0.001, points: int = 61) -> Posterior:
    """Full posterior with a flat prior for the population mean and Gamma(shape, rate) for the precision 1/sigma².

    The default prior is that of the classic hospital ranking example; with few hospitals a more informative one (shape 1, rate 0.05) is steadier.
    """
    step = float(table.grid[1] - table.grid[0])
    centre, spread = maximum_likelihood(table)
    error = max(spread, 0.3) / np.sqrt(table.log_likelihood.shape[1])
    sigmas = np.geomspace(max(step, 0.02), max(8 * spread, 3.0), points)
    mus = np.linspace(centre - 10 * error, centre + 10 * error, points)
    mu, sigma = (part.ravel() for part in np.meshgrid(mus, sigmas))
    log, weight, scaled = _marginal(table, mu, sigma)
    precision = sigma**-2.0
    log = log + (shape - 1) * np.log(precision) - rate * precision - 3 * np.log(sigma) + np.log(sigma)  # d precision, d log sigma
    chance = np.exp(log - log.max())
    chance /= chance.sum()
    each = weight @ scaled
    density = (weight.T @ (chance[:, None] / np.maximum(each, 1e-300))) * scaled
    mean_mu, mean_sigma = float(chance @ mu), float(chance @ sigma)
    return Posterior(
        mean_mu,
        float(np.sqrt(chance @ (mu - mean_mu) ** 2)),
        mean_sigma,
        float(np.sqrt(chance @ (sigma - mean_sigma) ** 2)),
        table.grid,
        density / density.sum(axis=0),
    )

"""The number of events among cases that each have their own chance: the right null for a case-mix adjusted yes-or-no outcome.

A Poisson stand-in is far too wide for common outcomes: at a chance of 0.8 its variance is five times too large. The mass function is made by
convolution, directly up to blocks of a thousand (relative accuracy) and by Fourier transform above (absolute error about 1e-15).
"""

from collections.abc import Callable

import numpy as np
from scipy import special

from app.statistics.arrays import Floats, Interval, Numbers, floats, tail_of
from app.statistics.tails import Tails

_BLOCK = 16
_DIRECT = 1024
_EXACT_INTERVAL = 1000  # cases up to which the interval inverts the exact tails


def _chances(chances: Numbers) -> Floats:
    p = floats(chances, "chances", low=0, high=1)
    if p.ndim != 1:
        raise ValueError("chances must be one-dimensional: one for each case")
    return p


def pmf(chances: Numbers) -> Floats:
    """P(X = 0), …, P(X = n) for n chances; length n + 1. O(n log² n)."""
    p = _chances(chances)
    size = len(p)
    blocks = max(1, -(-size // _BLOCK))
    padded = np.zeros(blocks * _BLOCK)
    padded[:size] = p
    columns = padded.reshape(blocks, _BLOCK)
    mass = np.zeros((blocks, _BLOCK + 1))
    mass[:, 0] = 1.0
    for k in range(min(_BLOCK, size)):
        chance = columns[:, k : k + 1]
        mass[:, 1 : k + 2] = mass[:, 1 : k + 2] * (1 - chance) + mass[:, : k + 1] * chance
        mass[:, :1] *= 1 - chance
    parts: list[Floats] = list(mass)
    while len(parts) > 1:
        pairs = [_convolve(parts[i], parts[i + 1]) for i in range(0, len(parts) - 1, 2)]
        parts = pairs + parts[2 * len(pairs) :]
    return parts[0][: size + 1]


def _convolve(left: Floats, right: Floats) -> Floats:
    length = len(left) + len(right) - 1
    if length <= 2 * _DIRECT:
        return np.convolve(left, right)
    width = 1 << (length - 1).bit_length()
    product: Floats = np.fft.irfft(np.fft.rfft(left, width) * np.fft.rfft(right, width), width)[:length]
    return np.maximum(product, 0.0)


def tails(observed: int, chances: Numbers) -> Tails:
    """P(X <= observed) and P(X >= observed), exact. Raises ValueError where observed is not 0..n."""
    p = _chances(chances)
    if not 0 <= observed <= len(p):
        raise ValueError("observed must lie between 0 and the number of cases")
    mass = pmf(p)
    return Tails(np.asarray(min(mass[: observed + 1].sum(), 1.0)), np.asarray(min(mass[observed:].sum(), 1.0)))


def quantile(chances: Numbers, p: float) -> int:
    """The least whole number that X does not exceed with a probability of at least `p`."""
    cumulative = np.cumsum(pmf(chances))
    return min(int(np.searchsorted(cumulative, p - 1e-12)), len(cumulative) - 1)


def limits(chances: Numbers, p: Numbers) -> Floats:
    """Limits for the count, interpolated for drawing as in `funnel`; one for each of `p`."""
    return limits_of(pmf(chances), p)


def limits_of(mass: Floats, p: Numbers) -> Floats:
    """The same from a mass function that is at hand."""
    cumulative = np.cumsum(mass)
    wanted = floats(p, "probabilities", low=0, high=1)
    rank = np.minimum(np.searchsorted(cumulative, wanted), len(mass) - 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        overshoot = np.where(mass[rank] > 0, (cumulative[rank] - wanted) / mass[rank], 0.0)
    return np.asarray(np.clip(rank - overshoot, 0.0, len(mass) - 1.0))


def ratio_interval(observed: int, chances: Numbers, confidence: float = 0.95) -> Interval:
    """Interval of observed over expected, when every case's odds are multiplied by one unknown factor.

    The exact tails are inverted in that factor, as Clopper and Pearson do for equal chances (to whose interval it reduces, times n over
    expected). Never exceeds the possible n/expected. Above 1,000 cases the skewness-corrected normal (Volkova 1996) replaces the exact tail.
    Raises ValueError where no event is expected, or where observed is not 0..n.
    """
    p = np.clip(_chances(chances), 1e-12, 1 - 1e-12)
    size, expected = len(p), float(p.sum())
    if size == 0 or not 0 <= observed <= size:
        raise ValueError("observed must lie between 0 and a positive number of cases")
    alpha, logit = tail_of(confidence), np.log(p) - np.log1p(-p)
    exact = size <= _EXACT_INTERVAL

    def tilted(shift: float) -> Floats:
        return np.asarray(special.expit(logit + shift))

    def mean_at(count: int, wanted: float) -> float:
        shift = _solve(lambda shift: _refined(count, tilted(shift)), wanted, 0.0)
        if exact:
            shift = _solve(lambda shift: float(pmf(tilted(shift))[: count + 1].sum()), wanted, shift)
        return float(tilted(shift).sum())

    low = 0.0 if observed == 0 else mean_at(observed - 1, 1 - alpha) / expected
    high = size / expected if observed == size else mean_at(observed, alpha) / expected
    return Interval(np.asarray(low), np.asarray(high))


def _refined(count: int, p: Floats) -> float:
    """P(X <= count) by the normal with continuity and skewness corrections."""
    variance = p * (1 - p)
    sigma = float(np.sqrt(variance.sum()))
    if sigma < 1e-9:
        return float(p.sum() <= count)
    skewness = float((variance * (1 - 2 * p)).sum()) / sigma**3
    z = (count + 0.5 - float(p.sum())) / sigma
    density = float(np.exp(-z * z / 2) / np.sqrt(2 * np.pi))
    return float(np.clip(special.ndtr(z) + skewness * (1 - z * z) * density / 6, 0.0, 1.0))


def _solve(tail: Callable[[float], float], wanted: float, start: float) -> float:
    """The shift at which the falling `tail` equals `wanted`: secant on the normal scale, where it is nearly straight, inside a bracket."""
    low, high, target = -60.0, 60.0, float(special.ndtri(wanted))

    def gap(shift: float) -> float:
        return float(special.ndtri(np.clip(tail(shift), 1e-15, 1 - 1e-15))) - target

    before, here = start, start + 0.05
    gap_before = gap(before)
    for _ in range(100):
        gap_here = gap(here)
        if gap_here > 0:
            low = max(low, here)
        else:
            high = min(high, here)
        if abs(gap_here) < 1e-9 or high - low < 1e-12:
            return here
        slope = (gap_here - gap_before) / (here - before) if here != before else 0.0
        following = here - gap_here / slope if slope < 0 else (low + high) / 2
        if not low < following < high:
            following = (low + high) / 2
        before, gap_before, here = here, gap_here, following
    return here

"""Indirect standardisation: what was observed, over what the same children would have had with the reference rates.

A standardised ratio compares a hospital with the reference for its own children. Two hospitals' ratios must not be compared with each other where
their children differ (Manktelow and others, PMC3618107).
"""

import numpy as np

from app.statistics.arrays import Floats, Interval, Numbers, floats
from app.statistics.intervals import count_limits


def expected_count(cases: Numbers, reference_rates: Numbers) -> Floats:
    """Sum over the last axis of cases times the reference rate of each stratum; unit: events."""
    return np.asarray((floats(cases, "cases", low=0) * floats(reference_rates, "reference rates", low=0)).sum(axis=-1))


def ratio(observed: Numbers, expected: Numbers) -> Floats:
    """Observed over expected; nan where nothing is expected. Shapes broadcast."""
    o, e = np.broadcast_arrays(floats(observed, "observed counts", low=0), floats(expected, "expected counts", low=0))
    return np.asarray(np.divide(o, e, out=np.full(o.shape, np.nan), where=e > 0))


def ratio_interval(observed: Numbers, expected: Numbers, confidence: float = 0.95) -> Interval:
    """Interval of the ratio for a rare outcome: exact Poisson below 10 events, Byar from there, over expected.

    For a common outcome use `poisson_binomial.ratio_interval`: this one is far too wide.
    """
    e = floats(expected, "expected counts", low=np.nextafter(0, 1))
    return count_limits(observed, confidence).scaled(1 / e)


def adjusted_rate(observed: Numbers, expected: Numbers, overall_rate: float) -> Floats:
    """The indirectly standardised rate: ratio times the reference's overall rate."""
    return ratio(observed, expected) * overall_rate

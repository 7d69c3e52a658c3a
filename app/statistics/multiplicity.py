"""Many comparisons at once."""

import numpy as np

from app.statistics.arrays import Floats, Numbers, floats


def benjamini_hochberg(p: Numbers) -> Floats:
    """p-values adjusted for the false discovery rate, in the order given (Benjamini and Hochberg, JRSS B 1995;57:289)."""
    values = floats(p, "p-values", low=0, high=1)
    if values.ndim != 1:
        raise ValueError("p-values must be one-dimensional")
    order, count = np.argsort(values), len(values)
    stepped = np.minimum.accumulate((values[order] * count / np.arange(1, count + 1))[::-1])[::-1]
    adjusted = np.empty(count)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted

"""The array types that this library speaks, and the checks of input that every module shares."""

from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
Integers: TypeAlias = npt.NDArray[np.int64]
Numbers: TypeAlias = npt.ArrayLike


class Interval(NamedTuple):
    """Two arrays of one shape (0-dimensional for scalar input), in the unit that the function names."""

    low: Floats
    high: Floats

    def scaled(self, factor: Numbers) -> "Interval":
        """Both ends times `factor`."""
        return Interval(np.asarray(self.low * np.asarray(factor)), np.asarray(self.high * np.asarray(factor)))


def floats(values: Numbers, what: str, *, low: float = -np.inf, high: float = np.inf) -> Floats:
    """`values` as float64. Raises ValueError where one is not a number or lies outside `low..high`."""
    array = np.asarray(values, dtype=np.float64)
    if not np.all((array >= low) & (array <= high)):
        raise ValueError(f"{what} must be numbers from {low:g} to {high:g}")
    return array


def same_length(**arrays: npt.NDArray[Any]) -> int:
    """The common length of one-dimensional arrays. Raises ValueError where they differ."""
    lengths = {name: array.shape for name, array in arrays.items()}
    if len(set(lengths.values())) != 1 or any(len(shape) != 1 for shape in lengths.values()):
        raise ValueError("these must be one-dimensional and of one length: " + ", ".join(f"{n} {s}" for n, s in lengths.items()))
    return int(next(iter(lengths.values()))[0])


def tail_of(confidence: float) -> float:
    """The probability left out at each end: 0.025 for 0.95. Raises ValueError outside (0, 1)."""
    if not 0 < confidence < 1:
        raise ValueError("confidence must lie between 0 and 1")
    return (1 - confidence) / 2

"""Fixed values, patterns and bounds: whether a JSON value is, has, or lies where a profile says."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from app.fhir.errors import FHIRError
from app.fhir.fhirpath.operators import order
from app.fhir.fhirpath.values import Node, system


def same(value: Any, wanted: Any) -> bool:
    """`fixed[x]`: equal all the way down; numbers by value, so that 1.0 is 1.00."""
    if isinstance(wanted, Mapping):
        return (
            isinstance(value, Mapping) and value.keys() == wanted.keys() and all(same(value[key], wanted[key]) for key in wanted)
        )
    if isinstance(wanted, list):
        return isinstance(value, list) and len(value) == len(wanted) and all(map(same, value, wanted))
    return _equal(value, wanted)


def has(value: Any, wanted: Any) -> bool:
    """`pattern[x]`: everything in the pattern is in the value; an array needs an item for each of the pattern's."""
    if isinstance(wanted, Mapping):
        return isinstance(value, Mapping) and all(key in value and has(value[key], wanted[key]) for key in wanted)
    if isinstance(wanted, list):
        return isinstance(value, list) and all(any(has(one, each) for one in value) for each in wanted)
    return _equal(value, wanted)


def _equal(value: Any, wanted: Any) -> bool:
    if isinstance(value, bool) or isinstance(wanted, bool):
        return value is wanted
    if isinstance(value, int | float | Decimal) and isinstance(wanted, int | float | Decimal):
        return Decimal(str(value)) == Decimal(str(wanted))
    return type(value) is type(wanted) and bool(value == wanted)


def compared(value: Any, bound: Any, type_name: str) -> int | None:
    """-1, 0 or 1 as `value` lies below, on or above `bound`; None where the two cannot be compared."""
    try:
        found = order(system(Node(value, type_name)), system(Node(bound, type_name)))
    except (FHIRError, TypeError, ValueError, ArithmeticError, AttributeError, KeyError):
        return None
    return None if found is None else (found > 0) - (found < 0)


def shown(value: Any) -> str:
    """Short, for a sentence."""
    from app.fhir import codec

    text = value if isinstance(value, str) else codec.encode(value).decode()
    return text if len(text) <= 120 else text[:117] + "..."

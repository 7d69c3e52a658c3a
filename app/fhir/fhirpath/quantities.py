"""Quantities: a decimal and a unit, compared by what UCUM says of the unit.

A unit that is not known compares only with itself. Calendar years and months have no fixed length and equal only themselves.
"""

from decimal import Decimal
from typing import NamedTuple

from app.fhir import ucum

_WORDS = ("year", "month", "week", "day", "hour", "minute", "second", "millisecond")
CALENDAR = {form: word for word in _WORDS for form in (word, word + "s")}
CALENDAR_TO_UCUM = dict(zip(_WORDS, ("a", "mo", "wk", "d", "h", "min", "s", "ms"), strict=True))
UCUM_TO_CALENDAR = {"wk": "week", "d": "day", "h": "hour", "min": "minute", "s": "second", "ms": "millisecond"}


class Quantity(NamedTuple):
    """`unit` is a UCUM code, or a calendar word such as `day`; "1" where there is none."""

    value: Decimal
    unit: str

    def __str__(self) -> str:
        return f"{self.value:f} {self.unit if self.unit in _WORDS else repr(self.unit)}"


def _calendar_only(unit: str) -> bool:
    return unit in ("year", "month")


def common(left: Quantity, right: Quantity) -> tuple[Decimal, Decimal] | None:
    """Both values in the unit of `right`; None where the units cannot be compared."""
    if left.unit == right.unit:
        return left.value, right.value
    if _calendar_only(left.unit) and _calendar_only(right.unit):
        return tuple(q.value * (12 if q.unit == "year" else 1) for q in (left, right))  # type: ignore[return-value]
    if _calendar_only(left.unit) or _calendar_only(right.unit):
        return None
    converted = ucum.convert(left.value, CALENDAR_TO_UCUM.get(left.unit, left.unit), CALENDAR_TO_UCUM.get(right.unit, right.unit))
    return None if converted is None else (converted, right.value)


def _join(left: str, right: str, operator: str) -> str:
    if right in ("1", ""):
        return left
    if operator == "/" and left == right:
        return "1"
    return right if operator == "." and left == "1" else f"{left}{operator}{right}"


def multiply(left: Quantity, right: Quantity) -> Quantity:
    """The product, in base units where both are metric (`1 cm * 1 m`), else in the units joined."""
    return Quantity(left.value * right.value, _join(left.unit, right.unit, "."))


def divide(left: Quantity, right: Quantity) -> Quantity | None:
    """The ratio; None for division by zero."""
    if right.value == 0:
        return None
    shared = common(left, right)
    if shared is not None:
        return Quantity(shared[0] / shared[1], "1")
    return Quantity(left.value / right.value, _join(left.unit, right.unit, "/"))

"""lowBoundary, highBoundary, precision and comparable: what a value could be, given how precisely it was written."""

import calendar
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from typing import Any

from app.fhir.fhirpath.environment import Environment
from app.fhir.fhirpath.errors import FHIRPathError
from app.fhir.fhirpath.functions.registry import function
from app.fhir.fhirpath.quantities import Quantity, common
from app.fhir.fhirpath.temporal import Temporal
from app.fhir.fhirpath.values import EMPTY, Items, singleton

_DIGITS = {"Date": (4, 6, 8), "DateTime": (4, 6, 8, 10, 12, 17), "Time": (2, 4, 9)}


def _boundary(items: Items, digits: Items, high: bool) -> Items:
    name = "highBoundary()" if high else "lowBoundary()"
    value, wanted = singleton(items, name), singleton(digits, name)
    if wanted is not None and type(wanted) is not int:
        raise FHIRPathError(f"FHIRPath: {name} takes an integer")
    found: Any = None
    if type(value) in (int, Decimal):
        found = _of_number(Decimal(value), 8 if wanted is None else wanted, high)
    elif isinstance(value, Quantity):
        number = _of_number(value.value, 8 if wanted is None else wanted, high)
        found = None if number is None else Quantity(number, value.unit)
    elif isinstance(value, Temporal):
        found = _of_temporal(value, wanted, high)
    return EMPTY if found is None else [found]


def _of_number(value: Decimal, places: int, high: bool) -> Decimal | None:
    if not 0 <= places <= 31 - len(value.as_tuple().digits) + 1 and not 0 <= places <= 28:
        return None
    exponent = value.as_tuple().exponent
    half = Decimal(5).scaleb((exponent if isinstance(exponent, int) else 0) - 1)
    edge = value + half if high else value - half
    away = high is (value > 0)  # the edge further from zero rounds, the nearer one truncates
    return edge.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP if away else ROUND_DOWN)


def _of_temporal(value: Temporal, digits: int | None, high: bool) -> Temporal | None:
    kind = value.kind
    steps = _DIGITS[kind if kind != "Date" or digits is None or digits <= 8 else "DateTime"]
    wanted = steps[-1] if digits is None else digits
    if wanted not in steps:
        return None
    parts: list[Any] = list(value.parts)
    if kind == "DateTime" and len(parts) == 4:
        parts.append(0)  # FHIR has no hours without minutes: an hour alone is its first minute
    while len(parts) < (6 if kind != "Time" else 3):
        place = len(parts) + (3 if kind == "Time" else 0)
        parts.append(_fill(place, parts, high))
    if (kind != "Time" and len(value.parts) == 6) or (kind == "Time" and len(value.parts) == 3):
        parts[-1] = _milliseconds(Decimal(parts[-1]), high)
    length = steps.index(wanted) + 1
    out = (
        "DateTime" if kind == "DateTime" and length > 3 else "Date" if kind != "Time" and length <= 3 and kind == "Date" else kind
    )
    zone = value.zone
    if out == "DateTime" and length > 3 and zone is None:
        zone = -12 * 60 if high else 14 * 60
    if length <= 3 and kind != "Time":
        zone = None
    return Temporal(out, tuple(parts[:length]), zone)


def _fill(place: int, parts: list[Any], high: bool) -> Any:
    if not high:
        return (1, 1, 1, 0, 0, Decimal("0.000"))[place]
    if place == 2:
        return calendar.monthrange(int(parts[0]), int(parts[1]))[1]
    return (9999, 12, 31, 23, 59, Decimal("59.999"))[place]


def _milliseconds(seconds: Decimal, high: bool) -> Decimal:
    if seconds.as_tuple().exponent == 0 and high:
        return seconds + Decimal("0.999")
    return seconds.quantize(Decimal("0.001"))


@function("lowBoundary", 0, 1)
def low_boundary(items: Items, _env: Environment, digits: Items = EMPTY) -> Items:
    return _boundary(items, digits, False)


@function("highBoundary", 0, 1)
def high_boundary(items: Items, _env: Environment, digits: Items = EMPTY) -> Items:
    return _boundary(items, digits, True)


@function("precision")
def precision(items: Items, _env: Environment) -> Items:
    value = singleton(items, "precision()")
    if isinstance(value, Temporal):
        return [_DIGITS[value.kind][len(value.parts) - 1]]
    if type(value) in (int, Decimal):
        exponent = Decimal(value).as_tuple().exponent
        return [max(-exponent, 0) if isinstance(exponent, int) else 0]
    return EMPTY


@function("comparable", 1, test=True)
def comparable(items: Items, _env: Environment, other: Items) -> bool | None:
    left, right = singleton(items, "comparable()"), singleton(other, "comparable()")
    if not isinstance(left, Quantity) or not isinstance(right, Quantity):
        return None
    return common(left, right) is not None

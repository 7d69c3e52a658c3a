"""Mathematics on decimals, integers and quantities. What has no answer (root of a negative) is empty."""

import math
from collections.abc import Callable
from decimal import ROUND_HALF_UP, Decimal, DecimalException
from typing import Any

from app.fhir.fhirpath.environment import Environment
from app.fhir.fhirpath.errors import FHIRPathError
from app.fhir.fhirpath.functions.registry import function
from app.fhir.fhirpath.operators import arithmetic, order
from app.fhir.fhirpath.quantities import Quantity
from app.fhir.fhirpath.values import EMPTY, Items, singleton, system

_LARGEST = Decimal("1e28")


def _number(items: Items, name: str) -> Any:
    value = singleton(items, f"{name}()")
    if value is not None and type(value) not in (int, Decimal, Quantity):
        raise FHIRPathError(f"FHIRPath: {name}() takes a number")
    return value


def _on_value(value: Any, operation: Callable[[Any], Any]) -> Any:
    return Quantity(Decimal(operation(value.value)), value.unit) if isinstance(value, Quantity) else operation(value)


def _register(name: str, operation: Callable[[Any], Any], quantities: bool) -> None:
    @function(name)
    def run(items: Items, _env: Environment) -> Items:
        value = _number(items, name)
        if value is None:
            return EMPTY
        if isinstance(value, Quantity) and not quantities:
            raise FHIRPathError(f"FHIRPath: {name}() takes a number")
        if abs(value.value if isinstance(value, Quantity) else value) >= _LARGEST:
            return EMPTY
        try:
            return [_on_value(value, operation)]
        except (ValueError, OverflowError, DecimalException):
            return EMPTY


def _ln(value: Any) -> Decimal:
    if value <= 0:
        raise ValueError
    return Decimal(value).ln()


def _sqrt(value: Any) -> Decimal:
    return Decimal(value).sqrt()


for _name, _operation, _quantities in (
    ("abs", abs, True),
    ("ceiling", math.ceil, False),
    ("floor", math.floor, False),
    ("truncate", math.trunc, False),
    ("exp", lambda value: Decimal(value).exp(), False),
    ("ln", _ln, False),
    ("sqrt", _sqrt, False),
):
    _register(_name, _operation, _quantities)


@function("round", 0, 1)
def round_(items: Items, _env: Environment, places: Items = EMPTY) -> Items:
    value, digits = _number(items, "round"), _number(places, "round")
    if value is None:
        return EMPTY
    if digits is not None and (type(digits) is not int or not 0 <= digits <= 28):
        raise FHIRPathError("FHIRPath: round() takes 0 to 28 places")
    if abs(value.value if isinstance(value, Quantity) else value) >= _LARGEST.scaleb(-(digits or 0)):
        return EMPTY
    step = Decimal(1).scaleb(-(digits or 0))
    return [_on_value(value, lambda number: Decimal(number).quantize(step, ROUND_HALF_UP))]


@function("log", 1)
def log(items: Items, _env: Environment, base: Items) -> Items:
    value, by = _number(items, "log"), _number(base, "log")
    if value is None or by is None:
        return EMPTY
    try:
        return [(_ln(value) / _ln(by)).quantize(Decimal("1e-12")).normalize() + Decimal("0.0")]
    except (ValueError, DecimalException):
        return EMPTY


@function("power", 1)
def power(items: Items, _env: Environment, exponent: Items) -> Items:
    value, by = _number(items, "power"), _number(exponent, "power")
    if value is None or by is None or abs(by) > 1000:
        return EMPTY
    try:
        if type(value) is int and type(by) is int and by >= 0:
            raised = Decimal(value) ** by
            return [int(raised)] if -(1 << 31) <= raised < 1 << 31 else EMPTY
        return [Decimal(value) ** Decimal(by)]
    except (DecimalException, ZeroDivisionError):
        return EMPTY


@function("sum")
def sum_(items: Items, env: Environment) -> Items:
    """Of numbers or quantities of one dimension."""
    env.spend(len(items))
    total: Any = None
    for item in items:
        total = system(item) if total is None else arithmetic("+", total, system(item))
    return EMPTY if total is None else [total]


def _extreme(name: str, wanted: int) -> None:
    @function(name)
    def run(items: Items, env: Environment) -> Items:
        env.spend(len(items))
        best: Any = None
        for item in items:
            value = system(item)
            if best is None or order(value, best) == wanted:
                best = value
        return EMPTY if best is None else [best]


_extreme("min", -1)
_extreme("max", 1)


@function("avg")
def avg(items: Items, env: Environment) -> Items:
    total = sum_(items, env)
    return [arithmetic("/", total[0], len(items))] if total else EMPTY

"""toX() and convertsToX(): one converter a type, that gives None for what does not convert."""

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from app.fhir.fhirpath.environment import Environment
from app.fhir.fhirpath.functions.registry import function
from app.fhir.fhirpath.quantities import CALENDAR, Quantity, common
from app.fhir.fhirpath.temporal import Temporal, parse_temporal
from app.fhir.fhirpath.values import EMPTY, Items, Node, singleton

_TRUE = frozenset(["true", "t", "yes", "y", "1", "1.0"])
_FALSE = frozenset(["false", "f", "no", "n", "0", "0.0"])
_INTEGER = re.compile(r"[+-]?\d{1,10}\Z", re.ASCII)
_DECIMAL = re.compile(r"[+-]?\d{1,40}(\.\d{1,40})?\Z", re.ASCII)
_QUANTITY = re.compile(r"(?P<value>[+-]?\d{1,40}(?:\.\d{1,40})?)\s*(?:'(?P<unit>[^']+)'|(?P<word>[a-zA-Z]+))?\Z", re.ASCII)


def as_boolean(value: Any) -> bool | None:
    """Of a boolean, 1 and 0, and the words for them."""
    if type(value) is bool:
        return value
    if type(value) in (int, Decimal):
        return True if value == 1 else False if value == 0 else None
    text = value.lower() if type(value) is str else None
    return True if text in _TRUE else False if text in _FALSE else None


def as_integer(value: Any) -> int | None:
    """Of an integer, a boolean, and the digits of an integer of 32 bits."""
    if type(value) in (int, bool):
        return int(value)
    if type(value) is str and _INTEGER.match(value):
        number = int(value)
        return number if -(1 << 31) <= number < 1 << 31 else None
    return None


def as_decimal(value: Any) -> Decimal | None:
    """Of a number, a boolean, and the digits of a number."""
    if type(value) in (int, bool):
        return Decimal(int(value))
    if type(value) is Decimal:
        return value
    return Decimal(value) if type(value) is str and _DECIMAL.match(value) else None


def as_string(value: Any) -> str | None:
    """Of every System value."""
    if type(value) is str:
        return value
    if type(value) is bool:
        return "true" if value else "false"
    if type(value) is Decimal:
        return f"{value:f}" if abs(value.adjusted()) < 100 else str(value)
    return None if isinstance(value, Node) or value is None else str(value)


def as_temporal(kind: str) -> Callable[[Any], Temporal | None]:
    """The converter to Date, DateTime or Time."""

    def convert(value: Any) -> Temporal | None:
        if isinstance(value, Temporal):
            if value.kind == kind:
                return value
            if "Time" in (kind, value.kind):
                return None
            parts = value.parts[:3] if kind == "Date" else value.parts
            return Temporal(kind, parts, value.zone if kind == "DateTime" else None)
        return parse_temporal(value, kind) if type(value) is str and not (kind == "Time" and value[:1] == "T") else None

    return convert


def as_quantity(value: Any) -> Quantity | None:
    """Of a quantity, a number, a boolean, and the text of a quantity."""
    if isinstance(value, Quantity):
        return value
    if type(value) in (int, bool, Decimal):
        return Quantity(Decimal(int(value)) if type(value) is bool else Decimal(value), "1")
    match = _QUANTITY.match(value) if type(value) is str else None
    if match is None or (match["word"] and match["word"] not in CALENDAR):
        return None
    unit = match["unit"] or CALENDAR.get(match["word"] or "", "1")
    return Quantity(Decimal(match["value"]), unit)


def _convertible(name: str, convert: Callable[[Any], Any]) -> None:
    @function(f"to{name}")
    def to(items: Items, _env: Environment) -> Items:
        value = singleton(items, f"to{name}()")
        converted = None if value is None else convert(value)
        return EMPTY if converted is None else [converted]

    @function(f"convertsTo{name}", test=True)
    def converts_to(items: Items, _env: Environment) -> bool | None:
        value = singleton(items, f"convertsTo{name}()")
        return None if value is None else convert(value) is not None


for _name, _convert in (
    ("Boolean", as_boolean),
    ("Integer", as_integer),
    ("Decimal", as_decimal),
    ("String", as_string),
    ("Date", as_temporal("Date")),
    ("DateTime", as_temporal("DateTime")),
    ("Time", as_temporal("Time")),
):
    _convertible(_name, _convert)


@function("toQuantity", 0, 1)
def to_quantity(items: Items, _env: Environment, unit: Items = EMPTY) -> Items:
    value = singleton(items, "toQuantity()")
    quantity = None if value is None else as_quantity(value)
    wanted = singleton(unit, "toQuantity()")
    if quantity is None or wanted is None:
        return EMPTY if quantity is None else [quantity]
    converted, one = common(quantity, Quantity(Decimal(1), wanted)), Decimal(1)
    return EMPTY if converted is None else [Quantity(converted[0] / (converted[1] or one), wanted)]


@function("convertsToQuantity", 0, 1, test=True)
def converts_to_quantity(items: Items, env: Environment, unit: Items = EMPTY) -> bool | None:
    return bool(to_quantity(items, env, unit)) if items else None

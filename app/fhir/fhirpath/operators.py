"""Equality, equivalence, order and arithmetic on System values, with FHIRPath's three-valued answers (None is empty)."""

from collections.abc import Iterable
from decimal import Decimal, DecimalException
from typing import Any

from app.fhir.fhirpath import quantities
from app.fhir.fhirpath.errors import FHIRPathError
from app.fhir.fhirpath.quantities import Quantity
from app.fhir.fhirpath.temporal import Temporal, comparable, compare, shift
from app.fhir.fhirpath.values import Items, Node, system

_NUMBERS = (int, Decimal)


def _number(value: Any) -> bool:
    return type(value) in _NUMBERS


def _as_quantity(value: Any) -> Any:
    return Quantity(Decimal(value), "1") if _number(value) else value


def same(left: Any, right: Any) -> bool | None:
    """`=` of two items."""
    first, second = system(left), system(right)
    kind = type(first)
    if kind is Temporal and type(second) is str:
        first = first.text
    elif kind is str and type(second) is Temporal:
        second = second.text
    elif kind is Temporal and type(second) is Temporal:
        if not comparable(first, second):
            return False
        order = compare(first, second)
        return None if order is None else order == 0
    if kind is Quantity or type(second) is Quantity:
        first, second = _as_quantity(first), _as_quantity(second)
        if type(first) is not Quantity or type(second) is not Quantity:
            return False
        values = quantities.common(first, second)
        return None if values is None else values[0] == values[1]
    if type(first) is Node or type(second) is Node:
        return type(first) is Node and type(second) is Node and bool(first.value == second.value)
    if (type(first) is bool) != (type(second) is bool):
        return False
    return bool(first == second)


def equal(left: Items, right: Items) -> bool | None:
    """`=` of two collections: order counts."""
    if not left or not right:
        return None
    if len(left) != len(right):
        return False
    answer: bool | None = True
    for first, second in zip(left, right, strict=True):
        one = same(first, second)
        if one is False:
            return False
        answer = None if one is None else answer
    return answer


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())


def _places(value: Any) -> int:
    exponent = Decimal(value).as_tuple().exponent
    return max(-exponent, 0) if isinstance(exponent, int) else 0


def alike(left: Any, right: Any) -> bool:
    """`~` of two items: case and spaces of text aside, numbers at the coarser precision."""
    first, second = system(left), system(right)
    if type(first) is str and type(second) is str:
        return _folded(first) == _folded(second)
    if _number(first) and _number(second):
        places = Decimal(1).scaleb(-min(_places(first), _places(second)))
        return Decimal(first).quantize(places) == Decimal(second).quantize(places)
    if type(first) is Temporal and type(second) is Temporal:
        return comparable(first, second) and compare(first, second) == 0
    if type(first) is Quantity and type(second) is Quantity:
        # what is written in the larger unit is the less precise
        ways = (quantities.common(_loose(first), _loose(second)), quantities.common(_loose(second), _loose(first)))
        return any(values is not None and alike(*values) for values in ways)
    if type(first) is Node and type(second) is Node:
        return _alike_json(first.value, second.value)
    return same(first, second) is True


def _loose(quantity: Quantity) -> Quantity:
    """Calendar years and months are equivalent to their UCUM namesakes."""
    return Quantity(quantity.value, quantities.CALENDAR_TO_UCUM.get(quantity.unit, quantity.unit))


def _alike_json(left: Any, right: Any) -> bool:
    if isinstance(left, dict) and isinstance(right, dict):
        keys = {key for key in left.keys() | right.keys() if key not in ("id", "extension")}
        return all(key in left and key in right and _alike_json(left[key], right[key]) for key in keys)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and equivalent(left, right)
    return alike(left, right)


def equivalent(left: Items, right: Items) -> bool:
    """`~` of two collections: order does not count."""
    if len(left) != len(right):
        return False
    rest = list(right)
    for item in left:
        for place, other in enumerate(rest):
            if (_alike_json(item, other)) if isinstance(item, dict | list) else alike(item, other):
                del rest[place]
                break
        else:
            return False
    return True


def order(left: Any, right: Any) -> int | None:
    """-1, 0, 1 or None (unknown) of two System values. Raises where they have no order."""
    if (_number(left) and _number(right)) or (type(left) is str and type(right) is str):
        return int(left > right) - int(left < right)
    if type(left) is Temporal and type(right) is Temporal and comparable(left, right):
        return compare(left, right)
    if type(left) is Quantity or type(right) is Quantity:
        first, second = _as_quantity(left), _as_quantity(right)
        if type(first) is Quantity and type(second) is Quantity:
            values = quantities.common(first, second)
            return None if values is None else (values[0] > values[1]) - (values[0] < values[1])
    raise FHIRPathError(f"FHIRPath: {_name(left)} and {_name(right)} have no order")


def _name(value: Any) -> str:
    return value.type if type(value) is Node else value.kind if type(value) is Temporal else type(value).__name__


def arithmetic(operator: str, left: Any, right: Any) -> Any:
    """`+ - * / div mod` of two System values; None where the result does not exist (division by zero, overflow)."""
    try:
        if type(left) is Temporal and type(right) is Quantity and operator in "+-":
            return _moved(left, right, 1 if operator == "+" else -1)
        if type(left) is str and type(right) is str and operator == "+":
            return left + right
        if _number(left) and _number(right):
            return _numbers(operator, left, right)
        if type(left) is Quantity or type(right) is Quantity:
            first, second = _as_quantity(left), _as_quantity(right)
            if type(first) is Quantity and type(second) is Quantity:
                return _quantities(operator, first, second)
    except DecimalException:
        return None
    raise FHIRPathError(f"FHIRPath: '{operator}' does not take {_name(left)} and {_name(right)}")


def _numbers(operator: str, left: Any, right: Any) -> Any:
    match operator:
        case "+":
            return _bounded(left + right)
        case "-":
            return _bounded(left - right)
        case "*":
            return _bounded(left * right)
    if right == 0:
        return None
    match operator:
        case "/":
            return _trimmed(Decimal(left) / Decimal(right))
        case "div":
            if type(left) is int and type(right) is int:
                return _toward_zero(left, right)
            quotient = Decimal(left) / Decimal(right)
            return int(quotient) if quotient.adjusted() < 28 else None
    if type(left) is int and type(right) is int:
        return left - right * _toward_zero(left, right)
    return Decimal(left) % Decimal(right)


def _toward_zero(left: int, right: int) -> int:
    quotient = abs(left) // abs(right)
    return quotient if (left < 0) == (right < 0) else -quotient


def _bounded(value: Any) -> Any:
    """Integers are 32-bit; what does not fit is empty."""
    return None if type(value) is int and not -(1 << 31) <= value < 1 << 31 else value


def _trimmed(value: Decimal) -> Decimal:
    return value.quantize(Decimal("1e-8")) if _places(value) > 8 and abs(value) < 10**18 else value


def _quantities(operator: str, left: Quantity, right: Quantity) -> Quantity | None:
    if operator == "*":
        return quantities.multiply(left, right)
    if operator == "/":
        return quantities.divide(left, right)
    if operator not in "+-":
        raise FHIRPathError(f"FHIRPath: '{operator}' does not take quantities")
    sign = 1 if operator == "+" else -1
    if left.unit == right.unit:
        return Quantity(left.value + sign * right.value, left.unit)
    values = quantities.common(right, left)
    return None if values is None else Quantity(left.value + sign * values[0], left.unit)


def _moved(moment: Temporal, by: Quantity, sign: int) -> Temporal | None:
    unit = quantities.UCUM_TO_CALENDAR.get(by.unit, by.unit)
    if unit not in quantities.CALENDAR_TO_UCUM:
        raise FHIRPathError(f"FHIRPath: a date or time cannot be moved by '{by.unit}'; use years, months, weeks, days, ...")
    if abs(by.value) > 10**15 or by.value.adjusted() < -100:
        return None  # beyond where time ends, and beyond what an integer should have to hold
    # The UCUM second counts whole, as the standard's suite has it.
    amount = Decimal(int(by.value)) if by.unit == "s" else by.value
    return shift(moment, sign * amount, unit)


def identity(item: Any) -> Any:
    """A hashable key: items with equal keys are equal, for sets of simple values. None where only comparing tells."""
    value = system(item)
    if type(value) is str:
        return value
    if _number(value):
        return (1, value)
    return (2, value) if type(value) is bool else None


def distinct(items: Iterable[Any]) -> Items:
    """Without repeats, the first of each kept. Linear for simple values."""
    kept: Items = []
    seen: set[Any] = set()
    others: Items = []
    for item in items:
        key = identity(item)
        if key is None:
            if any(same(item, other) for other in others):
                continue
            others.append(item)
        elif key in seen:
            continue
        else:
            seen.add(key)
        kept.append(item)
    return kept


def contains(items: Items, wanted: Any) -> bool:
    """Whether an item equal to `wanted` is there."""
    return any(same(item, wanted) for item in items)

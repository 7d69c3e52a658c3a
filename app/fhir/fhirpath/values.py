"""What a collection holds: plain Python values of the System types, and `Node` for whatever came out of a resource.

System types: bool, int, Decimal, str, Temporal, Quantity, TypeInfo. Collections are lists and are never changed once made, so that
`TRUE`, `FALSE` and `EMPTY` can be shared.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Any, NamedTuple

from app.fhir.fhirpath.errors import FHIRPathError
from app.fhir.fhirpath.quantities import UCUM_TO_CALENDAR, Quantity
from app.fhir.fhirpath.temporal import Temporal, parse_temporal
from app.fhir.ucum import SYSTEM as UCUM

Items = list[Any]
TRUE: Items = [True]
FALSE: Items = [False]
EMPTY: Items = []


class Node:
    """One element: its JSON value, its FHIR type, and for a primitive the `_name` companion (id and extensions)."""

    __slots__ = ("extra", "type", "value")

    def __init__(self, value: Any, type: str, extra: Any = None) -> None:
        self.value = value
        self.type = type
        self.extra = extra

    def __repr__(self) -> str:
        return f"<{self.type} {self.value!r}>"


class TypeInfo(NamedTuple):
    """What `type()` answers."""

    namespace: str
    name: str


NOTHING = Node({}, "")  # the focus where there is none


def _decimal(value: Any) -> Any:
    return value if isinstance(value, Decimal) else Decimal(str(value))


def _temporal(kind: str) -> Callable[[Any], Any]:
    return lambda value: parse_temporal(value, kind) or value


def _quantity(value: Any) -> Any:
    if not isinstance(value, dict) or "value" not in value:
        return None
    unit = str((value.get("code") if value.get("system") == UCUM else value.get("unit") or value.get("code")) or "1")
    return Quantity(_decimal(value["value"]), UCUM_TO_CALENDAR.get(unit, unit))


_CONVERT: dict[str, Callable[[Any], Any]] = {
    "decimal": _decimal,
    "date": _temporal("Date"),
    "dateTime": _temporal("DateTime"),
    "instant": _temporal("DateTime"),
    "time": _temporal("Time"),
    **dict.fromkeys(("Quantity", "Age", "Count", "Distance", "Duration", "SimpleQuantity", "MoneyQuantity"), _quantity),
}


def system(item: Any) -> Any:
    """The System value of an item; a Node stays itself if it has none (complex types, primitives without value)."""
    if type(item) is not Node:
        return item
    value = item.value
    if value is None:
        return item
    convert = _CONVERT.get(item.type)
    if convert is not None:
        converted = convert(value)
        return item if converted is None else converted
    return item if type(value) is dict else value


def truth(items: Items) -> bool | None:
    """Singleton evaluation: empty is unknown, one item that is no boolean is true. Raises for more than one."""
    if not items:
        return None
    if len(items) > 1:
        raise FHIRPathError("FHIRPath: one value is needed as a criterion, there are several")
    item = items[0]
    value = item.value if type(item) is Node else item
    return value if type(value) is bool else True


def boolean(value: bool | None) -> Items:
    """The collection of a three-valued truth."""
    return EMPTY if value is None else TRUE if value else FALSE


def singleton(items: Items, what: str) -> Any:
    """The System value of the only item; None of an empty collection, and of a primitive that has extensions only. Raises for more than one."""
    if not items:
        return None
    if len(items) > 1:
        raise FHIRPathError(f"FHIRPath: {what} takes one value, there are {len(items)}")
    item = items[0]
    return None if type(item) is Node and item.value is None else system(item)


def plain(item: Any) -> Any:
    """As JSON has it: dict, str, bool, int, Decimal."""
    if type(item) is Node:
        return item.value
    if isinstance(item, Temporal):
        return item.text
    if isinstance(item, Quantity):
        if item.unit in ("1", ""):
            return {"value": item.value, "system": UCUM, "code": "1"}
        return {"value": item.value, "unit": item.unit, "system": UCUM, "code": item.unit}
    return item._asdict() if isinstance(item, TypeInfo) else item

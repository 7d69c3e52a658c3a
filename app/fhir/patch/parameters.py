"""A FHIRPath Patch as it travels, a Parameters resource, read into operations; and the JSON of the values that it carries."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app.fhir.definitions import Element, r4
from app.fhir.errors import BadRequest, FHIRError, TooCostly
from app.fhir.patch.errors import MAX_OPERATIONS

Part = Mapping[str, Any]

_NEEDS = {
    "add": ("path", "name", "value"),
    "insert": ("path", "index", "value"),
    "delete": ("path",),
    "replace": ("path", "value"),
    "move": ("path", "source", "destination"),
}
_TEXTS, _NUMBERS = ("type", "path", "name"), ("index", "source", "destination")


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation. `at` is its place in the Parameters; `value` the part that carries the new content."""

    at: str
    type: str
    path: str
    name: str = ""
    value: Part = field(default_factory=dict)
    index: int = 0
    source: int = 0
    destination: int = 0

    def placed(self, error: FHIRError) -> FHIRError:
        """The same error, told of this operation."""
        where = error.issues[0].expression
        moved = type(error).__new__(type(error))
        FHIRError.__init__(moved, f"{self.type} {self.path[:200]}: {error.issues[0].diagnostics}", expression=where or self.at)
        moved.code = error.code
        return moved


def read(parameters: Mapping[str, Any]) -> list[Operation]:
    """The operations in their order. Raises BadRequest with the place in the Parameters."""
    if parameters.get("resourceType") != "Parameters":
        raise BadRequest("A FHIRPath Patch is a Parameters resource.", expression="resourceType")
    entries = parameters.get("parameter", [])
    if not isinstance(entries, list):
        raise BadRequest("'parameter' must be an array.", expression="Parameters.parameter")
    if len(entries) > MAX_OPERATIONS:
        raise TooCostly(f"The patch has {len(entries)} operations; at most {MAX_OPERATIONS} are taken at once.")
    return [_operation(entry, f"Parameters.parameter[{index}]") for index, entry in enumerate(entries)]


def _operation(entry: Any, at: str) -> Operation:
    if not isinstance(entry, Mapping) or entry.get("name") != "operation" or not isinstance(entry.get("part"), list):
        raise BadRequest("A parameter of a FHIRPath Patch has the name 'operation' and parts.", expression=at)
    parts: dict[str, Part] = {}
    for index, part in enumerate(entry["part"]):
        name = part.get("name") if isinstance(part, Mapping) else None
        if name not in (*_TEXTS, *_NUMBERS, "value"):
            raise BadRequest(f"An operation has no part '{str(name)[:40]}'.", expression=f"{at}.part[{index}]")
        if name in parts:
            raise BadRequest(f"The part '{name}' comes twice.", expression=f"{at}.part[{index}]")
        parts[name] = part
    kind = _text(parts, "type", at)
    if kind not in _NEEDS:
        raise BadRequest(f"There is no operation '{kind[:40]}'; there are {', '.join(_NEEDS)}.", expression=at)
    missing = [name for name in _NEEDS[kind] if name not in parts]
    if missing:
        raise BadRequest(f"The operation '{kind}' needs the part '{missing[0]}'.", expression=at)
    index, source, destination = (_number(parts, name, at) for name in _NUMBERS)
    name = _text(parts, "name", at) if "name" in parts else ""
    return Operation(at, kind, _text(parts, "path", at), name, parts.get("value", {}), index, source, destination)


def _text(parts: Mapping[str, Part], name: str, at: str) -> str:
    value = content(parts[name])[0] if name in parts else None
    if not isinstance(value, str) or not value:
        raise BadRequest(f"An operation needs the part '{name}', as a string or a code.", expression=at)
    return value


def _number(parts: Mapping[str, Part], name: str, at: str) -> int:
    value = content(parts[name])[0] if name in parts else 0
    if type(value) is not int or value < 0:
        raise BadRequest(f"'{name}' must be a whole number from 0.", expression=at)
    return value


def content(part: Part) -> tuple[Any, Any, str]:
    """The `value[x]` of a part, its companion (id and extensions of a primitive), and its type: `("1930-01-01", None, "date")`."""
    for key, value in part.items():
        if key.startswith("value") and (kind := _kind(key[5:])):
            return value, part.get("_" + key), kind
    for key, companion in part.items():
        if key.startswith("_value") and (kind := _kind(key[6:])):
            return None, companion, kind
    return (part["resource"], None, "Resource") if "resource" in part else (None, None, "")


def _kind(suffix: str) -> str:
    return (
        suffix
        if suffix in r4().types
        else suffix[:1].lower() + suffix[1:]
        if suffix[:1].lower() + suffix[1:] in r4().types
        else ""
    )


@dataclass(frozen=True, slots=True)
class Content:
    """What goes under `key` of its holder: a value and, for a primitive, the companion that goes under `_key`."""

    key: str
    value: Any
    companion: Any = None


def made(part: Part, element: Element, at: str) -> Content:
    """The JSON of a part, for `element`. Raises BadRequest where it is of another type or has none."""
    value, companion, kind = content(part)
    names = element.json_names
    if kind:
        fitting = [key for key, wanted in names.items() if _fits(kind, wanted)] if not element.is_choice else []
        key = fitting[0] if fitting else next((key for key, wanted in names.items() if wanted == kind), "")
        if not key:
            raise BadRequest(f"'{element.name}' takes {' or '.join(element.types[:8])}, not {kind}.", expression=at)
        if kind in r4().primitives and isinstance(value, dict | list):
            raise BadRequest(f"A {kind} is no object.", expression=at)
        if kind not in r4().primitives and not isinstance(value, dict):
            raise BadRequest(f"A {kind} must be an object.", expression=at)
        return Content(key, value, companion)
    parts = part.get("part")
    if not isinstance(parts, list) or not parts:
        raise BadRequest("The part 'value' has no content: value[x], resource or parts.", expression=at)
    [(key, name), *more] = names.items()
    if more or name in r4().primitives:
        raise BadRequest(f"'{element.name}' needs a value[x], not parts.", expression=at)
    return Content(key, _object(parts, name, at), None)


def _fits(kind: str, wanted: str) -> bool:
    """Whether a part of one type may go where the other is: primitives that are written alike may (`div` travels as a string)."""
    if kind == wanted or (kind == "Resource" and wanted in r4().resources):
        return True
    if kind in r4().primitives and wanted in r4().primitives:
        return _written(kind) == _written(wanted)
    return wanted in r4().types and kind in r4().types and wanted in r4().ancestors(kind)


def _written(kind: str) -> str:
    return {"boolean": "boolean", "decimal": "number", "integer": "number", "unsignedInt": "number", "positiveInt": "number"}.get(
        kind, "text"
    )


def _object(parts: list[Any], type_name: str, at: str, depth: int = 0) -> dict[str, Any]:
    """The object of a type that has no name of its own (Patient.contact), element by element."""
    whole: dict[str, Any] = {}
    elements = r4().elements(type_name)
    for index, part in enumerate(parts):
        here = f"{at}.part[{index}]"
        name = part.get("name") if isinstance(part, Mapping) else None
        element = elements.get(name) if isinstance(name, str) else None
        if element is None:
            raise BadRequest(f"{type_name} has no element '{str(name)[:64]}'.", expression=here)
        one = made(part, element, here)
        store(whole, one, element, here)
    return whole


def store(holder: dict[str, Any], one: Content, element: Element, at: str) -> None:
    """Puts content under its key: at the end of a list, or where nothing is yet. Raises BadRequest where something is."""
    if element.is_list:
        insert(holder, one, None)
        return
    for key in element.json_names:
        if key in holder or "_" + key in holder:
            raise BadRequest(f"'{element.name}' is there already and does not repeat: replace it instead.", expression=at)
    if one.value is not None:
        holder[one.key] = one.value
    if one.companion is not None:
        holder["_" + one.key] = one.companion


def insert(holder: dict[str, Any], one: Content, index: int | None) -> None:
    """Into a list, at the end for None; the companions keep step with the values."""
    values = holder.setdefault(one.key, [])
    companions = holder.setdefault("_" + one.key, [])
    length = max(len(values), len(companions))
    for items, new in ((values, one.value), (companions, one.companion)):
        items.extend([None] * (length - len(items)))
        items.insert(length if index is None else index, new)
    tidy(holder, one.key)


def tidy(holder: dict[str, Any], key: str) -> None:
    """Leaves out a list that says nothing: of values, or of companions."""
    for name in (key, "_" + key):
        items = holder.get(name)
        if type(items) is list and not any(item is not None for item in items):
            del holder[name]

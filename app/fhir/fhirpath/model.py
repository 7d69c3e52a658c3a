"""The shape of R4 as FHIRPath sees it: what the children of a type are called in a path, where they lie in JSON, and of what type.

`value` in a path is `valueQuantity`, `valueString`, ... in JSON; the key tells the type. A type that the table does not know ("") is
walked by name alone, so that an expression also works on JSON of no known type.
"""

from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any

from app.fhir.definitions import r4
from app.fhir.fhirpath.values import Node

ABSTRACT = frozenset(["", "Element", "BackboneElement", "Resource", "DomainResource"])
PRIMITIVE = frozenset(
    [
        "base64Binary",
        "boolean",
        "canonical",
        "code",
        "date",
        "dateTime",
        "decimal",
        "id",
        "instant",
        "integer",
        "markdown",
        "oid",
        "positiveInt",
        "string",
        "time",
        "unsignedInt",
        "uri",
        "url",
        "uuid",
        "xhtml",
    ]
)
SYSTEM = frozenset(["Boolean", "String", "Integer", "Long", "Decimal", "Date", "DateTime", "Time", "Quantity"])


class Step:
    """From an element to its children of one name. `type` is the FHIR type where there is only one, else None."""

    __slots__ = ("keys", "only", "type")

    def __init__(self, keys: Mapping[str, str]) -> None:
        self.keys = dict(keys)
        self.only = next(iter(self.keys)) if len(self.keys) == 1 else None
        kind = next(iter(self.keys.values())) if self.only is not None else None
        self.type = None if kind in ABSTRACT else kind

    def narrowed(self, type: str) -> "Step | None":
        """Only those keys whose type is exactly `type`."""
        keys = {key: kind for key, kind in self.keys.items() if kind == type}
        return Step(keys) if keys else None

    def collect(self, element: dict[str, Any], found: list[Any]) -> None:
        """Append the children as nodes."""
        if self.only is not None:
            gather(element, self.only, self.keys[self.only], found)
        elif len(element) < len(self.keys):
            for key in element:
                kind = self.keys.get(key[1:] if key[0] == "_" else key)
                if kind is not None and (key[0] != "_" or key[1:] not in element):
                    gather(element, key.lstrip("_"), kind, found)
        else:
            for key, kind in self.keys.items():
                if key in element or (kind in PRIMITIVE and "_" + key in element):
                    gather(element, key, kind, found)


def gather(element: dict[str, Any], key: str, kind: str, found: list[Any]) -> None:
    """Append what lies under `key` as nodes of type `kind` (a resource's own type where it names one)."""
    value = element.get(key)
    if kind in PRIMITIVE:
        extra = element.get("_" + key)
        if type(value) is list or type(extra) is list:
            _primitives(value or (), extra or (), kind, found)
        elif value is not None or extra is not None:
            found.append(Node(value, kind, extra))
    elif value is None:
        return
    elif type(value) is list:
        found.extend(
            [Node(one, _kind_of(one, kind)) for one in value] if kind in ABSTRACT else [Node(one, kind) for one in value]
        )
    else:
        found.append(Node(value, _kind_of(value, kind) if kind in ABSTRACT else kind))


def _primitives(values: Any, extras: Any, kind: str, found: list[Any]) -> None:
    for place in range(max(len(values), len(extras))):
        value = values[place] if place < len(values) else None
        extra = extras[place] if place < len(extras) else None
        if value is not None or extra is not None:
            found.append(Node(value, kind, extra))


def _kind_of(value: Any, kind: str) -> str:
    return str(value.get("resourceType", kind)) if type(value) is dict else kind


@cache
def children(type: str) -> Mapping[str, Step]:
    """The steps out of a type, by their names in a path; empty for primitives and unknown types."""
    if type not in r4().types or type in PRIMITIVE:
        return {}
    return {name: Step(element.json_names) for name, element in r4().elements(type).items()}


def known(type: str) -> bool:
    """Whether R4 has this type."""
    return type in r4().types


@lru_cache(maxsize=4096)
def is_a(type: str, ancestor: str) -> bool:
    """Whether `type` is `ancestor` or one of its specialisations."""
    return known(type) and ancestor in r4().ancestors(type)


def untyped(element: dict[str, Any], name: str, found: list[Any]) -> None:
    """Children by name alone, choices by their prefix."""
    if name in element or "_" + name in element:
        value = element.get(name)
        for one in value if type(value) is list else [value]:
            if one is not None:
                found.append(Node(one, _kind_of(one, "")))
        return
    for key, value in element.items():
        if key.startswith(name) and key[len(name) : len(name) + 1].isupper():
            suffix = key[len(name) :]
            kind = suffix if known(suffix) else suffix[0].lower() + suffix[1:]
            if known(kind) and type(value) is not list:
                found.append(Node(value, kind, element.get("_" + key)))

"""The shape of R4 as FHIRPath sees it: what the children of a type are called in a path, where they lie in JSON, and of what type.

`value` in a path is `valueQuantity`, `valueString`, ... in JSON; the key tells the type. A type that the table does not know ("") is
walked by name alone, so that an expression also works on JSON of no known type.
"""

from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from itertools import zip_longest
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


Collector = Callable[[dict[str, Any], list[Any]], None]


class Step:
    """From an element to its children of one name. `type` is the FHIR type where there is only one, else None.

    `collect(element, found)` appends the children as nodes: a closure made for the keys, the engine's innermost loop.
    """

    __slots__ = ("collect", "keys", "only", "type")

    def __init__(self, keys: Mapping[str, str]) -> None:
        self.keys = dict(keys)
        self.only = next(iter(self.keys)) if len(self.keys) == 1 else None
        kind = next(iter(self.keys.values())) if self.only is not None else None
        self.type = None if kind in ABSTRACT else kind
        self.collect: Collector = _one(self.only, str(kind)) if self.only is not None else _choice(self.keys)

    def narrowed(self, type: str) -> "Step | None":
        """Only those keys whose type is exactly `type`."""
        keys = {key: kind for key, kind in self.keys.items() if kind == type}
        return Step(keys) if keys else None


def _one(key: str, kind: str) -> Collector:
    if kind in PRIMITIVE:
        return _primitive(key, "_" + key, kind)
    return _any_complex(key, kind) if kind in ABSTRACT else _complex(key, kind)


def _primitive(key: str, companion: str, kind: str) -> Collector:
    def collect(element: dict[str, Any], found: list[Any]) -> None:
        value, extra = element.get(key), element.get(companion)
        if extra is None:
            if type(value) is list:
                found.extend([Node(one, kind) for one in value if one is not None])
            elif value is not None:
                found.append(Node(value, kind))
        elif type(value) is list or type(extra) is list:
            _zip(value or (), extra, kind, found)
        else:
            found.append(Node(value, kind, extra))

    return collect


def _zip(values: Any, extras: Any, kind: str, found: list[Any]) -> None:
    for value, extra in zip_longest(values, extras):
        if value is not None or extra is not None:
            found.append(Node(value, kind, extra))


def _complex(key: str, kind: str) -> Collector:
    def collect(element: dict[str, Any], found: list[Any]) -> None:
        value = element.get(key)
        if type(value) is list:
            found.extend([Node(one, kind) for one in value])
        elif value is not None:
            found.append(Node(value, kind))

    return collect


def _any_complex(key: str, kind: str) -> Collector:
    """Where any resource may stand: its own name tells the type."""

    def collect(element: dict[str, Any], found: list[Any]) -> None:
        value = element.get(key)
        if value is not None:
            found.extend([Node(one, _kind_of(one, kind)) for one in (value if type(value) is list else (value,))])

    return collect


def _choice(keys: dict[str, str]) -> Collector:
    ways = {key: _one(key, kind) for key, kind in keys.items()}
    ways.update(("_" + key, ways[key]) for key, kind in keys.items() if kind in PRIMITIVE)
    every = list(ways.items())

    def collect(element: dict[str, Any], found: list[Any]) -> None:
        if len(element) < len(every):
            for key in element:
                if key in ways:
                    ways[key](element, found)
                    return
        else:
            for key, way in every:
                if key in element:
                    way(element, found)
                    return

    return collect


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

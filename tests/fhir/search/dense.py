"""Resources that have everything: every element of a type, with choices, codes and targets taken in turn by `variant`."""

import re
from decimal import Decimal
from typing import Any

from app.fhir.definitions import Element, r4

DEEPEST = 5
_OF_ANY = ("id", "extension", "modifierExtension")
_OF_RESOURCES = ("contained", "text", "meta", "implicitRules", "language")
_PRIMITIVES: dict[str, Any] = {
    "boolean": True,
    "integer": 1,
    "unsignedInt": 1,
    "positiveInt": 1,
    "decimal": Decimal("1.50"),
    "date": "2024-02-29",
    "dateTime": "2024-02-29T10:00:00Z",
    "instant": "2024-02-29T10:00:00Z",
    "time": "10:00:00",
    "uri": "http://example.org/x",
    "url": "http://example.org/x",
    "canonical": "http://example.org/x|1",
    "oid": "urn:oid:1.2.3",
    "uuid": "urn:uuid:11111111-1111-4111-8111-111111111111",
    "base64Binary": "eA==",
    "xhtml": '<div xmlns="http://www.w3.org/1999/xhtml">x</div>',
}
_URL = re.compile(r"extension\('([^']+)'\)")
_VALUES: dict[str, dict[str, Any]] = {
    "token": {"valueCodeableConcept": {"coding": [{"code": "x"}]}},
    "string": {"valueString": "x"},
    "reference": {"valueReference": {"reference": "Condition/1"}},
}
_FLAT = frozenset(["Extension", "Meta", "Narrative"])


def dense(type_name: str, variant: int) -> dict[str, Any]:
    """A resource of that type. Its shape is right, its sense is none."""
    whole = _object(type_name, variant, 0)
    whole["extension"] = [{"url": url, **_VALUES[kind]} for url, kind in _extensions(type_name)]
    if not whole["extension"]:
        del whole["extension"]
    return {"resourceType": type_name, **whole, "id": "x", "meta": {"profile": ["http://example.org/p"], "tag": [{"code": "t"}]}}


def _extensions(type_name: str) -> list[tuple[str, str]]:
    """The extensions that search parameters of the type look into, and what they take their values for."""
    parameters = (each for each in r4().search_parameters if type_name in each.base)
    return [(match[1], each.type) for each in parameters for match in _URL.finditer(each.expression)]


def _object(type_name: str, variant: int, depth: int) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, element in r4().elements(type_name).items():
        if name in _OF_ANY or (depth == 0 and name in _OF_RESOURCES):
            continue
        kind = element.types[variant % len(element.types)]
        key = next(key for key, one in element.json_names.items() if one == kind or not element.is_choice)
        value = _value(kind, element, variant, depth)
        if value is not None:
            made[key] = [value] if element.is_list else value
    return made


def _value(kind: str, element: Element, variant: int, depth: int) -> Any:
    if kind in r4().primitives:
        if kind == "code" and element.codes:
            codes = [code for codes in r4().value_sets[element.codes].values() for code in codes]
            return codes[variant % len(codes)]
        return _PRIMITIVES.get(kind, "x")
    if kind == "Reference":
        targets = element.targets or tuple(sorted(r4().resources))
        return {"reference": f"{targets[variant % len(targets)]}/1", "identifier": {"value": "x"}}
    if kind == "Resource":
        return {"resourceType": ("Patient", "Composition", "MessageHeader")[variant % 3], "id": "x"}
    if kind in _FLAT or depth >= DEEPEST or kind not in r4().types:
        return None
    return _object(kind, variant, depth + 1) or None

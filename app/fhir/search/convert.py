"""From a FHIR element to index entries: one converter for each kind of parameter and type of element.

A converter appends to a list and never raises on content: a value that cannot be indexed (an impossible date, a range that ends
before it begins, a reference to a contained resource) gives no entry. Validation is somebody else's work, and a resource that was accepted must be indexable.
"""

import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from app.fhir import ucum
from app.fhir.definitions import r4
from app.fhir.fhirpath.types import type_in_reference
from app.fhir.search.types import IN_BASE_UNITS, Date, Entry, Number, OfType, Quantity, Reference, String, Token, Uri
from app.fhir.search.values import OPEN, date_range, fold

_new = tuple.__new__  # half the cost of calling a NamedTuple, and extraction makes dozens a resource
Converter = Callable[[Any, str, list[Any]], None]  # (JSON value, parameter code, entries)


# ---- token


def _coding(value: Any, code: str, found: list[Any]) -> None:
    display = value.get("display")
    found.append(_new(Token, (code, value.get("system", ""), value.get("code", ""), fold(display) if display else "")))


def _codeable_concept(value: Any, code: str, found: list[Any]) -> None:
    text = value.get("text")
    folded = fold(text) if text else ""
    told = False
    for coding in value.get("coding", ()):
        display = coding.get("display")
        shown = folded if display == text else fold(display) if display else ""
        told = told or shown == folded
        found.append(_new(Token, (code, coding.get("system", ""), coding.get("code", ""), shown)))
    if folded and not told:
        found.append(_new(Token, (code, "", "", folded)))


def _identifier(value: Any, code: str, found: list[Any]) -> None:
    number = value.get("value")
    if number is None:
        return
    kind = value.get("type")
    text = kind.get("text") if kind else None
    found.append(_new(Token, (code, value.get("system", ""), number, fold(text) if text else "")))
    if kind:
        for coding in kind.get("coding", ()):
            if "code" in coding:
                found.append(OfType(code, coding.get("system", ""), coding["code"], number))


def _contact_point(value: Any, code: str, found: list[Any]) -> None:
    if "value" in value:
        found.append(_new(Token, (code, "", value["value"], "")))


def _boolean(value: Any, code: str, found: list[Any]) -> None:
    found.append(_new(Token, (code, "", "true" if value else "false", "")))


def _code(value: Any, code: str, found: list[Any]) -> None:
    found.append(_new(Token, (code, "", str(value), "")))


def _money_token(value: Any, code: str, found: list[Any]) -> None:
    if "currency" in value:
        found.append(_new(Token, (code, "urn:iso:std:iso:4217", value["currency"], "")))


# ---- string


def _string(value: Any, code: str, found: list[Any]) -> None:
    if type(value) is str:
        found.append(_new(String, (code, fold(value), value)))


def _parts(*names: str) -> Converter:
    def convert(value: Any, code: str, found: list[Any]) -> None:
        for name in names:
            part = value.get(name)
            if part is None:
                continue
            for text in part if type(part) is list else (part,):
                if text:
                    found.append(_new(String, (code, fold(text), text)))

    return convert


# ---- reference


def reference_entry(code: str, text: str, *, kind: str = "", system: str = "", value: str = "") -> Reference | None:
    """The entry of a reference string; None for a contained resource."""
    if text[:1] == "#":
        return None
    if ":" not in text:
        parts = text.split("/")
        if len(parts) >= 2 and type_in_reference(text) is not None:
            return _new(Reference, (code, parts[0], parts[1], "", "", system, value))
        return _new(Reference, (code, kind, "", text, "", system, value))
    url, _, version = text.partition("|")
    return _new(Reference, (code, type_in_reference(url) or kind, "", url, version, system, value))


def _reference(value: Any, code: str, found: list[Any]) -> None:
    if type(value) is not dict:
        _canonical(value, code, found)
        return
    identifier, text = value.get("identifier"), value.get("reference")
    system, number = (identifier.get("system", ""), identifier.get("value", "")) if identifier else ("", "")
    if text is not None:
        entry = reference_entry(code, text, kind=value.get("type", ""), system=system, value=number)
        if entry is not None:
            found.append(entry)
    elif number:
        found.append(_new(Reference, (code, value.get("type", ""), "", "", "", system, number)))


def _canonical(value: Any, code: str, found: list[Any]) -> None:
    if type(value) is str:
        entry = reference_entry(code, value)
        if entry is not None:
            found.append(entry)


def _resource(value: Any, code: str, found: list[Any]) -> None:
    if "id" in value:
        found.append(_new(Reference, (code, value["resourceType"], value["id"], "", "", "", "")))


# ---- date


def _date(value: Any, code: str, found: list[Any]) -> None:
    span = date_range(value)
    if span is not None:
        found.append(Date(code, span[0], span[1]))


def _period(value: Any, code: str, found: list[Any]) -> None:
    start, end = (date_range(value[side]) if type(value.get(side)) is str else None for side in ("start", "end"))
    low, high = start[0] if start else -OPEN, end[1] if end else OPEN
    if (start or end) and low < high:
        found.append(Date(code, low, high))


def _timing(value: Any, code: str, found: list[Any]) -> None:
    spans = [span for event in value.get("event", ()) if event and (span := date_range(event))]
    found.extend(Date(code, low, high) for low, high in spans)
    bounds = value.get("repeat", {}).get("boundsPeriod")
    if bounds:
        _period(bounds, code, found)


# ---- number, quantity, uri


def _number(value: Any, code: str, found: list[Any]) -> None:
    found.append(Number(code, float(value), float(value)))


def _quantity(value: Any, code: str, found: list[Any]) -> None:
    if "value" not in value:
        return
    low = high = float(value["value"])
    match value.get("comparator"):
        case "<" | "<=":
            low = -math.inf
        case ">" | ">=":
            high = math.inf
    _put(found, Quantity(code, low, high, value.get("system", ""), value.get("code", ""), value.get("unit", "")))


def _put(found: list[Any], entry: Quantity) -> None:
    """As written and, where UCUM says what the unit is, in base units."""
    found.append(entry)
    if entry.system == ucum.SYSTEM and entry.code:
        base = ucum.base_range(entry.low, entry.high, entry.code)
        if base is not None:
            found.append(Quantity(entry.param, base[0], base[1], IN_BASE_UNITS, base[2]))


def _range(value: Any, code: str, found: list[Any]) -> None:
    low, high = value.get("low", {}), value.get("high", {})
    unit = low or high
    if "value" in low or "value" in high:
        bottom, top = float(low.get("value", Decimal("-inf"))), float(high.get("value", Decimal("inf")))
        if bottom <= top:
            _put(found, Quantity(code, bottom, top, unit.get("system", ""), unit.get("code", ""), unit.get("unit", "")))


def _money(value: Any, code: str, found: list[Any]) -> None:
    if "value" in value:
        amount, currency = float(value["value"]), value.get("currency", "")
        found.append(Quantity(code, amount, amount, "urn:iso:std:iso:4217" if currency else "", currency, currency))


def _uri(value: Any, code: str, found: list[Any]) -> None:
    if type(value) is str:
        found.append(Uri(code, value))


_ADDRESS = _parts("line", "city", "district", "state", "postalCode", "country", "text")
_NAME = _parts("family", "given", "prefix", "suffix", "text")
_QUANTITIES = dict.fromkeys(("Quantity", "Age", "Count", "Distance", "Duration", "SimpleQuantity"), _quantity)

# The second table answers for types that the first does not name; None gives no entry.
CONVERTERS: dict[str, dict[str, Converter]] = {
    "token": {
        "Coding": _coding,
        "CodeableConcept": _codeable_concept,
        "Identifier": _identifier,
        "ContactPoint": _contact_point,
        "boolean": _boolean,
        "Money": _money_token,
    },
    "string": {"HumanName": _NAME, "Address": _ADDRESS},
    "reference": {"Reference": _reference, "canonical": _canonical, "uri": _canonical, "url": _canonical},
    "date": {"date": _date, "dateTime": _date, "instant": _date, "Period": _period, "Timing": _timing},
    "number": {},
    "quantity": {**_QUANTITIES, "Range": _range, "Money": _money},
    "uri": {},
}
_PRIMITIVE_CONVERTERS: dict[str, Converter] = {"token": _code, "string": _string, "uri": _uri, "number": _number}


def _extension(kind: str) -> Converter:
    """A parameter that ends at an extension (some of R4's do) means the extension's value."""

    def convert(value: Any, code: str, found: list[Any]) -> None:
        for key, inner in value.items():
            if key.startswith("value") and len(key) > 5:
                suffix = key[5:]
                type_name = suffix if suffix in r4().types else suffix[0].lower() + suffix[1:]
                inside = converter(kind, type_name, inner)
                if inside is not None:
                    inside(inner, code, found)

    return convert


def converter(kind: str, type_name: str, value: Any) -> Converter | None:
    """How a value of that FHIR type is indexed for that kind of parameter."""
    found = CONVERTERS.get(kind, {}).get(type_name)
    if found is not None:
        return found
    if type_name == "Extension":
        return _extension(kind)
    if kind == "reference" and type(value) is dict and "resourceType" in value:
        return _resource
    return None if type(value) is dict else _PRIMITIVE_CONVERTERS.get(kind)


__all__ = ["CONVERTERS", "Converter", "Entry", "converter", "reference_entry"]

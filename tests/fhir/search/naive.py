"""The meaning of a plan, written as plainly as it can be: the oracle that the stores' compilers are held to.

`matches(plan, resource, world)` looks at one resource at a time, with no index. Slow on purpose.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from app.fhir.search.extract import extract
from app.fhir.search.types import (
    IN_BASE_UNITS,
    AnyOf,
    Chain,
    Clause,
    Composite,
    CompositeValue,
    Date,
    DateValue,
    Entries,
    Entry,
    Has,
    Ids,
    LastUpdated,
    Match,
    Missing,
    Nothing,
    Number,
    NumberValue,
    OfType,
    Param,
    Plan,
    Quantity,
    QuantityValue,
    Reference,
    ReferenceValue,
    String,
    StringValue,
    Token,
    TokenValue,
    Uri,
    UriValue,
    Value,
)


@dataclass(frozen=True)
class Indexed:
    """One current resource as the index sees it. `updated` is in microseconds since 1970."""

    type: str
    id: str
    entries: Entries
    updated: int = 0


World = Mapping[str, Indexed]  # by "Type/id"


def indexed(resource: Mapping[str, Any], updated: int = 0) -> Indexed:
    """A resource with its entries."""
    return Indexed(resource["resourceType"], resource["id"], extract(resource), updated)


def world_of(resources: Iterable[Indexed]) -> World:
    """By reference."""
    return {f"{each.type}/{each.id}": each for each in resources}


def matches(plan: Plan, resource: Indexed, world: World) -> bool:
    """Whether the resource is a match of the plan (includes, order and paging aside)."""
    return (not plan.types or resource.type in plan.types) and all(holds(clause, resource, world) for clause in plan.where)


def holds(clause: Clause, resource: Indexed, world: World) -> bool:
    match clause:
        case Match(param, values, modifier):
            found = any(entry_matches(entry, value, modifier) for entry in entries_of(resource, param) for value in values)
            return not found if modifier == "not" else found
        case Missing(param, missing):
            return (not entries_of(resource, param)) is missing
        case Ids(ids):
            return resource.id in ids
        case LastUpdated(values):
            return any(date_matches(resource.updated, resource.updated + 1, value) for value in values)
        case AnyOf(clauses):
            return any(holds(each, resource, world) for each in clauses)
        case Chain(param, targets, where):
            return any(
                target.type in targets and holds(where, target, world)
                for entry in entries_of(resource, param)
                if isinstance(entry, Reference) and (target := world.get(f"{entry.type}/{entry.id}")) is not None
            )
        case Has(source, param, where):
            return any(
                each.type == source
                and any(
                    isinstance(entry, Reference) and (entry.type, entry.id) == (resource.type, resource.id)
                    for entry in entries_of(each, param)
                )
                and holds(where, each, world)
                for each in world.values()
            )
        case Nothing():
            return False


def entries_of(resource: Indexed, param: Param) -> list[Entry]:
    all_entries = resource.entries
    lists: list[list[Any]] = [
        all_entries.tokens,
        all_entries.of_types,
        all_entries.strings,
        all_entries.references,
        all_entries.dates,
        all_entries.numbers,
        all_entries.quantities,
        all_entries.uris,
        all_entries.composites,
    ]
    return [entry for each in lists for entry in each if entry.param in param.codes(resource.type)]


def entry_matches(entry: Entry, value: Value, modifier: str | None) -> bool:
    match entry, value:
        case Token(), StringValue():
            return entry.text.startswith(value.folded)
        case OfType(), TokenValue() if modifier == "of-type":
            return value.value == entry.value and value.code == entry.code and value.system in (None, entry.system)
        case Token(), TokenValue() if modifier != "of-type":
            return value.system in (None, entry.system) and value.code in (None, entry.code)
        case String(), StringValue():
            if modifier == "exact":
                return entry.exact == value.exact
            return value.folded in entry.folded if modifier == "contains" else entry.folded.startswith(value.folded)
        case Reference(), ReferenceValue():
            return reference_matches(entry, value)
        case Date(), DateValue():
            return date_matches(entry.low, entry.high, value)
        case Number(), NumberValue():
            return number_matches(entry.low, entry.high, value)
        case Quantity(), QuantityValue():
            unit = value.code is None or value.code == entry.code or (value.system is None and value.code == entry.unit)
            system = entry.system != IN_BASE_UNITS if value.system is None else entry.system == value.system
            return unit and system and number_matches(entry.low, entry.high, value)
        case Uri(), UriValue():
            return uri_matches(entry.uri, value.uri, modifier)
        case Composite(), CompositeValue():
            return all(
                any(entry_matches(one, part, None) for one in component)
                for component, part in zip(entry.components, value.components, strict=True)
            )
    return False


def reference_matches(entry: Reference, value: ReferenceValue) -> bool:
    if value.value is not None:
        return entry.value == value.value and value.system in (None, entry.system)
    if value.url is not None:
        return entry.url == value.url and value.version in (None, entry.version)
    return entry.id == value.id and value.type in (None, entry.type)


def uri_matches(mine: str, asked: str, modifier: str | None) -> bool:
    """`:below` and `:above` go by whole path segments."""
    if modifier == "below":
        return mine == asked or mine.startswith(asked.rstrip("/") + "/")
    if modifier == "above":
        return mine == asked or asked.startswith(mine.rstrip("/") + "/")
    return mine == asked


def date_matches(low: int, high: int, value: DateValue) -> bool:
    """The resource's `[low, high)` against the asked half-open range."""
    within = value.low <= low and high <= value.high
    match value.prefix:
        case "eq":
            return within
        case "ne":
            return not within
        case "gt":
            return high > value.high
        case "lt":
            return low < value.low
        case "ge":
            return high > value.high or within
        case "le":
            return low < value.low or within
        case "sa":
            return low >= value.high
        case "eb":
            return high <= value.low
        case "ap":
            return low < value.high and high > value.low


def number_matches(low: float, high: float, value: NumberValue | QuantityValue) -> bool:
    """The resource's closed `[low, high]` against the asked closed range."""
    within = value.low <= low and high <= value.high
    match value.prefix:
        case "eq":
            return within
        case "ne":
            return not within
        case "gt":
            return high > value.high
        case "lt":
            return low < value.low
        case "ge":
            return high > value.high or within
        case "le":
            return low < value.low or within
        case "sa":
            return low > value.high
        case "eb":
            return high < value.low
        case "ap":
            return low <= value.high and high >= value.low

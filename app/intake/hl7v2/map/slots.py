"""Slots: what makes any order of arrival end equal.

A resource is the sum of its slots (`gender`, `stay/ended`, `identifier/…`). Each message gives some slots a value, or None to delete,
under a stamp made from the message alone: rank, event time, sending time, and a digest for ties. The greatest stamp wins, slot by slot, so
joining is commutative, associative and idempotent: order and repeats cannot matter.

The state is kept beside the resource in a record of kind `hl7v2-mark`, and only elements whose slots changed are written:
what other channels put into a resource stays.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

Slot = tuple[str, Any]  # stamp, value
Slots = dict[str, Slot]
Values = Mapping[str, Any]  # of one group: what stands after the slash ("" for the group itself) -> value
Build = Callable[[dict[str, Any], Values], None]

FILL, FALLBACK, SNAPSHOT = 0, 1, 2  # ranks: identity only; derived from the event; said in so many words


def stamp(rank: int, event: int, sent: int, digest: str) -> str:
    """A stamp that sorts as text. Times in microseconds since 1970 (before 1970 counts as 1970)."""
    return f"{rank}{max(event, 0):018d}{max(sent, 0):018d}{digest[:12]}"


def join(mine: Slots, theirs: Slots) -> set[str]:
    """Take over into `mine` each slot of `theirs` with a greater stamp; the names of those."""
    won = {name for name, slot in theirs.items() if name not in mine or slot[0] > mine[name][0]}
    for name in won:
        mine[name] = theirs[name]
    return won


def rebuild(resource: dict[str, Any], slots: Slots, changed: Iterable[str], builders: Mapping[str, Build]) -> None:
    """Make anew the elements of `resource` whose slots changed."""
    wanted: dict[str, dict[str, Any]] = {name.partition("/")[0]: {} for name in changed}
    for name in sorted(slots):
        group, _, part = name.partition("/")
        if group in wanted:
            wanted[group][part] = slots[name][1]
    for group, values in wanted.items():
        builders[group](resource, values)


def put(resource: dict[str, Any], element: str, value: Any) -> None:
    """Set an element, or take it away where `value` says nothing."""
    if value is None or value == "" or value == [] or value == {}:
        resource.pop(element, None)
    else:
        resource[element] = value


def plain(element: str) -> Build:
    """The builder of an element that is its slot's value."""

    def build(resource: dict[str, Any], values: Values) -> None:
        put(resource, element, values.get(""))

    return build


def extension(resource: dict[str, Any], url: str, value: dict[str, Any] | None) -> None:
    """Set or take away one extension among others."""
    others = [entry for entry in resource.get("extension", ()) if entry.get("url") != url]
    put(resource, "extension", [*others, {"url": url, **value}] if value else others)

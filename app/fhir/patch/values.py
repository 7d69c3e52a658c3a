"""JSON values as patches treat them: copied, compared, weighed, cleared of what is empty."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from app.fhir import codec
from app.fhir.errors import TooCostly

MAX_NODES = 250_000
MAX_STEPS = 200_000  # a quarter of a second, at worst


def copied(value: Any) -> Any:
    """A deep copy: JSON has no values that share or contain themselves."""
    if type(value) is dict:
        return {key: copied(inner) if type(inner) in (dict, list) else inner for key, inner in value.items()}
    if type(value) is list:
        return [copied(inner) if type(inner) in (dict, list) else inner for inner in value]
    return value


def same(one: Any, other: Any) -> bool:
    """Equal as RFC 6902 has it: numbers by value (1 is 1.0), objects whatever the order of their keys; `true` is no number."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, int | Decimal) and isinstance(other, int | Decimal):
        return one == other
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(same(left, right) for left, right in zip(one, other, strict=True))
    return bool(one == other)


def weight(value: Any) -> tuple[int, int]:
    """How many values there are in it, and how deep it nests (0 for a plain value)."""
    nodes = depth = 0
    level: list[Any] = [value]
    while level:
        nodes += len(level)
        holders = [one for one in level if type(one) in (dict, list)]
        depth += bool(holders)
        level = [inner for one in holders for inner in _inside(one)]
    return nodes, depth


class Budget:
    """What a whole patch may still copy in and look at, and how deep it may put things."""

    def __init__(self) -> None:
        self.nodes = MAX_NODES
        self.steps = MAX_STEPS

    def look(self, nodes: int) -> None:
        """Counts the nodes that a search for a place has passed. Raises TooCostly."""
        self.steps -= nodes
        if self.steps < 0:
            raise TooCostly(f"The patch looks at more than {MAX_STEPS} elements on its way to its places.")

    def spend(self, value: Any, at_depth: int) -> None:
        """Raises TooCostly where `value`, put at that depth, would be too much."""
        nodes, depth = weight(value)
        self.nodes -= nodes
        if self.nodes < 0:
            raise TooCostly(f"The patch copies more than {MAX_NODES} values.")
        if at_depth + depth > codec.MAX_DEPTH:
            raise TooCostly(f"The patch nests the resource deeper than {codec.MAX_DEPTH} levels.")


def _inside(value: Any) -> Iterator[Any]:
    return iter(value.values()) if type(value) is dict else iter(value)


def prune(value: Any) -> None:
    """Takes out, in place, the objects and arrays that are empty: FHIR has none, and a patch that takes the last thing out means them too.

    In the array of companions of primitives an empty object becomes null, since its place counts.
    """
    if type(value) is dict:
        for key in list(value):
            inner = value[key]
            if type(inner) is dict:
                prune(inner)
            elif type(inner) is list:
                _prune_list(inner, is_aligned=key.startswith("_"))
            if type(inner) in (dict, list) and not inner:
                del value[key]


def _prune_list(items: list[Any], *, is_aligned: bool) -> None:
    for item in items:
        prune(item)
    if is_aligned:
        items[:] = [None if item == {} else item for item in items]
        if not any(item is not None for item in items):
            items.clear()
    else:
        items[:] = [item for item in items if item != {}]

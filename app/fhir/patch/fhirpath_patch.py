"""FHIRPath Patch (R4): add, insert, delete, replace and move, each at the one element that a path leads to."""

from collections.abc import Callable, Mapping
from typing import Any

from app.fhir.definitions import Element, r4
from app.fhir.errors import BadRequest, FHIRError
from app.fhir.patch.errors import PatchError
from app.fhir.patch.parameters import Content, Operation, insert, made, read, store, tidy
from app.fhir.patch.places import Place, Places, children, locate, locate_tree, split
from app.fhir.patch.values import Budget, copied

Apply = Callable[[Operation, dict[str, Any], Budget], None]


def fhirpath_patch(resource: Mapping[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """What `resource` is after all operations of a Parameters resource; `resource` itself stays as it is.

    What is left without content by a deletion goes too. Raises BadRequest for what is no patch (at its place in the Parameters), PatchError
    where a path leads to nothing or to several, FHIRPathError for a path that does not parse, TooCostly over the budget.
    """
    operations = read(parameters)
    if resource.get("resourceType") not in r4().resources:
        raise BadRequest("A FHIRPath Patch needs a resource that says what it is.", expression="resourceType")
    whole: dict[str, Any] = copied(dict(resource))
    budget = Budget()
    for operation in operations:
        try:
            _APPLY[operation.type](operation, whole, budget)
        except FHIRError as error:
            raise operation.placed(error) from error
    return whole


def _only(found: Places, what: str) -> Place:
    if len(found) != 1:
        told = "nothing" if not found else f"{len(found)} elements"
        raise PatchError(f"the path leads to {told}; {what} needs exactly one.")
    return found[0]


def _element(place: Place, name: str) -> Element:
    """The element `name` of the type of `place`. A choice may be named with its type, as in JSON."""
    element = r4().element(place.node.type, name)
    if element is None or place.node.type in r4().primitives or type(place.node.value) is not dict:
        raise PatchError(f"a {place.node.type or 'value'} has no element '{name[:64]}'.", expression=place.path)
    return element


def _content(operation: Operation, element: Element, depth: int, budget: Budget) -> Content:
    one = made(operation.value, element, f"{operation.at}.part")
    for value in (one.value, one.companion):
        budget.spend(value, depth)
    return Content(one.key, copied(one.value), copied(one.companion))


def _depth(place: Place) -> int:
    """How many containers hold what is put into it, at most."""
    depth = 2
    while place.parent is not None:
        depth += 1 if place.index is None else 2
        place = place.parent
    return depth


def _add(operation: Operation, whole: dict[str, Any], budget: Budget) -> None:
    place = _only(locate(operation.path, whole, budget), "add")
    element = _element(place, operation.name)
    store(place.node.value, _content(operation, element, _depth(place), budget), element, place.path)


def _list(operation: Operation, whole: dict[str, Any], budget: Budget) -> tuple[Place, Element, Places]:
    """The holder of a list, its element, and the items that are there."""
    tree, name = split(operation.path)
    place = _only(locate_tree(tree, whole, budget), f"the way to '{name}'")
    element = _element(place, name)
    if not element.is_list:
        raise PatchError(f"'{name}' is no list.", expression=place.path)
    return place, element, children(place, name)


def _insert(operation: Operation, whole: dict[str, Any], budget: Budget) -> None:
    place, element, items = _list(operation, whole, budget)
    if operation.index > len(items):
        raise PatchError(
            f"there are {len(items)} items, so no place {operation.index}.", expression=f"{place.path}.{element.name}"
        )
    insert(place.node.value, _content(operation, element, _depth(place), budget), operation.index)


def _move(operation: Operation, whole: dict[str, Any], budget: Budget) -> None:
    place, element, items = _list(operation, whole, budget)
    for number in (operation.source, operation.destination):
        if number >= len(items):
            raise PatchError(f"there are {len(items)} items, so no place {number}.", expression=f"{place.path}.{element.name}")
    for key in (element.name, "_" + element.name):
        values = place.node.value.get(key)
        if type(values) is list:
            values.extend([None] * (len(items) - len(values)))
            values.insert(operation.destination, values.pop(operation.source))


def _delete(operation: Operation, whole: dict[str, Any], budget: Budget) -> None:
    found = locate(operation.path, whole, budget)
    if not found:
        return
    _take_out(_only(found, "delete"))


def _take_out(place: Place) -> None:
    """With whatever is left without content by it, upwards."""
    holder, parent = place.holder, place.parent
    if holder is None or parent is None:
        raise PatchError("the whole resource cannot be deleted by a patch.", expression=place.path)
    for key in (place.key, "_" + place.key):
        if place.index is None:
            holder.pop(key, None)
        elif type(items := holder.get(key)) is list and place.index < len(items):
            del items[place.index]
    tidy(holder, place.key)
    if holder or parent.holder is None:
        return
    if parent.node.value is holder or parent.node.value is None:
        _take_out(parent)
    else:  # the last extension of a primitive, whose value stays
        _put(parent, Content(parent.key, parent.node.value))


def _put(place: Place, one: Content) -> None:
    """In the place of what is there."""
    assert place.holder is not None
    for key, new in ((one.key, one.value), ("_" + one.key, one.companion)):
        if place.index is None:
            place.holder.pop(key, None)
            if new is not None:
                place.holder[key] = new
        else:
            items = place.holder.setdefault(key, [])
            items.extend([None] * (place.index + 1 - len(items)))
            items[place.index] = new
    tidy(place.holder, one.key)


def _replace(operation: Operation, whole: dict[str, Any], budget: Budget) -> None:
    place = _only(locate(operation.path, whole, budget), "replace")
    if place.holder is None or place.parent is None:
        raise PatchError("the whole resource cannot be replaced by a patch: update it.", expression=place.path)
    kind = place.parent.node.type if place.holder is place.parent.node.value else "Element"
    element = next(element for element in r4().elements(kind).values() if place.key in element.json_names)
    one = _content(operation, element, _depth(place), budget)
    if one.key != place.key:  # a choice of another type
        place.holder.pop(place.key, None)
        place.holder.pop("_" + place.key, None)
    _put(place, one)


_APPLY: dict[str, Apply] = {"add": _add, "insert": _insert, "delete": _delete, "replace": _replace, "move": _move}

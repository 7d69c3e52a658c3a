"""Tree navigation: children and descendants, in the order of the JSON."""

from app.fhir.fhirpath import model
from app.fhir.fhirpath.environment import Environment
from app.fhir.fhirpath.functions.registry import function
from app.fhir.fhirpath.values import Items, Node


def children_of(item: object, found: Items) -> None:
    """Append all children of a node, whatever their names."""
    if type(item) is not Node:
        return
    if type(item.value) is not dict:
        if type(item.extra) is dict:
            found.extend(Node(each, "Extension") for each in item.extra.get("extension", ()))
            if "id" in item.extra:
                found.append(Node(item.extra["id"], "string"))
        return
    steps = model.children(item.type)
    if not steps:
        for name in item.value:
            model.untyped(item.value, name, found)
        return
    for step in steps.values():
        step.collect(item.value, found)


@function("children")
def children(items: Items, env: Environment) -> Items:
    found: Items = []
    for item in items:
        children_of(item, found)
    env.spend(len(found))
    return found


@function("descendants")
def descendants(items: Items, env: Environment) -> Items:
    found: Items = []
    level = items
    while level:
        lower: Items = []
        for item in level:
            children_of(item, lower)
        env.spend(len(lower))
        found.extend(lower)
        level = lower
    return found

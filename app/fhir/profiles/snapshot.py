"""Snapshot generation: the tree of a profile from the tree of its base and the profile's differential.

What must stay true: HL7's own snapshots of R4's profiles say the same (a test compares them all). A differential that does not fit its base gives
issues, never an exception, and the rest of it still applies.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from app.fhir.definitions import r4
from app.fhir.numbers import whole_number
from app.fhir.profiles.definition import Definition, base

Resource = Mapping[str, Any]
Finder = Callable[[str], Definition | None]  # the tree of a profile by URL

_SET = (
    "min",
    "max",
    "type",
    "slicing",
    "maxLength",
    "mustSupport",
    "isModifier",
    "isSummary",
    "sliceIsConstraining",
    "contentReference",
)
_VALUES = ("fixed", "pattern", "minValue", "maxValue")
_MAX_DEPTH = 30
# How a choice is sliced where a differential names one of its types in short (`valueQuantity`): no other type is allowed then.
SHORT_FORM = {"discriminator": [{"type": "type", "path": "$this"}], "ordered": False, "rules": "closed"}


class Misfit(Exception):
    """An element of a differential that the base does not have."""


def generate(structure: Resource, on: Definition, find: Finder) -> tuple[Definition, list[str]]:
    """The tree of a profile over the tree of its base, and a sentence for each element that did not fit."""
    tree = on.clone()
    problems = []
    for id, element in _with_ids(_elements(structure)):
        try:
            _merge(_place(tree, id, find), element)
        except Misfit as misfit:
            problems.append(f"{id}: {misfit}")
    _narrow(tree)
    return tree, problems


def _narrow(node: Definition) -> None:
    """A choice that is named in short takes the types so named."""
    if node.facts.get("slicing") is SHORT_FORM:
        named = {code for each in node.slices.values() for code in each.types()}
        node.facts["type"] = [each for each in node.facts["type"] if each.get("code") in named]
        node.own.add("type")
        if len(named) == 1:
            node.kind = next(iter(named))
    for each in (*node.slices.values(), *(node.children or {}).values()):
        _narrow(each)


def _elements(structure: Resource) -> Iterable[Resource]:
    for view in ("differential", "snapshot"):
        found = structure.get(view)
        listed = found.get("element") if isinstance(found, Mapping) else None
        if isinstance(listed, list) and listed:
            return [each for each in listed if isinstance(each, Mapping) and isinstance(each.get("path"), str)]
    return []


def _with_ids(elements: Iterable[Resource]) -> Iterator[tuple[str, Resource]]:
    """Elements with their ids; where one is missing it follows from the path and the slice names before it."""
    latest: dict[str, str] = {}
    for element in elements:
        path = str(element["path"])
        id = element.get("id")
        if not isinstance(id, str) or _path_of(id) != path:
            parent, dot, last = path.rpartition(".")
            id = f"{latest.get(parent, parent)}{dot}{last}"
            if "sliceName" in element:
                id += f":{element['sliceName']}"
        latest[path] = id
        yield id, element


def _path_of(id: str) -> str:
    return ".".join(part.partition(":")[0] for part in id.split("."))


def _place(tree: Definition, id: str, find: Finder) -> Definition:
    """The definition that an id names, made on the way where the base does not list it."""
    node = tree
    parts = id.split(".")
    if len(parts) > _MAX_DEPTH:
        raise Misfit("the path is too deep")
    for part in parts[1:]:
        name, _, slice = part.partition(":")
        node, implied = _child(node, name, find)
        if implied:
            if len(node.types()) == 1:
                continue
            if "slicing" not in node.facts:
                node.facts["slicing"] = SHORT_FORM
                node.own.add("slicing")
        if slice or implied:
            node = _slice(node, slice or implied)
    return node


def _child(node: Definition, name: str, find: Finder) -> tuple[Definition, str]:
    """The child, and the slice that a name such as `valueQuantity` implies."""
    children = _expanded(node, find)
    if name in children:
        return children[name], ""
    for choice, child in children.items():
        stem = choice.removesuffix("[x]")
        if choice != stem and name.startswith(stem) and _type_named(child, name[len(stem) :]):
            return child, name
    raise Misfit(f"there is no element '{name}' in {node.kind or node.name}")


def _type_named(child: Definition, suffix: str) -> str:
    return next((code for code in child.types() if code[:1].upper() + code[1:] == suffix), "")


def _expanded(node: Definition, find: Finder) -> dict[str, Definition]:
    """The children of a node, taken over from its type (or the one profile of its type) when first needed."""
    if node.children is None:
        node.children = {name: child.clone() for name, child in _source(node, find).items()}
    return node.children


def _source(node: Definition, find: Finder) -> dict[str, Definition]:
    profiles, types = node.profiles(), node.types()
    if len(profiles) == 1 and len(types) == 1:
        tree = find(profiles[0])
        if tree is not None and tree.children is not None:
            return tree.children
    kind = node.kind or (types[0] if len(types) == 1 else "Element")
    if kind not in r4().types:
        raise Misfit(f"'{kind}' is no R4 type")
    return base(kind).children or {}


def _slice(node: Definition, name: str) -> Definition:
    """The slice of that name, made from the element if new; `a/b` is a slice of the slice `a`."""
    outer, slash, _ = name.rpartition("/")
    if slash and outer in node.slices:
        return _slice_of(node.slices[outer], name)
    return _slice_of(node, name)


def _slice_of(node: Definition, name: str) -> Definition:
    found = node.slices.get(name)
    if found is None:
        found = node.slices[name] = node.clone(slices=False)
        found.facts.pop("slicing", None)
        found.own = {"slice"}
        found.facts["min"] = 0
        stem = node.name.removesuffix("[x]")
        kind = _type_named(node, name[len(stem) :]) if stem != node.name and name.startswith(stem) else ""
        if kind:
            found.facts["type"] = [each for each in node.facts["type"] if each.get("code") == kind]
            found.kind = kind
            found.own.add("type")
    return found


def _merge(node: Definition, element: Resource) -> None:
    most = element.get("max", "*")
    if most != "*" and whole_number(most, 18) is None:
        raise Misfit(f"'{most[:20]}' is no maximum: it must be a number or *")
    for key in _SET:
        if key in element:
            node.facts[key] = element[key]
            if key not in ("isSummary", "isModifier", "sliceIsConstraining", "contentReference"):
                node.own.add(key)
    for key, value in element.items():
        if key.startswith(_VALUES):
            for old in [each for each in node.facts if each.startswith(_VALUES[_which(key)])]:
                del node.facts[old]
            node.facts[key] = value
            node.own.add(key)
    if isinstance(element.get("binding"), Mapping):
        node.facts["binding"] = {**node.facts.get("binding", {}), **element["binding"]}
        node.own.add("binding")
    if isinstance(element.get("constraint"), list):
        known = {each.get("key") for each in node.facts.get("constraint", ())}
        more = [each for each in element["constraint"] if isinstance(each, Mapping) and each.get("key") not in known]
        node.facts["constraint"] = [*node.facts.get("constraint", ()), *more]
        node.own.add("constraint")
    types = node.types()
    if "type" in element and len(types) == 1:
        node.kind = types[0] if node.kind == "" or not _is_backbone(node.kind) else node.kind


def _which(key: str) -> int:
    return next(at for at, prefix in enumerate(_VALUES) if key.startswith(prefix))


def _is_backbone(kind: str) -> bool:
    return kind in r4().types and r4().types[kind].kind == "backbone"

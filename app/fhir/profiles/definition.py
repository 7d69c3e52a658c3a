"""A type or profile as a tree of element definitions: what a snapshot lists, kept as a tree because everybody walks it.

`facts` has the fields of ElementDefinition that are rules. `own` names those that a profile has set: whoever validates after the base validator
needs to look at nothing else. Trees are shared and never changed once made; `clone` gives one to change.
"""

import functools
from collections.abc import Iterator
from typing import Any

from app.fhir.definitions import Element, r4

STRUCTURE = "http://hl7.org/fhir/StructureDefinition/"


class Definition:
    """One element, or one slice of it. `name` as in a path: `value[x]`; `kind`: the R4 type that says which children there are, "" if many."""

    __slots__ = ("children", "facts", "kind", "name", "own", "slices")

    def __init__(self, name: str, kind: str, facts: dict[str, Any]) -> None:
        self.name = name
        self.kind = kind
        self.facts = facts
        self.own: set[str] = set()
        self.children: dict[str, Definition] | None = None  # None: not listed; the type has them
        self.slices: dict[str, Definition] = {}

    def clone(self, *, slices: bool = True) -> "Definition":
        """A copy, to be changed."""
        made = Definition(self.name, self.kind, dict(self.facts))
        made.own = set(self.own)
        if self.children is not None:
            made.children = {name: child.clone() for name, child in self.children.items()}
        if slices:
            made.slices = {name: each.clone() for name, each in self.slices.items()}
        return made

    def types(self) -> list[str]:
        """The codes of the types that it takes, in order."""
        return [str(each.get("code")) for each in self.facts.get("type", ())]

    def profiles(self) -> list[str]:
        """Profiles of its types."""
        return [str(url) for each in self.facts.get("type", ()) for url in each.get("profile", ())]

    def value(self, prefix: str) -> tuple[str, Any] | None:
        """`("fixedUri", "http://...")` for the prefix "fixed"; None where there is none."""
        for key, value in self.facts.items():
            if key.startswith(prefix) and key != prefix and not key.startswith("_"):
                return key, value
        return None

    def says_something(self) -> bool:
        """Whether a profile has set a rule here or below."""
        return (
            bool(self.own)
            or any(each.says_something() for each in self.slices.values())
            or any(each.says_something() for each in (self.children or {}).values())
        )

    def listed(self, id: str = "", path: str = "") -> Iterator[tuple[str, str, "Definition"]]:
        """(id, path, element) in the order of a snapshot."""
        id, path = id or self.name, path or self.name
        yield id, path, self
        for child in (self.children or {}).values():
            yield from child.listed(f"{id}.{child.name}", f"{path}.{child.name}")
        head, dot, last = id.rpartition(".")
        for name, each in self.slices.items():
            yield from each.listed(f"{head}{dot}{last.partition(':')[0]}:{name}", path)


@functools.cache
def base(type_name: str) -> Definition:
    """R4's own tree of a type. KeyError if there is no such type."""
    root = Definition(type_name, type_name, {"min": 0, "max": "*"})
    root.children = _children(type_name)
    return root


def _children(type_name: str) -> dict[str, Definition]:
    made = [_from_table(element) for element in r4().elements(type_name).values()]
    return {each.name: each for each in made}


def _from_table(element: Element) -> Definition:
    name = f"{element.name}[x]" if element.is_choice else element.name
    facts: dict[str, Any] = {"min": element.min, "max": "*" if element.max is None else str(element.max)}
    kind = element.types[0] if len(element.types) == 1 else ""
    is_backbone = bool(kind) and r4().types[kind].kind == "backbone"
    if element.reference:
        facts["contentReference"] = "#" + element.reference
    else:
        facts["type"] = [{"code": r4().types[kind].base}] if is_backbone else [_type(each, element) for each in element.types]
    if element.binding:
        facts["binding"] = {"strength": "extensible" if element.is_extensible else "required", "valueSet": element.binding}
    if element.is_modifier:
        facts["isModifier"] = True
    made = Definition(name, kind, facts)
    if is_backbone and not element.reference:
        made.children = _children(kind)
    return made


def _type(code: str, element: Element) -> dict[str, Any]:
    made: dict[str, Any] = {"code": code}
    if code in ("Reference", "canonical") and element.targets:
        made["targetProfile"] = [STRUCTURE + each for each in element.targets]
    if element.profile and code == "Quantity":
        made["profile"] = [STRUCTURE + element.profile]
    return made

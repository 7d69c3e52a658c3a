"""Discriminators: whether an item belongs to a slice, by what lies at the end of a short path in the item and in the slice's definition.

Paths are `$this`, names, `extension('url')`, `ofType(X)` and `resolve()`. A definition that says nothing at the end of the path does not tell.
"""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from app.fhir.definitions import r4
from app.fhir.profiles.definition import Definition
from app.fhir.profiles.run import Item, Mismatch, Run, actual, is_a, items_at

if TYPE_CHECKING:
    from app.fhir.profiles.conformance import Conformance

_STEPS = re.compile(r"(extension|ofType|as)\(\s*'?([^')]*)'?\s*\)|(resolve)\(\)|([$A-Za-z][A-Za-z0-9_]*(?:\[x\])?)")


def steps_of(path: str) -> list[tuple[str, str]]:
    """`[("name", "code"), ("extension", url), ("resolve", "")]`; `$this` is no step."""
    found = []
    for match in _STEPS.finditer(path):
        if match[1]:
            found.append(("ofType" if match[1] == "as" else match[1], match[2]))
        elif match[3]:
            found.append(("resolve", ""))
        elif match[4] != "$this":
            found.append(("name", match[4].removesuffix("[x]")))
    return found


Seen = dict["Discriminator", list[Item]]


class Discriminator:
    """One of a slicing."""

    def __init__(self, conformance: "Conformance", told: Mapping[str, Any]) -> None:
        self._conformance = conformance
        self.kind = str(told.get("type"))
        self.steps = steps_of(str(told.get("path", "$this")))

    def alternatives(self, slice: Definition) -> list[Definition]:
        """The definitions at the end of the path; more than one where slices on the way each say something."""
        found = [slice]
        for step, name in self.steps:
            found = [each for definition in found for each in self._below(definition, step, name)]
        return found

    def tells(self, definition: Definition) -> bool:
        """Whether a definition at the end of the path says what the discriminator looks at."""
        match self.kind:
            case "value" | "pattern":
                return _says_value(definition)
            case "exists":
                return definition.facts.get("max") == "0" or definition.facts.get("min", 0) > 0
            case "type":
                return any(self._types(definition))
            case "profile":
                return bool(self._profiles(definition))
        return False

    def matches(self, item: Item, definition: Definition, run: Run, seen: Seen) -> bool:
        """Whether the item is as that definition says. `seen` keeps what lies at the end of the path, which is the same for every slice."""
        found = seen.get(self)
        if found is None:
            found = seen[self] = self._found(item, run)
        match self.kind:
            case "exists":
                return bool(found) if definition.facts.get("max") != "0" else not found
            case "type":
                types = self._types(definition)
                return any(is_a(each.type, kind) for each in found for kind in types)
            case "profile":
                urls = self._profiles(definition)
                return any(self._conformance.fits(each, url, run) for each in found for url in urls)
        return any(self._fits(each, definition, run) for each in found)

    def _fits(self, item: Item, definition: Definition, run: Run) -> bool:
        told = definition.value("fixed")
        if told is not None and type(told[1]) is str and told[1] != item.value:
            run.spend()
            return False
        try:
            self._conformance.judge(self._conformance.plan_of(definition), item, run.quiet())
        except Mismatch:
            return False
        return True

    # ---- the definition's side

    def _below(self, definition: Definition, step: str, name: str) -> list[Definition]:
        if step == "resolve":
            trees = [self._conformance.library.tree(url) for url in _targets(definition)]
            return [tree for tree in trees if tree is not None] or [definition]
        if step == "ofType":
            typed = [each for each in definition.slices.values() if name in each.types()]
            return typed or [definition]
        children = self._conformance.children(definition)
        child = children.get("extension" if step == "extension" else name) or children.get(f"{name}[x]")
        if child is None:
            return []
        if step == "extension":
            return [each for each in child.slices.values() if self._conformance.extension_url(each) == name]
        sliced = [each for each in child.slices.values() if each.says_something()]
        return sliced if sliced and not _says_value(child, within_slices=False) else [child]

    def _types(self, definition: Definition) -> list[str]:
        if self.steps[-1:] == [("resolve", "")]:
            return [definition.name] if definition.name in r4().resources else [definition.kind]
        return definition.types() or [definition.kind]

    def _profiles(self, definition: Definition) -> list[str]:
        if definition.profiles():
            return definition.profiles()
        return [url for url in (self._conformance.url_of(definition),) if url]

    # ---- the item's side

    def _found(self, item: Item, run: Run) -> list[Item]:
        found = [item]
        for step, name in self.steps:
            found = [below for each in found for below in _walk(each, step, name, run)]
        return found


def _walk(item: Item, step: str, name: str, run: Run) -> list[Item]:
    if step == "resolve":
        reference = item.value.get("reference") if isinstance(item.value, dict) else item.value
        resource = run.scope.resolve(reference) if isinstance(reference, str) else None
        if resource is None:
            kind = reference.split("/")[-2] if isinstance(reference, str) and "/" in reference else ""
            return [Item({"resourceType": kind}, kind, item.path)] if kind in r4().resources else []
        return [Item(resource, actual(resource, "Resource"), item.path)]
    if step == "ofType":
        return [item] if is_a(item.type, name) else []
    wanted = "extension" if step == "extension" else name
    element = r4().element(item.type, wanted)
    if element is None:
        if wanted != "extension":
            return []
        element = r4().elements("Element")["extension"]
    below = items_at(item, wanted, element.json_names, element.is_list)
    return below if step == "name" else [each for each in below if each.object().get("url") == name]


def _targets(definition: Definition) -> list[str]:
    return [str(url) for each in definition.facts.get("type", ()) for url in each.get("targetProfile", ())]


def _says_value(definition: Definition, *, within_slices: bool = True) -> bool:
    if definition.value("fixed") or definition.value("pattern"):
        return True
    if definition.facts.get("binding", {}).get("strength") == "required" and "binding" in definition.own:
        return True
    slices = definition.slices.values() if within_slices else ()
    return any(_says_value(each) for each in (*slices, *(definition.children or {}).values()))

"""Extensions against their definitions: wherever one stands, if its definition is known, what it may hold and where it may stand.

An extension of which nobody here knows the definition is left alone: R4 lets anyone send them.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from app.fhir.definitions import r4
from app.fhir.errors import FHIRError
from app.fhir.fhirpath import Node, compile
from app.fhir.profiles.conformance import Conformance
from app.fhir.profiles.library import Profile
from app.fhir.profiles.run import Item, Run, TooMuch
from app.fhir.validation.report import Path, Report

_KEYS = ("extension", "modifierExtension")
_INDEX = re.compile(r"\[\d+\]")


def rule_of(conformance: Conformance, type_name: str) -> Any:
    """The rule for objects of a type: their extensions, and those of their primitive children."""
    names = {"_" + key: element.name for element in r4().elements(type_name).values() for key in element.json_names}

    def rule(value: Mapping[str, Any], path: Path, report: Report) -> None:
        for key, held in value.items():
            if key in _KEYS:
                places = Places(type_name, path)
                for index, each in enumerate(held if type(held) is list else ()):
                    _judge(conformance, each, (path, key, index), places, report, value)
            elif key[:1] == "_" and key in names:
                _of_primitive(conformance, type_name, names[key], held, path, report)

    return rule


def _of_primitive(conformance: Conformance, owner: str, name: str, held: Any, path: Path, report: Report) -> None:
    for at, companion in enumerate(held if type(held) is list else [held]):
        found = companion.get("extension") if type(companion) is dict else None
        where = (path, name, at) if type(held) is list else (path, name)
        for index, each in enumerate(found if type(found) is list else ()):
            _judge(conformance, each, (where, "extension", index), Places(owner, path, name), report, companion)


def _judge(conformance: Conformance, extension: Any, path: Path, places: "Places", report: Report, holder: Any) -> None:
    url = extension.get("url") if type(extension) is dict else None
    if type(url) is not str or report.scope is None:
        return
    if (places.owner == "Extension" and ":" not in url) or (profile := conformance.library.get(url)) is None:
        return
    if not profile.is_extension:
        report.add("value", (path, "url"), f"{url} is not an extension but a profile of {profile.type}: use the URL of an extension.")
        return
    complaint = _misplaced(profile, places, report, holder)
    if complaint:
        report.add("structure", path, complaint)
    try:
        conformance.apply(profile, Item(extension, "Extension", path), Run(report, report.scope))
    except TooMuch:
        report.note("warning", "too-costly", path, "The extension is too large to be checked against its definition.")


class Places:
    """What the place of an extension is called, in the ways in which a context may name it."""

    def __init__(self, owner: str, path: Path, name: str = "") -> None:
        self.owner = owner
        self._path = path
        self._name = name

    def names(self) -> Iterator[str]:
        """Types of the element (nearest first), `Type.element` for the type that has it, and the path from the resource."""
        if self._name:
            element = r4().element(self.owner, self._name)
            if element is not None:
                yield from (name for kind in element.types for name in r4().ancestors(kind))
            yield from (f"{name}.{self._name}" for name in r4().ancestors(self.owner))
        else:
            yield from r4().ancestors(self.owner)
        yield from _trail(self._path, self._name)
        yield "Element"  # everything that can be extended
        if r4().types[self.owner].kind == "resource" and not self._name:
            yield "Resource"


def _trail(path: Path, name: str) -> Iterator[str]:
    """`Patient.contact.name` and what is left of it from each type on: `HumanName` cannot be told from here, so only whole paths."""
    parts = [name] if name else []
    here: Path | None = path
    while here is not None:
        parts.append(str(here[1]))
        if here[1] in ("resource", "contained"):
            break
        here = here[0]
    parts.reverse()
    yield ".".join(parts)
    yield ".".join(parts[1:]) if parts and parts[0] in ("resource", "contained") else ""


def _misplaced(profile: Profile, places: Places, report: Report, holder: Any) -> str | None:
    contexts = [each for each in profile.structure.get("context", ()) if isinstance(each, Mapping)]
    if not contexts:
        return None
    names = set(places.names())
    if report.scope is not None:  # from the resource, whatever it is inside of
        trail = next(iter(_trail(places._path, places._name)), "")
        head, _, rest = trail.partition(".")
        names.add(f"{report.scope.type}.{rest}" if head in ("resource", "contained", report.scope.type) and rest else report.scope.type * (not rest))
    parent = holder.get("url") if isinstance(holder, dict) else None
    allowed = []
    for context in contexts:
        kind, expression = context.get("type"), str(context.get("expression", ""))
        if kind == "extension":
            if places.owner == "Extension" and parent == expression:
                return None
        elif kind == "fhirpath":
            if _reaches(expression, holder, report):
                return None
        elif _matches(expression, names):
            return None
        allowed.append(expression)
    return f"The extension {profile.url} may stand only on {', '.join(allowed)}: move it there or take it out."


def _matches(expression: str, names: set[str]) -> bool:
    bare = expression.partition("#")[2] or expression
    bare = bare.replace("[x]", "")
    return expression in ("*", "Element", "Resource") and expression in names | {"*"} or bare in names


def _reaches(expression: str, holder: Any, report: Report) -> bool:
    """Whether the holder is among what a FHIRPath context finds; an expression that cannot be read forbids nothing."""
    assert report.scope is not None
    try:
        compiled = compile(expression)
        found = compiled.items(Node(report.scope.resource, report.scope.type), report.scope.env)
    except (FHIRError, TypeError, ValueError, AttributeError, KeyError):
        return True
    return any(item is True or getattr(item, "value", None) is holder or getattr(item, "extra", None) is holder for item in found)

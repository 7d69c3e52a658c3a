"""Extensions against their definitions: wherever one stands, if its definition is known, what it may hold and where it may stand.

An extension of which nobody here knows the definition is left alone: R4 lets anyone send them.
"""

from collections.abc import Mapping
from typing import Any

from app.fhir.definitions import r4
from app.fhir.errors import FHIRError
from app.fhir.fhirpath import Node, compile
from app.fhir.profiles.conformance import Conformance
from app.fhir.profiles.definition import STRUCTURE
from app.fhir.profiles.library import Profile
from app.fhir.profiles.run import Item, Run, TooMuch
from app.fhir.validation.compiler import Quiet
from app.fhir.validation.report import Path, Report
from app.fhir.validation.scope import Scope

# Where HL7's own publications put an extension beyond the context that its R4 definition gives (later versions say so). A test holds the list to
# exactly what they need.
BEYOND_THE_CONTEXT: Mapping[str, frozenset[str]] = {
    STRUCTURE + "structuredefinition-fhir-type": frozenset(["ElementDefinition.type"]),
    STRUCTURE + "structuredefinition-normative-version": frozenset(
        ["CodeSystem", "ElementDefinition", "OperationDefinition", "ValueSet"]
    ),
    STRUCTURE + "regex": frozenset(["ElementDefinition.type"]),
    STRUCTURE + "valueset-concept-comments": frozenset(["CodeSystem.concept"]),
}
_KEYS = ("extension", "modifierExtension")


def rule_of(conformance: Conformance, type_name: str) -> Quiet:
    """The rule for objects of a type: their extensions, and those of their primitive children."""
    names = {"_" + key: element.name for element in r4().elements(type_name).values() for key in element.json_names}

    def rule(value: Mapping[str, Any], path: Path, report: Report) -> None:
        for key, held in value.items():
            if key in _KEYS:
                for index, each in enumerate(held if type(held) is list else ()):
                    _judge(conformance, each, (path, key, index), (type_name, "", path), report, value)
            elif key[:1] == "_" and key in names:
                _of_primitive(conformance, type_name, names[key], held, path, report)

    return Quiet(rule, frozenset([*names, *_KEYS]))


def _of_primitive(conformance: Conformance, owner: str, name: str, held: Any, path: Path, report: Report) -> None:
    for at, companion in enumerate(held if type(held) is list else [held]):
        found = companion.get("extension") if type(companion) is dict else None
        where = (path, name, at) if type(held) is list else (path, name)
        for index, each in enumerate(found if type(found) is list else ()):
            _judge(conformance, each, (where, "extension", index), (owner, name, path), report, companion)


def _judge(
    conformance: Conformance, extension: Any, path: Path, place: tuple[str, str, Path], report: Report, holder: Any
) -> None:
    url = extension.get("url") if type(extension) is dict else None
    if type(url) is not str or report.scope is None:
        return
    if (place[0] == "Extension" and ":" not in url) or (profile := conformance.library.get(url)) is None:
        return
    if not profile.is_extension:
        report.add(
            "value", (path, "url"), f"{url} is not an extension but a profile of {profile.type}: use the URL of an extension."
        )
        return
    complaint = _misplaced(profile, place[0], _names(*place, report.scope), report, holder)
    if complaint:
        report.add("structure", path, complaint)
    try:
        conformance.apply(profile, Item(extension, "Extension", path), Run(report, report.scope))
    except TooMuch:
        report.note("warning", "too-costly", path, "The extension is too large to be checked against its definition.")


def _names(owner: str, name: str, path: Path, scope: Scope) -> set[str]:
    """What the place of an extension is called, in every way in which a context may name it.

    `owner` is the type of the object, `name` that of its primitive child where the extension stands on that. Types of the element, `Type.element`
    for the types that have it, and the path from the resource: `Patient`, `HumanName.family`, `Patient.contact.name`.
    """
    element = r4().element(owner, name) if name else None
    kinds = element.types if element is not None else (owner,)
    names = {"Element", *(each for kind in kinds for each in r4().ancestors(kind))}
    if name:
        names.update(f"{each}.{name}" for each in r4().ancestors(owner))
    trail = [name] if name else []
    here: Path | None = path
    while here is not None and here is not scope.path:
        trail.append(str(here[1]))
        here = here[0]
    names.add(".".join([scope.type, *reversed(trail)]))
    return names


def _misplaced(profile: Profile, owner: str, names: set[str], report: Report, holder: Any) -> str | None:
    contexts = [each for each in profile.structure.get("context", ()) if isinstance(each, Mapping)]
    if not contexts or not names.isdisjoint(BEYOND_THE_CONTEXT.get(profile.url, ())):
        return None
    parent = holder.get("url") if isinstance(holder, dict) else None
    allowed = []
    for context in contexts:
        kind, expression = context.get("type"), str(context.get("expression", ""))
        if kind == "extension":
            if owner == "Extension" and parent == expression:
                return None
        elif kind == "fhirpath":
            if _reaches(expression, holder, report):
                return None
        elif _matches(expression, names):
            return None
        allowed.append(expression)
    return f"The extension {profile.url} may stand only on {', '.join(allowed)}: move it there or take it out."


def _matches(expression: str, names: set[str]) -> bool:
    """`Patient`, `HumanName.family`, `Observation.value[x]`, `Element`, `*`, or the id in a profile (`bp#Observation.component`)."""
    bare = (expression.partition("#")[2] or expression).replace("[x]", "")
    return bare == "*" or bare in names


def _reaches(expression: str, holder: Any, report: Report) -> bool:
    """Whether the holder is among what a FHIRPath context finds; an expression that cannot be read forbids nothing."""
    assert report.scope is not None
    try:
        compiled = compile(expression)
        found = compiled.items(Node(report.scope.resource, report.scope.type), report.scope.env)
    except (FHIRError, TypeError, ValueError, AttributeError, KeyError):
        return True
    return any(item is True or getattr(item, "value", None) is holder or getattr(item, "extra", None) is holder for item in found)

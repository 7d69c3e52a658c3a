"""What FHIR adds to FHIRPath: extension, hasValue, getValue, resolve, memberOf, htmlChecks, conformsTo."""

import re

from app.fhir.definitions import r4
from app.fhir.fhirpath.environment import Environment
from app.fhir.fhirpath.errors import FHIRPathError
from app.fhir.fhirpath.functions.registry import function
from app.fhir.fhirpath.types import contained
from app.fhir.fhirpath.values import EMPTY, Items, Node, plain, singleton

_STRUCTURE = "http://hl7.org/fhir/StructureDefinition/"
_FORBIDDEN_HTML = re.compile(
    r"<\s*(script|form|input|iframe|object|embed|base|link|meta|style)\b|\son\w+\s*=|javascript:", re.IGNORECASE
)


@function("extension", 1, result="Extension")
def extension(items: Items, _env: Environment, url: Items) -> Items:
    wanted = singleton(url, "extension()")
    found: Items = []
    for item in items:
        if type(item) is not Node:
            continue
        holder = item.value if type(item.value) is dict else item.extra
        if type(holder) is dict:
            found.extend(Node(each, "Extension") for each in holder.get("extension", ()) if each.get("url") == wanted)
    return found


@function("hasExtension", 1, test=True)
def has_extension(items: Items, env: Environment, url: Items) -> bool:
    return bool(extension(items, env, url))


@function("hasValue", test=True)
def has_value(items: Items, _env: Environment) -> bool:
    if len(items) != 1:
        return False
    item = items[0]
    return type(item) is not Node or (item.value is not None and type(item.value) is not dict)


@function("getValue")
def get_value(items: Items, env: Environment) -> Items:
    return [items[0].value if type(items[0]) is Node else items[0]] if has_value(items, env) else EMPTY


@function("resolve")
def resolve(items: Items, env: Environment) -> Items:
    """References and URLs to resources: contained ones, those of the same Bundle, and whatever the caller's resolver knows."""
    found: Items = []
    for item in items:
        value = item.value if type(item) is Node else item
        reference = value.get("reference") if type(value) is dict else value
        if type(reference) is not str:
            continue
        node = contained(reference[1:], env) if reference[:1] == "#" else _in_bundle(reference, env)
        if node is None and env.resolve is not None and reference[:1] != "#":
            resource = env.resolve(reference)
            node = None if resource is None else Node(dict(resource), str(resource.get("resourceType", "")))
        if node is not None:
            found.append(node)
    return found


def _in_bundle(reference: str, env: Environment) -> Node | None:
    root = env.root
    if type(root) is not Node or root.type != "Bundle":
        return None
    for entry in root.value.get("entry", ()):
        full, resource = entry.get("fullUrl", ""), entry.get("resource")
        if resource is not None and (full == reference or full.endswith("/" + reference)):
            return Node(resource, resource.get("resourceType", ""))
    return None


@function("memberOf", 1, test=True)
def member_of(items: Items, env: Environment, value_set: Items) -> bool | None:
    """Through the caller's terminology; empty where nobody can tell."""
    url = singleton(value_set, "memberOf()")
    if not items or url is None or env.member_of is None:
        return None
    if len(items) > 1:
        raise FHIRPathError("FHIRPath: memberOf() takes one value")
    return env.member_of(plain(items[0]), url)


@function("conformsTo", 1, test=True)
def conforms_to(items: Items, env: Environment, profile: Items) -> bool | None:
    """Through the caller's profiles, else base types of R4 only; a profile that is not known is an error, never a guess."""
    url = singleton(profile, "conformsTo()")
    if not items:
        return None
    name = str(url).removeprefix(_STRUCTURE)
    if str(url).startswith(_STRUCTURE) and name in r4().types:
        return type(items[0]) is Node and items[0].type == name
    told = env.conforms(items[0], str(url)) if env.conforms is not None and type(items[0]) is Node else None
    if told is None:
        raise FHIRPathError(f"FHIRPath: conformsTo() does not know the profile '{url}'")
    return told


@function("htmlChecks", test=True)
def html_checks(items: Items, _env: Environment) -> bool:
    """Nothing that could run: no script, form, style sheet or event handler."""
    texts = [item.value if type(item) is Node else item for item in items]
    return all(type(text) is str and not _FORBIDDEN_HTML.search(text) for text in texts)

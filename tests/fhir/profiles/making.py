"""Small profiles for tests: `profile("Patient", element("Patient.name", min=1))`."""

from typing import Any

from app.fhir.validation import Validator

BASE = "http://hl7.org/fhir/StructureDefinition/"
URL = "https://example.org/StructureDefinition/"


def element(id: str, **facts: Any) -> dict[str, Any]:
    """One element of a differential; `slice` and the like come from the id."""
    path = ".".join(part.partition(":")[0] for part in id.split("."))
    last = id.rpartition(".")[2].partition(":")[2]
    return {"id": id, "path": path, **({"sliceName": last} if last else {}), **facts}


def profile(type: str, *elements: dict[str, Any], name: str = "p", on: str = "", **more: Any) -> dict[str, Any]:
    """A StructureDefinition that constrains a type, or the profile `on`."""
    return {
        "resourceType": "StructureDefinition",
        "url": URL + name,
        "name": name,
        "status": "draft",
        "kind": "resource",
        "abstract": False,
        "type": type,
        "baseDefinition": on or BASE + type,
        "derivation": "constraint",
        "differential": {"element": [element(type), *elements]},
        **more,
    }


def extension(name: str, *elements: dict[str, Any], context: list[tuple[str, str]] | None = None) -> dict[str, Any]:
    """A StructureDefinition of an extension with a string value, if nothing else is said."""
    told = elements or (element("Extension.extension", max="0"), element("Extension.value[x]", min=1, type=[{"code": "string"}]))
    contexts = [{"type": kind, "expression": expression} for kind, expression in context or [("element", "Element")]]
    return profile("Extension", element("Extension.url", fixedUri=URL + name), *told, name=name, context=contexts)


def sliced(id: str, *discriminators: tuple[str, str], rules: str = "open", ordered: bool = False, **more: Any) -> dict[str, Any]:
    """The element that says how its list is sliced."""
    by = [{"type": kind, "path": path} for kind, path in discriminators]
    return element(id, slicing={"discriminator": by, "rules": rules, "ordered": ordered}, **more)


def errors(
    resource: dict[str, Any], *structures: dict[str, Any], severity: str = "error", url: str = URL + "p"
) -> dict[str, str]:
    """location -> sentence, of what the profile says of a resource."""
    known = {each["url"] for each in structures}
    issues = Validator(profiles=structures).validate(resource, [url] if url in known else [])
    return {
        issue.expression or "": issue.diagnostics
        for issue in issues
        if issue.severity == severity and "(dom-6)" not in issue.diagnostics
    }

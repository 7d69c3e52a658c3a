"""Members of items whose type is known only when they are there."""

from typing import Any

from app.fhir.fhirpath import model
from app.fhir.fhirpath.code import Run
from app.fhir.fhirpath.environment import Environment
from app.fhir.fhirpath.errors import FHIRPathError
from app.fhir.fhirpath.quantities import Quantity
from app.fhir.fhirpath.values import Items, Node, TypeInfo


def dynamic(run: Run, name: str, strict: bool) -> Run:
    """A member of items whose types are known only when they are there."""

    def member(this: Any, env: Environment) -> Items:
        found: Items = []
        for item in run(this, env):
            if type(item) is not Node:
                if isinstance(item, TypeInfo | Quantity) and name in item._fields:
                    found.append(getattr(item, name))
                continue
            step = model.children(item.type).get(name)
            if step is not None:
                if type(item.value) is dict:
                    step.collect(item.value, found)
            elif item.type in model.PRIMITIVE:
                _of_primitive(item, name, found)
            elif item.type == "" and type(item.value) is dict:
                model.untyped(item.value, name, found)
            elif strict and item.type in ("Quantity",):
                raise FHIRPathError(f"FHIRPath: {item.type} has no element '{name}'")
        env.steps -= len(found)
        return found

    return member


def _of_primitive(item: Node, name: str, found: Items) -> None:
    if name == "extension" and type(item.extra) is dict:
        found.extend(Node(each, "Extension") for each in item.extra.get("extension", ()))
    elif name == "id" and type(item.extra) is dict and "id" in item.extra:
        found.append(Node(item.extra["id"], "string"))
    elif name == "value" and item.value is not None:
        found.append(item.value)

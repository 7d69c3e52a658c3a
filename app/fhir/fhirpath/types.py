"""Names of types, and whether an item is of one."""

from decimal import Decimal
from functools import lru_cache
from typing import Any

from app.fhir.definitions import r4
from app.fhir.fhirpath import model
from app.fhir.fhirpath.environment import Environment
from app.fhir.fhirpath.errors import FHIRPathError
from app.fhir.fhirpath.quantities import Quantity
from app.fhir.fhirpath.temporal import Temporal
from app.fhir.fhirpath.values import Node, TypeInfo

_PYTHON = {bool: "Boolean", str: "String", int: "Integer", Decimal: "Decimal", Quantity: "Quantity"}


@lru_cache(maxsize=1024)
def resolve_type_name(written: str, lenient: bool) -> TypeInfo:
    """`Patient`, `FHIR.Patient`, `System.String`, `Boolean`: namespace "" where both have it. Raises for an unknown one."""
    namespace, _, name = written.rpartition(".")
    if namespace and namespace not in ("FHIR", "System"):
        raise FHIRPathError(f"FHIRPath: there is no type '{written}'")
    if namespace:
        return TypeInfo(namespace, name)
    in_fhir, in_system = model.known(name), name in model.SYSTEM
    if in_fhir or in_system:
        if (
            lenient
            and not in_fhir
            and model.known(name[0].lower() + name[1:])
            and name not in ("Boolean", "Integer", "Decimal", "String")
        ):
            return TypeInfo("", name[0].lower() + name[1:])  # R4's own parameters write `as(DateTime)`
        return TypeInfo("" if in_fhir else "System", name)
    raise FHIRPathError(f"FHIRPath: there is no type '{written}'")


def type_of(item: Any) -> TypeInfo:
    """As `type()` tells it."""
    if type(item) is Node:
        return TypeInfo("FHIR", item.type or "Element")
    return TypeInfo("System", item.kind if type(item) is Temporal else _PYTHON.get(type(item), "Any"))


def is_of(item: Any, wanted: TypeInfo, *, exact: bool) -> bool:
    """Whether `item` is of a type; with `exact` a specialisation of a data type does not count (`code` is no `string`)."""
    if type(item) is not Node:
        if wanted.namespace == "FHIR":
            return False
        mine = type_of(item).name
        return mine == wanted.name or (wanted.namespace == "" and type(item) is Temporal and mine.lower() == wanted.name.lower())
    if wanted.namespace == "System":
        return False
    if exact and item.type not in r4().resources:
        return item.type == wanted.name or (wanted.name in model.ABSTRACT and model.is_a(item.type, wanted.name))
    return item.type == wanted.name or model.is_a(item.type, wanted.name)


def reference_type(item: Any, env: Environment) -> str | None:
    """The resource type that a Reference (or its string) points to, without fetching it; None if it does not tell."""
    value = item.value if type(item) is Node else item
    told = None
    if type(value) is dict:
        told = value.get("type")
        value = value.get("reference")
    if type(value) is str:
        if value[:1] == "#":
            found = contained(value[1:], env)
            return found.type if found is not None else told
        kind = type_in_reference(value)
        if kind is not None:
            return kind
    return told.rpartition("/")[2] if type(told) is str else None


def type_in_reference(reference: str) -> str | None:
    """`Patient` of `Patient/1`, `https://x/fhir/Patient/1` and `Patient/1/_history/2`; None for anything else."""
    head, _, _ = reference.rpartition("/")
    base, _, kind = head.rpartition("/")
    if kind == "_history":
        kind = base.rpartition("/")[0].rpartition("/")[2]
    return kind if kind in r4().resources else None


def contained(id: str, env: Environment) -> Node | None:
    """The contained resource of that id; the container itself for ""."""
    root = env.root
    if type(root) is not Node or type(root.value) is not dict:
        return None
    if not id:
        return root
    for resource in root.value.get("contained", ()):
        if resource.get("id") == id:
            return Node(resource, resource.get("resourceType", ""))
    return None

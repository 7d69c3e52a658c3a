"""Existence and truth: empty, exists, all, not, count, and what compares whole collections."""

from app.fhir.fhirpath.code import Code
from app.fhir.fhirpath.environment import Environment
from app.fhir.fhirpath.errors import FHIRPathError
from app.fhir.fhirpath.functions.registry import function
from app.fhir.fhirpath.operators import contains, distinct, identity
from app.fhir.fhirpath.values import Items, system, truth


@function("empty", test=True)
def empty(items: Items, _env: Environment) -> bool:
    return not items


@function("exists", 0, 1, lazy=True, test=True)
def exists(items: Items, env: Environment, criteria: Code | None = None) -> bool:
    if criteria is None:
        return bool(items)
    return any(criteria.test(item, env) for item in env.each(items))


@function("all", 1, lazy=True, test=True)
def all_(items: Items, env: Environment, criteria: Code) -> bool:
    return all(criteria.test(item, env) for item in env.each(items))


@function("not", test=True)
def not_(items: Items, _env: Environment) -> bool | None:
    value = truth(items)
    return None if value is None else not value


@function("count", result="System.Integer")
def count(items: Items, _env: Environment) -> Items:
    return [len(items)]


def _booleans(items: Items, name: str) -> list[bool]:
    values = [system(item) for item in items]
    if any(type(value) is not bool for value in values):
        raise FHIRPathError(f"FHIRPath: {name}() takes booleans")
    return values


@function("allTrue", test=True)
def all_true(items: Items, _env: Environment) -> bool:
    return all(_booleans(items, "allTrue"))


@function("anyTrue", test=True)
def any_true(items: Items, _env: Environment) -> bool:
    return any(_booleans(items, "anyTrue"))


@function("allFalse", test=True)
def all_false(items: Items, _env: Environment) -> bool:
    return not any(_booleans(items, "allFalse"))


@function("anyFalse", test=True)
def any_false(items: Items, _env: Environment) -> bool:
    return not all(_booleans(items, "anyFalse"))


def subset(few: Items, many: Items, env: Environment) -> bool:
    """Whether every item of `few` has an equal in `many`."""
    keys = {key for item in many if (key := identity(item)) is not None}
    for item in few:
        if identity(item) not in keys:
            env.spend(len(many))
            if not contains(many, item):
                return False
    return True


@function("subsetOf", 1, test=True)
def subset_of(items: Items, env: Environment, other: Items) -> bool:
    return subset(items, other, env)


@function("supersetOf", 1, test=True)
def superset_of(items: Items, env: Environment, other: Items) -> bool:
    return subset(other, items, env)


@function("distinct", result="same")
def distinct_(items: Items, env: Environment) -> Items:
    env.spend(len(items))
    return distinct(items)


@function("isDistinct", test=True)
def is_distinct(items: Items, env: Environment) -> bool:
    env.spend(len(items))
    return len(distinct(items)) == len(items)

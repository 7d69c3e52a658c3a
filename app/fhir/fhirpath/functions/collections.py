"""Filtering, projection, subsetting and combining of collections."""

from functools import cmp_to_key
from typing import Any

from app.fhir.fhirpath.code import Code
from app.fhir.fhirpath.environment import Environment
from app.fhir.fhirpath.errors import FHIRPathError
from app.fhir.fhirpath.functions.registry import function
from app.fhir.fhirpath.operators import contains, distinct, identity, order
from app.fhir.fhirpath.values import EMPTY, Items, singleton, system


@function("where", 1, lazy=True, result="same")
def where(items: Items, env: Environment, criteria: Code) -> Items:
    test = criteria.test
    if len(items) == 1:  # the commonest case, without a generator
        saved, env.index = env.index, 0
        holds = test(items[0], env)
        env.index = saved
        return items if holds else EMPTY
    return [item for item in env.each(items) if test(item, env)]


@function("select", 1, lazy=True)
def select(items: Items, env: Environment, projection: Code) -> Items:
    found: Items = []
    for item in env.each(items):
        part = projection.run(item, env)
        env.steps -= len(part)
        found.extend(part)
    return found


@function("repeat", 1, lazy=True)
def repeat(items: Items, env: Environment, projection: Code) -> Items:
    found: Items = []
    seen: set[Any] = set()
    level = items
    while level:
        lower: Items = []
        for item in env.each(level):
            part = projection.run(item, env)
            env.steps -= len(part)
            for one in part:
                key = identity(one)
                key = key if key is not None else ("node", id(getattr(one, "value", one)))
                if key not in seen:
                    seen.add(key)
                    lower.append(one)
        found.extend(lower)
        level = lower
    return found


@function("aggregate", 1, 2, lazy=True)
def aggregate(items: Items, env: Environment, aggregator: Code, initial: Code | None = None) -> Items:
    saved = env.total
    env.total = initial.run(env.context, env) if initial is not None else EMPTY
    for item in env.each(items):
        env.total = aggregator.run(item, env)
        env.spend(len(env.total))
    result, env.total = env.total, saved
    return result


@function("single", result="same")
def single(items: Items, _env: Environment) -> Items:
    if len(items) > 1:
        raise FHIRPathError(f"FHIRPath: single() found {len(items)} items")
    return items


@function("first", result="same")
def first(items: Items, _env: Environment) -> Items:
    return items[:1]


@function("last", result="same")
def last(items: Items, _env: Environment) -> Items:
    return items[-1:]


@function("tail", result="same")
def tail(items: Items, _env: Environment) -> Items:
    return items[1:]


def _integer(items: Items, name: str) -> int:
    value = singleton(items, f"{name}()")
    if type(value) is not int:
        raise FHIRPathError(f"FHIRPath: {name}() takes an integer")
    return value


@function("skip", 1, result="same")
def skip(items: Items, _env: Environment, number: Items) -> Items:
    return items[max(_integer(number, "skip"), 0) :]


@function("take", 1, result="same")
def take(items: Items, _env: Environment, number: Items) -> Items:
    return items[: max(_integer(number, "take"), 0)]


def _common(items: Items, other: Items, env: Environment, wanted: bool) -> Items:
    keys = {key for item in other if (key := identity(item)) is not None}
    kept = []
    for item in items:
        key = identity(item)
        if key is None or key not in keys:
            env.spend(len(other))
            inside = contains(other, item)
        else:
            inside = True
        if inside is wanted:
            kept.append(item)
    return kept


@function("intersect", 1, result="same")
def intersect(items: Items, env: Environment, other: Items) -> Items:
    return distinct(_common(items, other, env, True))


@function("exclude", 1, result="same")
def exclude(items: Items, env: Environment, other: Items) -> Items:
    return _common(items, other, env, False)


@function("union", 1)
def union(items: Items, env: Environment, other: Items) -> Items:
    env.spend(len(items) + len(other))
    return distinct([*items, *other])


@function("combine", 1)
def combine(items: Items, env: Environment, other: Items) -> Items:
    env.spend(len(items) + len(other))
    return [*items, *other]


@function("sort", 0, 10, lazy=True, result="same")
def sort(items: Items, env: Environment, *keys: Code) -> Items:
    """By the keys in turn (the compiler marks `-name` as descending); items without a key come first either way."""
    env.spend(len(items) * max(len(keys), 1))
    rows = [
        ([singleton(key.run(item, env), "a sort key") for key in keys] if keys else [system(item)], item)
        for item in env.each(items)
    ]
    signs = [-1 if key.descending else 1 for key in keys] or [1]

    def compare(left: Any, right: Any) -> int:
        for mine, theirs, sign in zip(left[0], right[0], signs, strict=True):
            if mine is None or theirs is None:
                answer = (mine is not None) - (theirs is not None)
            else:
                answer = (order(mine, theirs) or 0) * sign
            if answer:
                return answer
        return 0

    return [item for _, item in sorted(rows, key=cmp_to_key(compare))]

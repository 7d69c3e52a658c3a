"""Closures of the binary operators and of `is`, made once for an expression from the code of their operands."""

from collections.abc import Callable
from typing import Any

from app.fhir.fhirpath import operators
from app.fhir.fhirpath.code import NEVER, Code, Run, Test
from app.fhir.fhirpath.environment import MAX_TEXT, TEXT_STEP, Environment
from app.fhir.fhirpath.errors import FHIRPathError
from app.fhir.fhirpath.types import is_of
from app.fhir.fhirpath.values import EMPTY, Items, TypeInfo, singleton

PLAIN = {"string", "code", "uri", "url", "canonical", "id", "boolean", "markdown", "oid", "uuid"}


def equals_literal(left: Code, wanted: str | bool, positive: bool) -> Test:
    """`use = 'official'`: the commonest criterion, without a list."""
    if left.steps is not None and len(left.steps) == 1 and left.steps[0].only is not None:
        key = left.steps[0].only

        def by_key(this: Any, _env: Environment) -> bool | None:
            value = this.value.get(key)
            if type(value) is list:
                return (value == [wanted]) is positive if value else None
            return None if value is None else (value == wanted) is positive

        return by_key
    run = left.run

    def by_node(this: Any, env: Environment) -> bool | None:
        items = run(this, env)
        if not items:
            return None
        return (len(items) == 1 and items[0].value == wanted) is positive

    return by_node


def is_test(run: Run, wanted: TypeInfo) -> Test:
    def test(this: Any, env: Environment) -> bool | None:
        items = run(this, env)
        if not items:
            return None
        if len(items) > 1:
            raise FHIRPathError("FHIRPath: 'is' takes one value, there are several")
        return is_of(items[0], wanted, exact=False)

    return test


def _and(left: Test, right: Test) -> Test:
    def test(this: Any, env: Environment) -> bool | None:
        first = left(this, env)
        if first is False:
            return False
        second = right(this, env)
        return False if second is False else None if first is None or second is None else True

    return test


def _or(left: Test, right: Test) -> Test:
    def test(this: Any, env: Environment) -> bool | None:
        first = left(this, env)
        if first:
            return True
        second = right(this, env)
        return True if second else None if first is None or second is None else False

    return test


def _xor(left: Test, right: Test) -> Test:
    def test(this: Any, env: Environment) -> bool | None:
        first, second = left(this, env), right(this, env)
        return None if first is None or second is None else first != second

    return test


def _implies(left: Test, right: Test) -> Test:
    def test(this: Any, env: Environment) -> bool | None:
        first = left(this, env)
        if first is False:
            return True
        second = right(this, env)
        return True if second else second if first else None

    return test


LOGIC: dict[str, Callable[[Test, Test], Test]] = {"and": _and, "or": _or, "xor": _xor, "implies": _implies}
ORDER: dict[str, Callable[[int], bool]] = {
    "<": lambda order: order < 0,
    ">": lambda order: order > 0,
    "<=": lambda order: order <= 0,
    ">=": lambda order: order >= 0,
}


def order_test(operator: str, left: Run, right: Run) -> Test:
    holds = ORDER[operator]

    def test(this: Any, env: Environment) -> bool | None:
        first, second = singleton(left(this, env), f"'{operator}'"), singleton(right(this, env), f"'{operator}'")
        if first is None or second is None:
            return None
        order = operators.order(first, second)
        return None if order is None else holds(order)

    return test


def membership(one: Run, many: Run) -> Test:
    def test(this: Any, env: Environment) -> bool | None:
        wanted = one(this, env)
        if not wanted:
            return None
        if len(wanted) > 1:
            raise FHIRPathError("FHIRPath: one value is looked for in a collection, there are several")
        items = many(this, env)
        env.spend(len(items))
        return operators.contains(items, wanted[0])

    return test


def once(code: Code) -> Code:
    """A union with nothing: repeats go."""
    run = code.run

    def distinct(this: Any, env: Environment) -> Items:
        items = run(this, env)
        return items if len(items) < 2 else union(items, EMPTY, env)

    return code if code is NEVER else Code(distinct, code.type, test=code.test)


def union(left: Items, right: Items, env: Environment) -> Items:
    env.spend(len(left) + len(right))
    if len(left) + len(right) < 2:
        return left or right
    return operators.distinct([*left, *right])


def concatenation(left: Run, right: Run) -> Run:
    def run(this: Any, env: Environment) -> Items:
        parts = [singleton(side(this, env), "'&'") for side in (left, right)]
        if any(part is not None and type(part) is not str for part in parts):
            raise FHIRPathError("FHIRPath: '&' takes strings")
        text = "".join(part or "" for part in parts)
        env.spend(1 + len(text) // TEXT_STEP)
        if len(text) > MAX_TEXT:
            raise FHIRPathError("FHIRPath: the text grows too long")
        return [text]

    return run


def arithmetic(operator: str, left: Run, right: Run) -> Run:
    def run(this: Any, env: Environment) -> Items:
        first, second = singleton(left(this, env), f"'{operator}'"), singleton(right(this, env), f"'{operator}'")
        if first is None or second is None:
            return EMPTY
        result = operators.arithmetic(operator, first, second)
        if type(result) is str:
            env.spend(len(result) // TEXT_STEP)
            if len(result) > MAX_TEXT:
                raise FHIRPathError("FHIRPath: the text grows too long")
        return EMPTY if result is None else [result]

    return run

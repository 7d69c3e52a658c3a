"""`Code`: one compiled part of an expression, and the closures that walk plain paths.

`run(this, env)` gives a collection; `test(this, env)` the same as a three-valued truth without making a list. `type` is the FHIR type
of all its items where the compiler knows it: then members are found by key, not by looking types up at run time.
"""

from collections.abc import Callable
from typing import Any

from app.fhir.fhirpath.environment import Environment
from app.fhir.fhirpath.model import Step
from app.fhir.fhirpath.values import EMPTY, Items, boolean, truth

Run = Callable[[Any, Environment], Items]
Test = Callable[[Any, Environment], bool | None]


class Code:
    """See the module. `steps` is set where the code is a plain path from `this`, so that it can be lengthened.

    `heads`: JSON keys of `this` without any of which the result is empty; None where that cannot be told.
    """

    __slots__ = ("descending", "heads", "run", "steps", "test", "type")

    def __init__(
        self, run: Run, type: str | None = None, steps: tuple[Step, ...] | None = None, test: Test | None = None
    ) -> None:
        self.run = run
        self.type = type
        self.steps = steps
        self.heads: frozenset[str] | None = frozenset(steps[0].keys) if steps else None
        self.descending = False  # only of a key to sort by
        self.test: Test = test or (lambda this, env: truth(run(this, env)))


def headed(code: Code, base: Code | None) -> Code:
    """`code` gives nothing where `base` gives nothing."""
    code.heads = base.heads if base is not None else None
    return code


def scoped(code: Code) -> Code:
    """`code`, after which the variables are those that were before."""
    run = code.run

    def within(this: Any, env: Environment) -> Items:
        outside = env.variables
        try:
            return run(this, env)
        finally:
            env.variables = outside

    return Code(within, code.type)


def logical(test: Test) -> Code:
    """Code whose value is a boolean."""
    return Code(lambda this, env: boolean(test(this, env)), "System.Boolean", test=test)


def constant(items: Items, type: str | None = None) -> Code:
    """Code that always gives the same."""
    return Code(lambda _this, _env: items, type)


NEVER = constant(EMPTY)  # what the compiler can tell to be empty always


def path(steps: tuple[Step, ...]) -> Code:
    """Code that walks `steps` from a node of known type."""
    last = steps[-1]
    if not steps[:-1]:
        return Code(_one_step(last), last.type, steps)
    return Code(_many_steps([str(step.only) for step in steps[:-1]], last), last.type, steps)


def _one_step(step: Step) -> Run:
    collect = step.collect

    def walk(this: Any, env: Environment) -> Items:
        found: Items = []
        collect(this.value, found)
        env.steps -= len(found)
        return found

    return walk


def _many_steps(keys: list[str], last: Step) -> Run:
    first, *rest = keys
    collect = last.collect

    def walk(this: Any, env: Environment) -> Items:
        value = this.value.get(first)
        if value is None:
            return EMPTY
        level = value if type(value) is list else (value,)
        for key in rest:
            lower: list[Any] = []
            for element in level:
                value = element.get(key)
                if type(value) is list:
                    lower.extend(value)
                elif value is not None:
                    lower.append(value)
            level = lower
        found: Items = []
        for element in level:
            collect(element, found)
        env.steps -= len(level) + len(found)
        return found

    return walk

"""Closures that call a function on its input, with its arguments run first or handed over as code."""

from collections.abc import Callable
from typing import Any

from app.fhir.fhirpath.code import Code, logical
from app.fhir.fhirpath.environment import TEXT_STEP, Environment
from app.fhir.fhirpath.functions import Function
from app.fhir.fhirpath.values import EMPTY, NOTHING, Items, Node


def applied(function: Function, base: Code | None, args: list[Code], static: str | None) -> Code:
    """A function on its input (the focus, if it stands alone)."""
    run = base.run if base is not None else None
    result = function.result if function.result != "same" else static
    implementation: Any = function.run

    def focus(this: Any) -> Items:
        return EMPTY if this is NOTHING else [this]

    if function.works_on_text:
        implementation = _weighed(implementation)
    if function.test:
        if function.lazy:
            return logical(lambda this, env: implementation(run(this, env) if run else focus(this), env, *args))
        return logical(
            lambda this, env: implementation(run(this, env) if run else focus(this), env, *[arg.run(this, env) for arg in args])
        )
    if function.lazy:
        if run is not None:
            return Code(lambda this, env: implementation(run(this, env), env, *args), _body_type(function, args, result))
        return Code(lambda this, env: implementation(focus(this), env, *args), _body_type(function, args, result))
    if run is not None:
        return Code(lambda this, env: implementation(run(this, env), env, *[arg.run(this, env) for arg in args]), result)
    return Code(lambda this, env: implementation(focus(this), env, *[arg.run(this, env) for arg in args]), result)


def _weighed(run: Callable[..., Any]) -> Callable[..., Any]:
    """Text that a function reads or makes is paid for by its length, so that a loop over it can fill neither the time nor the memory."""

    def weighed(items: Items, env: Environment, *args: Any) -> Any:
        if items:
            text = items[0].value if type(items[0]) is Node else items[0]
            if type(text) is str and len(text) >= TEXT_STEP:
                env.spend(len(text) // TEXT_STEP)
        found = run(items, env, *args)
        if type(found) is list and found and type(found[0]) is str and len(found[0]) >= TEXT_STEP:
            env.spend(len(found[0]) // TEXT_STEP)
        return found

    return weighed


def _body_type(function: Function, args: list[Code], result: str | None) -> str | None:
    return args[0].type if function.name == "select" else result

"""Choice, time, tracing and types."""

from decimal import Decimal

from app.fhir.fhirpath.code import Code
from app.fhir.fhirpath.environment import RESERVED, Environment
from app.fhir.fhirpath.errors import FHIRPathError
from app.fhir.fhirpath.functions.registry import function
from app.fhir.fhirpath.temporal import Temporal, from_datetime
from app.fhir.fhirpath.types import type_of
from app.fhir.fhirpath.values import EMPTY, NOTHING, Items, plain, singleton, system


@function("iif", 2, 3, lazy=True)
def iif(items: Items, env: Environment, criterion: Code, then: Code, otherwise: Code | None = None) -> Items:
    if len(items) > 1:
        raise FHIRPathError("FHIRPath: iif() takes at most one item")
    this = items[0] if items else NOTHING
    result = criterion.run(this, env)
    if len(result) > 1 or (result and type(system(result[0])) is not bool):
        raise FHIRPathError("FHIRPath: the criterion of iif() is a boolean")
    if criterion.test(this, env):
        return then.run(this, env)
    return otherwise.run(this, env) if otherwise is not None else EMPTY


@function("trace", 1, 2, lazy=True, result="same")
def trace(items: Items, env: Environment, name: Code, projection: Code | None = None) -> Items:
    if env.trace is not None:
        shown = items if projection is None else [one for item in items for one in projection.run(item, env)]
        env.trace(str((name.run(NOTHING, env) or [""])[0]), [plain(item) for item in shown])
    return items


@function("defineVariable", 1, 2, lazy=True, result="same")
def define_variable(items: Items, env: Environment, name: Code, value: Code | None = None) -> Items:
    """`%name` from here to the end of the chain: the input, or what the expression gives for it (of several items, for each in turn)."""
    this = items[0] if items else NOTHING
    found = singleton(name.run(this, env), "the name of a variable")
    if type(found) is not str or not found:
        raise FHIRPathError("FHIRPath: the name of a variable is a string")
    if found in RESERVED or (env.variables is not None and found in env.variables):
        raise FHIRPathError(f"FHIRPath: there is a %{found[:64]} already")
    if value is None:
        meant = items
    else:
        meant = [one for item in env.each(items) for one in value.run(item, env)] if items else value.run(NOTHING, env)
    env.spend(len(meant) + len(env.variables or ()))
    env.variables = {**(env.variables or {}), found: meant}
    return items


@function("now")
def now(_items: Items, env: Environment) -> Items:
    return [from_datetime(env.now())]


@function("today")
def today(_items: Items, env: Environment) -> Items:
    moment = env.now()
    return [Temporal("Date", (moment.year, moment.month, moment.day))]


@function("timeOfDay")
def time_of_day(_items: Items, env: Environment) -> Items:
    return [
        Temporal(
            "Time", tuple(Decimal(part) if place == 2 else part for place, part in enumerate(from_datetime(env.now()).parts[3:]))
        )
    ]


@function("type")
def type_(items: Items, _env: Environment) -> Items:
    return [type_of(item) for item in items]

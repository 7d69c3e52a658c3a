"""What callers hold: a compiled expression, its programs by type of focus, and the ways to run it."""

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, TypedDict, Unpack

from app.fhir.fhirpath.code import Code
from app.fhir.fhirpath.compiler import Compiler
from app.fhir.fhirpath.environment import Environment, MemberOf, Resolver, Trace
from app.fhir.fhirpath.errors import FHIRPathError
from app.fhir.fhirpath.syntax import Syntax, parse
from app.fhir.fhirpath.values import Items, Node, plain

_SHAPE = (AttributeError, TypeError, KeyError, ValueError, ArithmeticError)


def _misshapen(problem: Exception) -> FHIRPathError:
    if isinstance(problem, ArithmeticError):
        return FHIRPathError("FHIRPath: a number is beyond what can be computed")
    return FHIRPathError(f"FHIRPath: the input has not the shape of its type ({type(problem).__name__})")


class Given(TypedDict, total=False):
    """What an evaluation may be given: `variables` by name without %, `resource` and `root` for %resource and %rootResource (by default the node),
    `resolve` from a reference to its resource, what memberOf() and trace() call, and `now` (with its zone) for now() and today()."""

    variables: Mapping[str, Any] | None
    resolve: Resolver | None
    resource: Any
    root: Any
    member_of: MemberOf | None
    trace: Trace | None
    now: datetime | None


class Expression:
    """A compiled expression. Made by `compile`; safe to share between threads."""

    __slots__ = ("_programs", "strict", "text", "tree")

    def __init__(self, text: str, strict: bool = False) -> None:
        self.text = text
        self.strict = strict
        self.tree: Syntax = parse(text)
        self._programs: dict[str, Code] = {}
        if not strict:  # finds unknown functions and types now, not at the first use
            self.program("")

    def program(self, type: str) -> Code:
        """The code for a focus of that type ("" where it is not known)."""
        code = self._programs.get(type)
        if code is None:
            code = self._programs[type] = Compiler(type, self.strict, "defineVariable" in self.text).scope(self.tree)
        return code

    def items(self, node: Any, env: Environment) -> Items:
        """The collection as the engine has it: `Node`s and System values."""
        try:
            return self.program(node.type if type(node) is Node else "").run(node, env)
        except _SHAPE as problem:
            raise _misshapen(problem) from problem

    def evaluate(self, node: Any, *, type: str = "", **given: Unpack[Given]) -> list[Any]:
        """The result as JSON values (dict, str, bool, int, Decimal), without those that have extensions only.

        `node` is a resource, or an element with its FHIR `type`; `given` is what `Given` tells.
        Raises FHIRPathError for what the standard calls an error, TooCostly over the budget.
        """
        context, env = _set_up(node, type, given)
        found = [item.value if item.__class__ is Node else plain(item) for item in self.items(context, env)]
        return [value for value in found if value is not None] if None in found else found

    def holds(self, node: Any, *, type: str = "", **given: Unpack[Given]) -> bool:
        """Whether it is true as a criterion: empty is not, one item that is no boolean is. Raises as `evaluate` does."""
        context, env = _set_up(node, type, given)
        try:
            return self.program(context.type).test(context, env) is True
        except _SHAPE as problem:
            raise _misshapen(problem) from problem

    def __repr__(self) -> str:
        return f"compile({self.text!r})"


def _node(value: Any, type_name: str = "") -> Node:
    if value.__class__ is Node:
        return value
    return Node(value, type_name or (str(value.get("resourceType", "")) if isinstance(value, dict) else ""))


def _set_up(node: Any, type_name: str, given: Given) -> tuple[Node, Environment]:
    context = _node(node, type_name)
    if not given:
        return context, Environment(context)
    resource, root = given.get("resource"), given.get("root")
    env = Environment(context, None if resource is None else _node(resource), None if root is None else _node(root))
    env.variables = given.get("variables")
    env.resolve = given.get("resolve")
    env.member_of = given.get("member_of")
    env.trace = given.get("trace")
    env.moment = given.get("now")
    return context, env


@lru_cache(maxsize=4096)
def compile(text: str, *, strict: bool = False) -> Expression:
    """Compile an expression. `strict`: FHIRPath 2.0 to the letter (unknown elements are errors; `as` takes one item).

    Raises SyntaxProblem with the position and what was expected, FHIRPathError for unknown functions and types.
    """
    return Expression(text, strict)

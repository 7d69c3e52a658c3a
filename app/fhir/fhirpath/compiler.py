"""Syntax tree to closures, for a focus of one known type (or of none).

What must stay true: a path of plain members from a known type costs one dictionary look-up a step; wherever a type is only known at
run time (choices, contained resources, descendants) the node's own type decides. `strict` follows FHIRPath 2.0 to the letter (unknown
elements are errors, `as` takes one item); without it R4's own search parameters and invariants work as they are written.
"""

from collections.abc import Callable
from typing import Any

from app.fhir.fhirpath import model, operators
from app.fhir.fhirpath.code import NEVER, Code, Run, Test, constant, headed, logical, path
from app.fhir.fhirpath.environment import MAX_TEXT, TEXT_STEP, Environment
from app.fhir.fhirpath.errors import FHIRPathError
from app.fhir.fhirpath.functions import FUNCTIONS, Function
from app.fhir.fhirpath.quantities import Quantity
from app.fhir.fhirpath.syntax import Binary, Call, Index, Literal, Member, Special, Syntax, TypeTest, Unary, Variable
from app.fhir.fhirpath.temporal import Temporal
from app.fhir.fhirpath.types import is_of, reference_type, resolve_type_name
from app.fhir.fhirpath.values import EMPTY, NOTHING, Items, Node, TypeInfo, singleton, truth

_SYSTEM = {bool: "System.Boolean", str: "System.String", int: "System.Integer"}
_UNORDERED = ("children", "descendants")
_EMPTY_STAYS_EMPTY = frozenset(
    ["where", "select", "extension", "resolve", "first", "last", "tail", "skip", "take", "single", "distinct"]
)
_NEEDS_ORDER = ("first", "last", "tail", "skip", "take")


class Compiler:
    """Compiles for a focus of type `focus`; "" where it is not known."""

    def __init__(self, focus: str, strict: bool) -> None:
        self.focus = None if focus in model.ABSTRACT else focus
        self.strict = strict

    def compile(self, tree: Syntax) -> Code:
        """The code of a tree. Raises FHIRPathError for what can never work."""
        match tree:
            case Literal():
                return self._literal(tree)
            case Member():
                return self._member(tree)
            case Call():
                return self._call(tree)
            case Binary():
                return self._binary(tree)
            case Unary():
                return self._unary(tree)
            case TypeTest():
                return self._type_test(tree.operator, tree.operand, tree.type)
            case Index():
                return self._index(tree)
            case Variable():
                name = tree.name
                return Code(lambda _this, env: env.variable(name))
            case Special():
                return self._special(tree.name)

    # ---- terms

    def _literal(self, tree: Literal) -> Code:
        if tree.value is None:
            return NEVER
        return constant([tree.value], _SYSTEM.get(type(tree.value)))

    def _special(self, name: str) -> Code:
        if name == "$this":
            return Code(lambda this, _env: EMPTY if this is NOTHING else [this], self.focus)
        if name == "$total":
            return Code(lambda _this, env: env.total)
        return Code(lambda _this, env: EMPTY if env.index is None else [env.index], "System.Integer")

    # ---- members

    def _member(self, tree: Member) -> Code:
        if tree.target is None:
            if tree.name[0].isupper() and model.known(tree.name):
                return self._type_at_head(tree.name)
            return self._step_from(Code(lambda this, _env: [this], self.focus, ()), tree.name)
        return self._step_from(self.compile(tree.target), tree.name)

    def _type_at_head(self, name: str) -> Code:
        """`Patient.name`: the focus, if it is of that type."""
        if self.focus is not None and model.known(self.focus):
            if model.is_a(self.focus, name):
                return Code(lambda this, _env: [this], self.focus, ())
            if self.strict:
                raise FHIRPathError(f"FHIRPath: the expression is about {name}, the focus is a {self.focus}")
            return NEVER
        static = None if name in model.ABSTRACT else name
        return Code(lambda this, _env: [this] if type(this) is Node and model.is_a(this.type, name) else EMPTY, static)

    def _step_from(self, base: Code, name: str) -> Code:
        if base is NEVER:
            return NEVER
        if base.type is None or not model.known(base.type) or base.type in model.PRIMITIVE:
            return headed(Code(_dynamic(base.run, name, self.strict), "Extension" if name == "extension" else None), base)
        step = model.children(base.type).get(name)
        if step is None:
            if self.strict:
                raise FHIRPathError(f"FHIRPath: {base.type} has no element '{name}'")
            return NEVER
        if base.steps is not None and all(each.type is not None for each in base.steps):
            return path((*base.steps, step))
        run = base.run

        def member(this: Any, env: Environment) -> Items:
            found: Items = []
            for item in run(this, env):
                step.collect(item.value, found)
            env.steps -= len(found)
            return found

        return headed(Code(member, step.type), base)

    # ---- functions

    def _call(self, tree: Call) -> Code:
        if tree.name in ("as", "ofType", "is") and len(tree.args) == 1:
            target = tree.target if tree.target is not None else Special("$this")
            return self._type_test(tree.name, target, _written_type(tree.args[0]))
        function = FUNCTIONS.get(tree.name)
        if function is None:
            raise FHIRPathError(f"FHIRPath: there is no function '{tree.name}' (character {tree.at + 1})")
        if not function.least <= len(tree.args) <= function.most:
            raise FHIRPathError(
                f"FHIRPath: {tree.name}() takes {function.arity}, {len(tree.args)} given (character {tree.at + 1})"
            )
        if self.strict and tree.name in _NEEDS_ORDER and isinstance(tree.target, Call) and tree.target.name in _UNORDERED:
            raise FHIRPathError(f"FHIRPath: {tree.target.name}() has no order, so {tree.name}() has no meaning")
        base = self.compile(tree.target) if tree.target is not None else None
        if base is NEVER and tree.name in _EMPTY_STAYS_EMPTY:
            return NEVER
        static = base.type if base is not None else self.focus
        inner = Compiler(static or "", self.strict) if function.lazy else self
        args = [inner.sort_key(arg) if tree.name == "sort" else inner.compile(arg) for arg in tree.args]
        code = _applied(function, base, args, static)
        if tree.name == "extension" and base is not None and base.steps == ():
            code.heads = frozenset(["extension"])
            return code
        return headed(code, base) if tree.name in _EMPTY_STAYS_EMPTY else code

    def sort_key(self, tree: Syntax) -> Code:
        """`-name` sorts by name, descending."""
        down = isinstance(tree, Unary) and tree.operator == "-"
        found = self.compile(tree.operand if isinstance(tree, Unary) and down else tree)
        key = Code(found.run, found.type)
        key.descending = down
        return key

    def _index(self, tree: Index) -> Code:
        if self.strict and isinstance(tree.target, Call) and tree.target.name in _UNORDERED:
            raise FHIRPathError(f"FHIRPath: {tree.target.name}() has no order, so an index has no meaning")
        base, index = self.compile(tree.target), self.compile(tree.index)
        if base is NEVER:
            return NEVER

        def at(this: Any, env: Environment) -> Items:
            place = singleton(index.run(this, env), "an index")
            if place is None:
                return EMPTY
            if type(place) is not int:
                raise FHIRPathError("FHIRPath: an index is an integer")
            return base.run(this, env)[place : place + 1] if place >= 0 else EMPTY

        return headed(Code(at, base.type), base)

    # ---- types

    def _type_test(self, operator: str, operand: Syntax, written: str) -> Code:
        wanted = resolve_type_name(written, lenient=not self.strict)
        if isinstance(operand, Call) and operand.name == "resolve" and operator == "is" and wanted.namespace != "System":
            return self._reference_is(operand, wanted.name)
        base = self.compile(operand)
        if operator == "is":
            return logical(_is_test(base.run, wanted))
        if base is NEVER:
            return NEVER
        if base.steps and wanted.namespace != "System" and base.steps[-1].only is None and model.known(wanted.name):
            narrowed = base.steps[-1].narrowed(wanted.name)
            if narrowed is not None and not (self.strict and operator == "as"):
                return path((*base.steps[:-1], narrowed))
            if (
                self.strict
                and narrowed is None
                and not any(model.is_a(kind, wanted.name) for kind in base.steps[-1].keys.values())
            ):
                raise FHIRPathError(f"FHIRPath: this element is never a {wanted.name}")
        run, single, kind = base.run, self.strict and operator == "as", wanted.name

        def of_type(this: Any, env: Environment) -> Items:
            items = run(this, env)
            if single and len(items) > 1:
                raise FHIRPathError("FHIRPath: 'as' takes one value, there are several")
            return [item for item in items if is_of(item, wanted, exact=True)]

        known = wanted.namespace != "System" and kind not in model.ABSTRACT and model.known(kind)
        return headed(Code(of_type, kind if known else None), base)

    def _reference_is(self, call: Call, wanted: str) -> Code:
        """`resolve() is Patient` is told from the reference itself: nothing is fetched."""
        base = self.compile(call.target) if call.target is not None else self._special("$this")
        run = base.run

        def test(this: Any, env: Environment) -> bool | None:
            items = run(this, env)
            if not items:
                return None
            kind = reference_type(items[0], env)
            return None if kind is None else model.is_a(kind, wanted)

        return logical(test)

    # ---- operators

    def _unary(self, tree: Unary) -> Code:
        operand, sign = self.compile(tree.operand), -1 if tree.operator == "-" else 1

        def signed(this: Any, env: Environment) -> Items:
            value = singleton(operand.run(this, env), f"'{tree.operator}'")
            if value is None:
                return EMPTY
            if isinstance(value, Quantity):
                return [Quantity(sign * value.value, value.unit)]
            if type(value) in (bool, str, Temporal, Node):
                raise FHIRPathError(f"FHIRPath: '{tree.operator}' takes a number")
            return [sign * value]

        return Code(signed)

    def _binary(self, tree: Binary) -> Code:
        left, right, operator = self.compile(tree.left), self.compile(tree.right), tree.operator
        if operator in _LOGIC:
            return logical(_LOGIC[operator](left.test, right.test))
        if operator in ("=", "!="):
            return logical(self._equality(tree, left, right))
        if operator in ("~", "!~"):
            wanted = operator == "~"
            return logical(lambda this, env: operators.equivalent(left.run(this, env), right.run(this, env)) is wanted)
        if operator in _ORDER:
            return logical(_order_test(operator, left.run, right.run))
        if operator in ("in", "contains"):
            one, many = (left.run, right.run) if operator == "in" else (right.run, left.run)
            return logical(_membership(one, many))
        if operator == "|":
            if left is NEVER or right is NEVER:
                return _once(right if left is NEVER else left)
            same = left.type if left.type == right.type else None
            return Code(lambda this, env: _union(left.run(this, env), right.run(this, env), env), same)
        if operator == "&":
            return Code(_concatenation(left.run, right.run), "System.String")
        return Code(_arithmetic(operator, left.run, right.run))

    def _equality(self, tree: Binary, left: Code, right: Code) -> Test:
        positive = tree.operator == "="
        if isinstance(tree.right, Literal) and type(tree.right.value) in (str, bool) and left.type in _PLAIN:
            return _equals_literal(left, tree.right.value, positive)
        first, second = left.run, right.run

        def test(this: Any, env: Environment) -> bool | None:
            answer = operators.equal(first(this, env), second(this, env))
            return answer if positive or answer is None else not answer

        return test


_PLAIN = {"string", "code", "uri", "url", "canonical", "id", "boolean", "markdown", "oid", "uuid"}


def _equals_literal(left: Code, wanted: str | bool, positive: bool) -> Test:
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


def _dynamic(run: Run, name: str, strict: bool) -> Run:
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


def _applied(function: Function, base: Code | None, args: list[Code], static: str | None) -> Code:
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


def _written_type(tree: Syntax) -> str:
    if isinstance(tree, Member):
        if tree.target is None:
            return tree.name
        if isinstance(tree.target, Member) and tree.target.target is None:
            return f"{tree.target.name}.{tree.name}"
    raise FHIRPathError("FHIRPath: the name of a type is needed here")


def _is_test(run: Run, wanted: TypeInfo) -> Test:
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


_LOGIC: dict[str, Callable[[Test, Test], Test]] = {"and": _and, "or": _or, "xor": _xor, "implies": _implies}
_ORDER: dict[str, Callable[[int], bool]] = {
    "<": lambda order: order < 0,
    ">": lambda order: order > 0,
    "<=": lambda order: order <= 0,
    ">=": lambda order: order >= 0,
}


def _order_test(operator: str, left: Run, right: Run) -> Test:
    holds = _ORDER[operator]

    def test(this: Any, env: Environment) -> bool | None:
        first, second = singleton(left(this, env), f"'{operator}'"), singleton(right(this, env), f"'{operator}'")
        if first is None or second is None:
            return None
        order = operators.order(first, second)
        return None if order is None else holds(order)

    return test


def _membership(one: Run, many: Run) -> Test:
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


def _once(code: Code) -> Code:
    """A union with nothing: repeats go."""
    run = code.run

    def distinct(this: Any, env: Environment) -> Items:
        items = run(this, env)
        return items if len(items) < 2 else _union(items, EMPTY, env)

    return code if code is NEVER else Code(distinct, code.type, test=code.test)


def _union(left: Items, right: Items, env: Environment) -> Items:
    env.spend(len(left) + len(right))
    if len(left) + len(right) < 2:
        return left or right
    return operators.distinct([*left, *right])


def _concatenation(left: Run, right: Run) -> Run:
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


def _arithmetic(operator: str, left: Run, right: Run) -> Run:
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


__all__ = ["Compiler", "truth"]

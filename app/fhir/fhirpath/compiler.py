"""Syntax tree to closures, for a focus of one known type (or of none).

What must stay true: a path of plain members from a known type costs one dictionary look-up a step; wherever a type is only known at
run time (choices, contained resources, descendants) the node's own type decides. `strict` follows FHIRPath 2.0 to the letter (unknown
elements are errors, `as` takes one item); without it R4's own search parameters and invariants work as they are written.
"""

from typing import Any

from app.fhir.fhirpath import binary, model, operators
from app.fhir.fhirpath.calls import applied
from app.fhir.fhirpath.code import NEVER, Code, Test, constant, headed, logical, path, scoped
from app.fhir.fhirpath.environment import Environment
from app.fhir.fhirpath.errors import FHIRPathError
from app.fhir.fhirpath.functions import FUNCTIONS
from app.fhir.fhirpath.members import dynamic
from app.fhir.fhirpath.quantities import Quantity
from app.fhir.fhirpath.syntax import Binary, Call, Index, Literal, Member, Special, Syntax, TypeTest, Unary, Variable
from app.fhir.fhirpath.temporal import Temporal
from app.fhir.fhirpath.types import is_of, reference_type, resolve_type_name
from app.fhir.fhirpath.values import EMPTY, NOTHING, Items, Node, singleton, truth

_SYSTEM = {bool: "System.Boolean", str: "System.String", int: "System.Integer"}
_UNORDERED = ("children", "descendants")
_EMPTY_STAYS_EMPTY = frozenset(
    ["where", "select", "extension", "resolve", "first", "last", "tail", "skip", "take", "single", "distinct"]
)
_NEEDS_ORDER = ("first", "last", "tail", "skip", "take")


class Compiler:
    """Compiles for a focus of type `focus`; "" where it is not known. `defines`: the expression has variables of its own."""

    def __init__(self, focus: str, strict: bool, defines: bool = False) -> None:
        self.focus = None if focus in model.ABSTRACT else focus
        self.strict = strict
        self.defines = defines

    def scope(self, tree: Syntax) -> Code:
        """The code of a tree outside which the variables that it defines are unknown."""
        code = self.compile(tree)
        return scoped(code) if self.defines and code is not NEVER else code

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
            return headed(Code(dynamic(base.run, name, self.strict), "Extension" if name == "extension" else None), base)
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
        inner = Compiler(static or "", self.strict, self.defines) if function.lazy else self
        args = [inner.sort_key(arg) if tree.name == "sort" else inner.scope(arg) for arg in tree.args]
        code = applied(function, base, args, static)
        if tree.name == "extension" and base is not None and base.steps == ():
            code.heads = frozenset(["extension"])
            return code
        return headed(code, base) if tree.name in _EMPTY_STAYS_EMPTY else code

    def sort_key(self, tree: Syntax) -> Code:
        """`-name` sorts by name, descending."""
        down = isinstance(tree, Unary) and tree.operator == "-"
        found = self.scope(tree.operand if isinstance(tree, Unary) and down else tree)
        key = Code(found.run, found.type)
        key.descending = down
        return key

    def _index(self, tree: Index) -> Code:
        if self.strict and isinstance(tree.target, Call) and tree.target.name in _UNORDERED:
            raise FHIRPathError(f"FHIRPath: {tree.target.name}() has no order, so an index has no meaning")
        base, index = self.compile(tree.target), self.scope(tree.index)
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
            return logical(binary.is_test(base.run, wanted))
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
        left, right, operator = self.scope(tree.left), self.scope(tree.right), tree.operator
        if operator in binary.LOGIC:
            return logical(binary.LOGIC[operator](left.test, right.test))
        if operator in ("=", "!="):
            return logical(self._equality(tree, left, right))
        if operator in ("~", "!~"):
            wanted = operator == "~"
            return logical(lambda this, env: operators.equivalent(left.run(this, env), right.run(this, env)) is wanted)
        if operator in binary.ORDER:
            return logical(binary.order_test(operator, left.run, right.run))
        if operator in ("in", "contains"):
            one, many = (left.run, right.run) if operator == "in" else (right.run, left.run)
            return logical(binary.membership(one, many))
        if operator == "|":
            if left is NEVER or right is NEVER:
                return binary.once(right if left is NEVER else left)
            same = left.type if left.type == right.type else None
            return Code(lambda this, env: binary.union(left.run(this, env), right.run(this, env), env), same)
        if operator == "&":
            return Code(binary.concatenation(left.run, right.run), "System.String")
        return Code(binary.arithmetic(operator, left.run, right.run))

    def _equality(self, tree: Binary, left: Code, right: Code) -> Test:
        positive = tree.operator == "="
        if isinstance(tree.right, Literal) and type(tree.right.value) in (str, bool) and left.type in binary.PLAIN:
            return binary.equals_literal(left, tree.right.value, positive)
        first, second = left.run, right.run

        def test(this: Any, env: Environment) -> bool | None:
            answer = operators.equal(first(this, env), second(this, env))
            return answer if positive or answer is None else not answer

        return test


def _written_type(tree: Syntax) -> str:
    if isinstance(tree, Member):
        if tree.target is None:
            return tree.name
        if isinstance(tree.target, Member) and tree.target.target is None:
            return f"{tree.target.name}.{tree.name}"
    raise FHIRPathError("FHIRPath: the name of a type is needed here")


__all__ = ["Compiler", "truth"]

"""Text to syntax tree: the grammar of FHIRPath 2.0 as a precedence climber.

The tree is immutable and knows nothing of FHIR. Nesting is capped, so that no later pass can overflow the stack.
"""

import re
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

from app.fhir.fhirpath.errors import SyntaxProblem
from app.fhir.fhirpath.quantities import CALENDAR, Quantity
from app.fhir.fhirpath.temporal import Temporal, parse_temporal

MAX_LENGTH = 20_000
MAX_DEPTH = 100
MAX_DIGITS = 1000

_AT: int = field(default=0, compare=False, repr=False)  # trees that say the same are equal, wherever they stood


@dataclass(frozen=True, slots=True)
class Literal:
    value: Any  # None is the empty collection
    at: int = _AT


@dataclass(frozen=True, slots=True)
class Variable:
    name: str
    at: int = _AT


@dataclass(frozen=True, slots=True)
class Special:
    name: str  # $this | $index | $total
    at: int = _AT


@dataclass(frozen=True, slots=True)
class Member:
    target: "Syntax | None"
    name: str
    at: int = _AT


@dataclass(frozen=True, slots=True)
class Call:
    target: "Syntax | None"
    name: str
    args: tuple["Syntax", ...]
    at: int = _AT


@dataclass(frozen=True, slots=True)
class Index:
    target: "Syntax"
    index: "Syntax"
    at: int = _AT


@dataclass(frozen=True, slots=True)
class Unary:
    operator: str
    operand: "Syntax"
    at: int = _AT


@dataclass(frozen=True, slots=True)
class Binary:
    operator: str
    left: "Syntax"
    right: "Syntax"
    at: int = _AT


@dataclass(frozen=True, slots=True)
class TypeTest:
    operator: str  # is | as
    operand: "Syntax"
    type: str  # with its namespace, if one was given
    at: int = _AT


Syntax = Literal | Variable | Special | Member | Call | Index | Unary | Binary | TypeTest


class Lexeme(NamedTuple):
    kind: str
    text: str
    at: int


_LEXEMES = re.compile(
    r"""
    (?P<space>\s+|//[^\n]*|/\*.*?\*/)
    |(?P<datetime>@\d{4}(?:-\d\d(?:-\d\d)?)?(?:T(?:\d\d(?::\d\d(?::\d\d(?:\.\d+)?)?)?)?(?:Z|[+-]\d\d:\d\d)?)?)
    |(?P<time>@T\d\d(?::\d\d(?::\d\d(?:\.\d+)?)?)?)
    |(?P<number>\d+(?:\.\d+)?)
    |(?P<string>'(?:\\.|[^'\\])*')
    |(?P<quoted>`(?:\\.|[^`\\])*`)
    |(?P<variable>%(?:[A-Za-z_]\w*|`(?:\\.|[^`\\])*`|'(?:\\.|[^'\\])*'))
    |(?P<special>\$(?:this|index|total)\b)
    |(?P<name>[A-Za-z_]\w*)
    |(?P<operator><=|>=|!=|!~|[-+*/&|<>=~()\[\]{}.,])
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "f": "\f"}
_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|(.))", re.DOTALL)

# Binding power: higher binds tighter.
_POWER = {
    "implies": 1,
    **dict.fromkeys(("or", "xor"), 2),
    "and": 3,
    **dict.fromkeys(("in", "contains"), 4),
    **dict.fromkeys(("=", "~", "!=", "!~"), 5),
    **dict.fromkeys(("<", ">", "<=", ">="), 6),
    "|": 7,
    **dict.fromkeys(("is", "as"), 8),
    **dict.fromkeys(("+", "-", "&"), 9),
    **dict.fromkeys(("*", "/", "div", "mod"), 10),
}
_UNARY = 11


def parse(text: str) -> Syntax:
    """The syntax tree of an expression. Raises SyntaxProblem with the position and what was expected."""
    if len(text) > MAX_LENGTH:
        raise SyntaxProblem(text, MAX_LENGTH, f"an expression of at most {MAX_LENGTH} characters")
    return _Parser(text).whole()


def _unescape(text: str) -> str:
    if "\\" not in text:
        return text
    return _ESCAPE.sub(lambda m: chr(int(m[1], 16)) if m[1] else _ESCAPES.get(m[2], m[2]), text)


def _lexemes(text: str) -> list[Lexeme]:
    found = []
    at = 0
    while at < len(text):
        match = _LEXEMES.match(text, at)
        if match is None or (text.startswith("/*", at) and match.lastgroup != "space"):
            raise SyntaxProblem(text, at, "the end of the comment" if text.startswith("/*", at) else "a term or an operator")
        if match.lastgroup != "space":
            found.append(Lexeme(str(match.lastgroup), match[0], at))
        at = match.end()
    found.append(Lexeme("end", "", len(text)))
    return found


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.lexemes = _lexemes(text)
        self.next = 0
        self.depth = 0

    def whole(self) -> Syntax:
        tree = self.expression(0)
        if self.peek.kind != "end":
            raise self.expected("an operator or the end")
        return tree

    @property
    def peek(self) -> Lexeme:
        return self.lexemes[self.next]

    def take(self) -> Lexeme:
        lexeme = self.lexemes[self.next]
        self.next += 1
        return lexeme

    def accept(self, text: str) -> bool:
        lexeme = self.peek
        if lexeme.text == text and lexeme.kind == "operator":
            self.next += 1
            return True
        return False

    def demand(self, text: str) -> None:
        if not self.accept(text):
            raise self.expected(f"'{text}'")

    def expected(self, what: str) -> SyntaxProblem:
        return SyntaxProblem(self.text, self.peek.at, what)

    def expression(self, least: int) -> Syntax:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self.expected(f"at most {MAX_DEPTH} levels of nesting")
        left = self.unary()
        chained = 0
        while (operator := self.peek).kind in ("operator", "name") and (power := _POWER.get(operator.text, 0)) > least:
            self.take()
            if (chained := chained + 1) > MAX_DEPTH:
                raise self.expected(f"at most {MAX_DEPTH} operators in a row")
            if operator.text in ("is", "as"):
                left = TypeTest(operator.text, left, self.type_name(), operator.at)
            else:
                left = Binary(operator.text, left, self.expression(power), operator.at)
        self.depth -= 1
        return left

    def unary(self) -> Syntax:
        sign = self.peek
        if sign.kind == "operator" and sign.text in "+-":
            self.take()
            return Unary(sign.text, self.expression(_UNARY - 1), sign.at)
        return self.postfix(self.term())

    def postfix(self, tree: Syntax) -> Syntax:
        steps = 0
        while True:
            at = self.peek.at
            if (steps := steps + 1) > MAX_DEPTH:
                raise self.expected(f"at most {MAX_DEPTH} steps in a row")
            if self.accept("."):
                tree = self.invocation(tree)
            elif self.accept("["):
                tree = Index(tree, self.expression(0), at)
                self.demand("]")
            else:
                return tree

    def term(self) -> Syntax:
        lexeme = self.peek
        match lexeme.kind:
            case "number":
                return self.number()
            case "string":
                self.take()
                return Literal(_unescape(lexeme.text[1:-1]), lexeme.at)
            case "datetime" | "time":
                self.take()
                return Literal(self.temporal(lexeme), lexeme.at)
            case "variable":
                self.take()
                name = lexeme.text[1:]
                return Variable(_unescape(name[1:-1]) if name[0] in "`'" else name, lexeme.at)
            case "name" if lexeme.text in ("true", "false"):
                self.take()
                return Literal(lexeme.text == "true", lexeme.at)
            case "name" | "quoted" | "special":
                return self.invocation(None)
        if self.accept("("):
            tree = self.expression(0)
            self.demand(")")
            return tree
        if self.accept("{"):
            self.demand("}")
            return Literal(None, lexeme.at)
        raise self.expected("a term")

    def number(self) -> Literal:
        lexeme = self.take()
        if len(lexeme.text) > MAX_DIGITS:
            raise SyntaxProblem(self.text, lexeme.at, f"a number of at most {MAX_DIGITS} digits")
        value = Decimal(lexeme.text) if "." in lexeme.text else int(lexeme.text)
        unit = self.peek
        if unit.kind == "string":
            self.take()
            return Literal(Quantity(Decimal(value), _unescape(unit.text[1:-1])), lexeme.at)
        if unit.kind == "name" and unit.text in CALENDAR:
            self.take()
            return Literal(Quantity(Decimal(value), CALENDAR[unit.text]), lexeme.at)
        return Literal(value, lexeme.at)

    def temporal(self, lexeme: Lexeme) -> Temporal:
        kind = "Time" if lexeme.kind == "time" else "DateTime" if "T" in lexeme.text else "Date"
        value = parse_temporal(lexeme.text[2:] if kind == "Time" else lexeme.text[1:], kind)
        if value is None:
            raise SyntaxProblem(self.text, lexeme.at, "a date or time that exists")
        return value

    def invocation(self, target: Syntax | None) -> Syntax:
        lexeme = self.take()
        if lexeme.kind == "special":
            if target is not None:
                raise SyntaxProblem(self.text, lexeme.at, "a member or a function")
            return Special(lexeme.text, lexeme.at)
        if lexeme.kind not in ("name", "quoted"):
            raise SyntaxProblem(self.text, lexeme.at, "a member or a function")
        name = _unescape(lexeme.text[1:-1]) if lexeme.kind == "quoted" else lexeme.text
        if not name:
            raise SyntaxProblem(self.text, lexeme.at, "a name that is not empty")
        if not self.accept("("):
            return Member(target, name, lexeme.at)
        args: list[Syntax] = []
        if not self.accept(")"):
            args.append(self.expression(0))
            while self.accept(","):
                args.append(self.expression(0))
            self.demand(")")
        return Call(target, name, tuple(args), lexeme.at)

    def type_name(self) -> str:
        names = []
        while True:
            lexeme = self.take()
            if lexeme.kind not in ("name", "quoted"):
                raise SyntaxProblem(self.text, lexeme.at, "the name of a type")
            names.append(lexeme.text.strip("`"))
            if len(names) == 2 or not self.accept("."):
                return ".".join(names)

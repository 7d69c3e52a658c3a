"""What a resource says: all its index entries, made once when it is written.

Compiled lazily for each type: every parameter's expression is specialised for the type, so that a union over twenty types costs what its
one branch costs. Entries are facts of the resource alone; extraction fetches nothing.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, NamedTuple

from app.fhir.fhirpath import Environment, Expression, FHIRPathError, Node, compile
from app.fhir.fhirpath.code import Code, Run
from app.fhir.search.bindings import implicit_system
from app.fhir.search.convert import CONVERTERS, Converter, converter
from app.fhir.search.parameters import NOT_INDEXED, Definition, SearchParameters, default
from app.fhir.search.types import Composite, Entries, OfType, Reference, Token

_KIND_LISTS = {
    "token": "tokens",
    "string": "strings",
    "reference": "references",
    "date": "dates",
    "number": "numbers",
    "quantity": "quantities",
    "uri": "uris",
}
_SYSTEM_TYPES = {bool: "boolean", str: "string", int: "integer"}
Extractor = Callable[[Node, Environment, Entries], None]


class Extraction:
    """Extraction with one set of parameters; `extract` is the one with R4's own."""

    def __init__(self, parameters: SearchParameters, base_url: str | None = None) -> None:
        """`base_url`: absolute references below it are this server's own and indexed as relative ones."""
        self.parameters = parameters
        self._base = base_url.rstrip("/") + "/" if base_url else None
        self._plans: dict[str, _Plan] = {}

    def __call__(self, resource: Mapping[str, Any]) -> Entries:
        """All entries of a resource. Raises FHIRPathError where a value has not the JSON shape of its type."""
        type_name = resource["resourceType"]
        plan = self._plans.get(type_name)
        if plan is None:
            plan = self._plans[type_name] = self._compile(type_name)
        node = Node(resource, type_name)
        env = Environment(node)
        entries = Entries()
        by_key = plan.by_key
        try:
            for extractor in plan.always:
                extractor(node, env, entries)
            for key in resource:
                if key in by_key and (key[0] != "_" or key[1:] not in resource):
                    for extractor in by_key[key]:
                        extractor(node, env, entries)
        except (AttributeError, TypeError, KeyError, ValueError, ArithmeticError) as problem:
            raise FHIRPathError(
                f"{type_name} cannot be indexed: a value has not the shape of its type ({type(problem).__name__})"
            ) from problem
        if self._base is not None and entries.references:
            entries.references = [self._own(entry) for entry in entries.references]
        return entries

    def _own(self, entry: Reference) -> Reference:
        if self._base is None or not entry.url.startswith(self._base):
            return entry
        parts = entry.url[len(self._base) :].split("/")
        return entry._replace(type=parts[0], id=parts[1], url="") if len(parts) in (2, 4) else entry

    def _compile(self, type_name: str) -> "_Plan":
        plan = _Plan([], {})
        for code, definition in self.parameters.of(type_name).items():
            if code in NOT_INDEXED or definition.param.kind == "special" or definition.param.told_by:
                continue  # what other parameters tell is not told twice
            for branch in definition.branches(type_name):
                if definition.param.kind == "composite":
                    extractor, heads = _composite(definition, branch), _composite_heads(definition, branch)
                elif definition.param.kind == "token":
                    extractor, heads = _token(code, branch.run, implicit_system(type_name, definition.expression)), branch.heads
                else:
                    extractor, heads = _simple(code, definition.param.kind, branch.run), branch.heads
                plan.add(extractor, heads)
        return plan


class _Plan(NamedTuple):
    """Extractors by the JSON key without which they find nothing, so that an absent element costs nothing."""

    always: list[Extractor]
    by_key: dict[str, list[Extractor]]

    def add(self, extractor: Extractor, heads: frozenset[str] | None) -> None:
        if heads is None:
            self.always.append(extractor)
            return
        for key in heads:
            self.by_key.setdefault(key, []).append(extractor)
            self.by_key.setdefault("_" + key, []).append(extractor)  # a primitive with extensions only


def _composite_heads(definition: Definition, base: Code) -> frozenset[str] | None:
    """Of the base; where that is the resource itself, of a component."""
    if base.heads is not None or base.type is None:
        return base.heads
    return compile(definition.component_expressions[-1]).program(base.type).heads


def _simple(code: str, kind: str, run: Run) -> Extractor:
    table, target = CONVERTERS[kind], _KIND_LISTS[kind]

    def extract_one(node: Node, env: Environment, entries: Entries) -> None:
        items = run(node, env)
        if items:
            found = getattr(entries, target)
            for item in items:
                if type(item) is Node:
                    value = item.value
                    if value is None:
                        continue
                    convert = table.get(item.type) or converter(kind, item.type, value)
                else:
                    value, convert = item, converter(kind, _SYSTEM_TYPES.get(type(item), ""), item)
                if convert is not None:
                    convert(value, code, found)

    return extract_one


def _token(code: str, run: Run, system: str) -> Extractor:
    """Tokens apart: they make two sorts of entries, and a `code` element has the system of its required binding."""

    def extract_one(node: Node, env: Environment, entries: Entries) -> None:
        items = run(node, env)
        if not items:
            return
        found: list[Any] = []
        identifiers = False
        for item in items:
            if type(item) is not Node:
                found.append(Token(code, "", ("true" if item else "false") if type(item) is bool else str(item)))
            elif item.type == "code":
                if item.value is not None:
                    found.append(Token(code, system, item.value))
            elif item.value is not None:
                identifiers = identifiers or item.type == "Identifier"
                convert = _TOKENS.get(item.type) or converter("token", item.type, item.value)
                if convert is not None:
                    convert(item.value, code, found)
        if identifiers:
            entries.of_types.extend([entry for entry in found if type(entry) is OfType])
            found = [entry for entry in found if type(entry) is Token]
        entries.tokens.extend(found)

    return extract_one


_TOKENS: dict[str, Converter] = CONVERTERS["token"]


class _Part(NamedTuple):
    code: str
    kind: str
    expression: Expression


def _composite(definition: Definition, base: Code) -> Extractor:
    code, run = definition.param.code, base.run
    parts = [
        _Part(param.code, param.kind, compile(expression))
        for param, expression in zip(definition.param.components, definition.component_expressions, strict=True)
    ]
    parts.reverse()  # the value is what is most often absent, and it comes last

    def extract_one(node: Node, env: Environment, entries: Entries) -> None:
        for item in run(node, env):
            components: list[tuple[Any, ...]] = []
            for part in parts:
                values = _component(part, item, env)
                if not values:
                    break
                components.append(values)
            else:
                components.reverse()
                entries.composites.append(Composite(code, tuple(components)))

    return extract_one


def _component(part: _Part, element: Node, env: Environment) -> tuple[Any, ...]:
    found: list[Any] = []
    for item in part.expression.program(element.type).run(element, env):
        value, kind = (item.value, item.type) if type(item) is Node else (item, _SYSTEM_TYPES.get(type(item), ""))
        convert = None if value is None else converter(part.kind, kind, value)
        if convert is not None:
            convert(value, part.code, found)
    return tuple(found)


@cache
def _default() -> Extraction:
    return Extraction(default())


def extract(resource: Mapping[str, Any]) -> Entries:
    """All index entries of a resource, by R4's own search parameters (`_id` and `_lastUpdated` are the store's)."""
    return _default()(resource)

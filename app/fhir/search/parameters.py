"""Which search parameters a resource type has: R4's own, and those that a site adds as SearchParameter resources.

Immutable: `with_custom` gives a new registry. A custom parameter may replace one of R4's with the same code on the same type.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property, lru_cache
from typing import Any, cast

from app.fhir.definitions import Component, SearchParameter, r4
from app.fhir.errors import BadRequest
from app.fhir.fhirpath import compile
from app.fhir.fhirpath.code import NEVER, Code
from app.fhir.fhirpath.compiler import Compiler
from app.fhir.search.bindings import branches, implicit_system
from app.fhir.search.types import Kind, Param

_KINDS = frozenset(["token", "string", "reference", "date", "number", "quantity", "uri", "composite", "special"])
_COMMON = ("Resource", "DomainResource")
NOT_INDEXED = frozenset(["_id", "_lastUpdated", "_text", "_content", "_query", "_list", "_filter", "_has", "_type"])
# R4 gives the reference of this composite the expression of the code, and the other way about.
_EXCHANGED = {"http://hl7.org/fhir/SearchParameter/DocumentReference-relationship": ("target", "code")}


@dataclass(frozen=True, slots=True)
class Definition:
    """One parameter on one type: what is searched (`param`), and where its values come from (`expression`)."""

    param: Param
    url: str
    expression: str
    component_expressions: tuple[str, ...] = ()

    def branches(self, type: str) -> list[Code]:
        """The sides of the expression's union that can give anything on a type, each by itself: an index needs no comparing of elements."""
        return [code for _, code in _branches(self.expression, type)]


class SearchParameters:
    """The parameters of every type. `default()` is R4's own set."""

    def __init__(self, parameters: Sequence[SearchParameter]) -> None:
        self._parameters = tuple(parameters)
        self._by_type: dict[str, Mapping[str, Definition]] = {}

    @cached_property
    def _by_url(self) -> Mapping[str, SearchParameter]:
        return {each.url: each for each in self._parameters}

    @property
    def own(self) -> tuple[SearchParameter, ...]:
        """Those that a site added, in order."""
        return self._parameters[len(r4().search_parameters) :]

    def with_custom(self, resources: Iterable[Mapping[str, Any]]) -> "SearchParameters":
        """With SearchParameter resources added. Raises BadRequest, naming the parameter, for one that cannot work."""
        return SearchParameters([*self._parameters, *(_from_resource(resource) for resource in resources)])

    def of(self, type: str) -> Mapping[str, Definition]:
        """By code, R4's common ones included (`_profile`, `_tag`, ...). Empty for an unknown type; `Resource` gives the common ones."""
        found = self._by_type.get(type)
        if found is None:
            bases = {*_COMMON, type}
            if type in r4().types:
                bases = {*r4().ancestors(type), type, "Resource"}
            found = {each.code: self._definition(each) for each in self._parameters if bases.intersection(each.base)}
            own = frozenset(each.code for each in self.own if bases.intersection(each.base))
            for code, codes in _told(type, found, own).items():
                found[code] = replace(found[code], param=replace(found[code].param, told_by=((type, codes),)))
            self._by_type[type] = found
        return found

    def get(self, type: str, code: str) -> Definition | None:
        """One parameter of a type."""
        return self.of(type).get(code)

    def _definition(self, parameter: SearchParameter) -> Definition:
        components = tuple(self._component(component) for component in parameter.components)
        param = Param(parameter.code, cast(Kind, parameter.type), parameter.targets, components)
        expressions = _EXCHANGED.get(parameter.url) or tuple(component.expression for component in parameter.components)
        return Definition(param, parameter.url, parameter.expression, expressions)

    def _component(self, component: Component) -> Param:
        used = self._by_url.get(component.definition)
        if used is None:
            raise BadRequest(f"The search parameter '{component.definition}' that a composite uses is not known")
        return Param(used.code, cast(Kind, used.type), used.targets)


@lru_cache(maxsize=8192)
def _branches(expression: str, type: str) -> tuple[tuple[str, Code], ...]:
    """Each with its text in a normal form. Who asks what tells what asks for the same that extraction then runs."""
    if not expression:
        return ()
    codes = [(repr(tree), Compiler(type, strict=False).compile(tree)) for tree in branches(compile(expression).tree)]
    return tuple((text, code) for text, code in codes if code is not NEVER)


def _told(type: str, definitions: Mapping[str, Definition], own: frozenset[str]) -> dict[str, tuple[str, ...]]:
    """Parameters whose entries are just those of others: `combo-code` says what `code` and `component-code` say, `phonetic` what `name` says.

    Those that tell others are told by none, and are R4's: a site's parameter (`own`) comes and goes, and what rests on it would go with it.
    """
    says: dict[tuple[Any, ...], list[tuple[str, frozenset[str]]]] = {}
    for code, each in definitions.items():
        if (
            code[0] != "_"
            and each.param.kind != "special"
            and (parts := frozenset(text for text, _ in _branches(each.expression, type)))
        ):
            like = (
                each.param.kind,
                each.component_expressions,
                each.param.kind == "token" and implicit_system(type, each.expression),
            )
            says.setdefault(like, []).append((code, parts))
    told: dict[str, tuple[str, ...]] = {}
    for group in says.values():
        # Among equals the one that is called as its element is.
        group.sort(key=lambda one: (len(one[1]), not definitions[one[0]].expression.endswith(f".{one[0]}")))
        for place, (code, parts) in enumerate(group):
            others = [(other, some) for other, some in group[:place] if other not in told and other not in own and some <= parts]
            if others and frozenset().union(*(some for _, some in others)) == parts:
                told[code] = tuple(other for other, _ in others)
    return told


def _from_resource(resource: Mapping[str, Any]) -> SearchParameter:
    code, kind = resource.get("code"), resource.get("type")
    name = resource.get("url") or code or "SearchParameter"
    if not isinstance(code, str) or not code or kind not in _KINDS:
        raise BadRequest(f"{name}: a search parameter needs a code and a type that R4 has")
    bases = tuple(resource.get("base", ()))
    if not bases or any(base not in r4().types for base in bases):
        raise BadRequest(f"{name}: 'base' must name resource types of R4")
    expression = resource.get("expression", "")
    if not expression:
        raise BadRequest(f"{name}: a search parameter needs an expression")
    compile(expression)
    components = tuple(Component(each["definition"], each["expression"]) for each in resource.get("component", ()))
    for component in components:
        compile(component.expression)
    return SearchParameter(
        url=str(resource.get("url", "")),
        code=code,
        type=str(kind),
        base=bases,
        expression=expression,
        targets=tuple(resource.get("target", ())),
        components=components,
    )


@cache
def default() -> SearchParameters:
    """R4's own search parameters."""
    return SearchParameters(r4().search_parameters)

"""What a caller asks: query parameters to a typed `Plan`.

What must stay true: nothing that would narrow or widen the result is dropped in silence. An unknown parameter lands in
`plan.ignored` (an error when `strict`); a modifier that cannot be honoured and a value that means nothing are always errors that name the
parameter. Every list a caller controls is capped.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Literal, cast, get_args

from app.fhir.definitions import r4
from app.fhir.errors import BadRequest, NotSupported, TooCostly
from app.fhir.numbers import whole_number
from app.fhir.search.clauses import MAX_CHAIN, Clauses, Unknown, ValueSets
from app.fhir.search.parameters import SearchParameters, default
from app.fhir.search.types import Clause, Include, Param, Plan, SortKey

MAX_PARAMETERS = 100
MAX_INCLUDES = 50
DEFAULT_COUNT = 50
_PASSED_OVER = frozenset(["_format", "_pretty"])
_REFUSED = frozenset(["_list", "_filter", "_query", "_text", "_content", "_contained", "_containedType"])
_SORTABLE = frozenset(["token", "string", "reference", "date", "number", "quantity", "uri"])
_Summary = Literal["true", "text", "data", "count", "false"]
_Total = Literal["none", "estimate", "accurate"]


def parse(
    types: str | Sequence[str],
    params: Sequence[tuple[str, str]],
    *,
    base_url: str | None = None,
    strict: bool = False,
    max_count: int = 1000,
    parameters: SearchParameters | None = None,
    value_sets: ValueSets | None = None,
) -> Plan:
    """The plan of a search on one type, several, or all (an empty sequence: `plan.types` is then empty too).

    `params` are decoded query parameters in order. `base_url` tells own absolute references. `value_sets` expands a value set to
    (system, code) pairs for `:in` and `:not-in`. Raises BadRequest, NotSupported or TooCostly, naming the parameter.
    """
    if len(params) > MAX_PARAMETERS:
        raise TooCostly(f"A search takes at most {MAX_PARAMETERS} parameters")
    wanted = _types((types,) if isinstance(types, str) else tuple(types), params)
    return _Parser(wanted, base_url, strict, max_count, parameters or default(), value_sets).plan(params)


def self_params(plan: Plan, cursor: str | None = None) -> list[tuple[str, str]]:
    """The query parameters of the page's own link (with `cursor`: of another page's), as they were understood."""
    pairs = [(name, value) for name, value in plan.used if name != "_count"]
    if plan.summary != "count" or any(name == "_count" for name, _ in plan.used):
        pairs.append(("_count", str(plan.count)))
    return pairs if cursor is None else [*pairs, ("_cursor", cursor)]


def _types(types: tuple[str, ...], params: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    asked = [name for key, value in params if key == "_type" for name in value.split(",") if name]
    for name in (*types, *asked):
        if name not in r4().resources:
            raise BadRequest(f"There is no resource type '{name[:64]}' in FHIR R4")
    if not asked:
        return types
    found = tuple(name for name in dict.fromkeys(asked) if not types or name in types)
    if not found:
        raise BadRequest("_type names no type that is searched here")
    return found


class _Parser:
    def __init__(
        self,
        types: tuple[str, ...],
        base_url: str | None,
        strict: bool,
        max_count: int,
        parameters: SearchParameters,
        value_sets: ValueSets | None,
    ) -> None:
        self.types = types
        self.strict = strict
        self.max_count = max_count
        self.parameters = parameters
        self.clauses = Clauses(parameters, base_url, value_sets)
        self.result = Plan(types=types, count=min(DEFAULT_COUNT, max_count))
        self.where: list[Clause] = []
        self.used: list[tuple[str, str]] = []
        self.ignored: list[str] = []

    def plan(self, params: Sequence[tuple[str, str]]) -> Plan:
        for name, value in params:
            if name in _PASSED_OVER:
                continue
            if not value.strip():
                self.skip(name, f"{name} has no value")
                continue
            try:
                self.one(name, value)
            except Unknown as unknown:
                self.skip(name, str(unknown))
                continue
            if name != "_cursor":
                self.used.append((name, value))
        return replace(self.result, where=tuple(self.where), used=tuple(self.used), ignored=tuple(self.ignored))

    def skip(self, name: str, why: str) -> None:
        if self.strict:
            raise BadRequest(why)
        self.ignored.append(name)

    def one(self, name: str, value: str) -> None:
        if name in _REFUSED:
            raise NotSupported(f"{name} is not supported by this server")
        special = _SPECIAL.get(name.partition(":")[0])
        if special is not None:
            special(self, name, value)
        else:
            self.where.append(self.clauses.clause(self.types, name, value, MAX_CHAIN))

    # ---- result parameters

    def count(self, name: str, value: str) -> None:
        number = whole_number(value)
        if number is None:
            raise BadRequest(f"{name}: '{value[:40]}' is not a number of 0 or more")
        if number == 0:
            self.result = replace(self.result, count=0, summary="count")
        else:
            self.result = replace(self.result, count=min(number, self.max_count))

    def sort(self, name: str, value: str) -> None:
        keys, unknown = list(self.result.sort), []
        for key in value.split(","):
            code = key.removeprefix("-").strip()
            param = self.sort_param(code)
            if param is None:
                unknown.append(code)
            else:
                keys.append(SortKey(param, key.startswith("-")))
        if len(keys) > 10:
            raise TooCostly("_sort takes at most 10 keys")
        self.result = replace(self.result, sort=tuple(keys))
        if unknown:
            raise Unknown(f"{name}: {', '.join(each[:64] for each in unknown)} cannot be sorted by")

    def sort_param(self, code: str) -> Param | None:
        if code in ("_id", "_lastUpdated"):
            return Param(code, "token" if code == "_id" else "date")
        param = self.clauses.common_param(self.types, code)
        return param if param is not None and param.kind in _SORTABLE else None

    def include(self, name: str, value: str) -> None:
        base, _, modifier = name.partition(":")
        if modifier not in ("", "iterate", "recurse"):
            raise BadRequest(f"{name}: there is no such modifier")
        found = self.includes(name, value, reverse=base == "_revinclude", iterate=bool(modifier))
        if base == "_include":
            self.result = replace(self.result, includes=(*self.result.includes, *found))
        else:
            self.result = replace(self.result, revincludes=(*self.result.revincludes, *found))
        if len(self.result.includes) + len(self.result.revincludes) > MAX_INCLUDES:
            raise TooCostly(f"A search takes at most {MAX_INCLUDES} includes")

    def includes(self, name: str, value: str, *, reverse: bool, iterate: bool) -> list[Include]:
        if value == "*":
            if reverse or not self.types:
                raise NotSupported(f"{name}=* would look at every type: name the source as in Observation:*")
            return [Include(source, self.references(source), None, iterate) for source in self.types]
        source, _, rest = value.partition(":")
        code, _, target = rest.partition(":")
        if source not in r4().resources or (target and target not in r4().resources):
            raise BadRequest(f"{name}: '{value[:100]}' names a resource type that FHIR R4 does not have")
        if code == "*":
            return [Include(source, self.references(source), target or None, iterate)]
        definition = self.parameters.get(source, code)
        if definition is None or definition.param.kind != "reference":
            raise BadRequest(f"{name}: '{value[:100]}' does not name a reference parameter of {source}")
        return [Include(source, (definition.param,), target or None, iterate)]

    def references(self, source: str) -> tuple[Param, ...]:
        return tuple(each.param for each in self.parameters.of(source).values() if each.param.kind == "reference")

    def total(self, name: str, value: str) -> None:
        self.result = replace(self.result, total=cast(_Total, _one_of(name, value, get_args(_Total))))

    def summary(self, name: str, value: str) -> None:
        self.result = replace(self.result, summary=cast(_Summary, _one_of(name, value, get_args(_Summary))))

    def elements(self, name: str, value: str) -> None:
        names = tuple(part.strip() for part in value.split(",") if part.strip())
        self.result = replace(self.result, elements=(*self.result.elements, *names))

    def cursor(self, name: str, value: str) -> None:
        self.result = replace(self.result, cursor=value)

    def nothing(self, name: str, value: str) -> None:
        """`_type` was read first."""


def _one_of(name: str, value: str, allowed: Iterable[str]) -> str:
    if value not in allowed:
        raise BadRequest(f"{name}: '{value[:40]}' is none of {', '.join(allowed)}")
    return value


_SPECIAL: dict[str, Callable[[_Parser, str, str], None]] = {
    "_count": _Parser.count,
    "_sort": _Parser.sort,
    "_include": _Parser.include,
    "_revinclude": _Parser.include,
    "_total": _Parser.total,
    "_summary": _Parser.summary,
    "_elements": _Parser.elements,
    "_cursor": _Parser.cursor,
    "_type": _Parser.nothing,
}

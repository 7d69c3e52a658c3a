"""One search criterion, `code[:modifier][.chain]=value,value`, to one `Clause`."""

import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import cast

from app.fhir import ucum
from app.fhir.definitions import r4
from app.fhir.errors import BadRequest, NotSupported, TooCostly
from app.fhir.search.asked import Reader
from app.fhir.search.parameters import SearchParameters
from app.fhir.search.types import (
    IN_BASE_UNITS,
    AnyOf,
    Chain,
    Clause,
    CompositeValue,
    Has,
    Ids,
    LastUpdated,
    Match,
    Missing,
    Modifier,
    Nothing,
    Param,
    QuantityValue,
    TokenValue,
    Value,
)
from app.fhir.search.values import split, unescape

MAX_CHAIN = 5
MAX_VALUES = 1000
MAX_BRANCHES = 500
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}\Z", re.ASCII)
ValueSets = Callable[[str], Iterable[tuple[str, str]] | None]

_MODIFIERS: dict[str, frozenset[str]] = {
    "token": frozenset(["not", "text", "in", "not-in", "of-type"]),
    "string": frozenset(["exact", "contains"]),
    "reference": frozenset(["identifier"]),
    "uri": frozenset(["above", "below"]),
}
_KNOWN_MODIFIERS = frozenset(
    ["exact", "contains", "not", "text", "in", "not-in", "above", "below", "of-type", "identifier", "missing"],
)


class Unknown(Exception):
    """A parameter that the type does not have: ignored, or refused when the caller is strict."""


class Clauses:
    """Makes clauses with one set of parameters."""

    def __init__(self, parameters: SearchParameters, base_url: str | None, value_sets: ValueSets | None) -> None:
        self.parameters = parameters
        self.value_sets = value_sets
        self.chained = 0
        self.reader = Reader(base_url.rstrip("/") + "/" if base_url else None, time.time_ns() // 1000)

    def clause(self, types: Sequence[str], name: str, value: str, depth: int) -> Clause:
        """Raises Unknown, BadRequest, NotSupported, TooCostly."""
        if depth < 0:
            raise TooCostly(f"A chain takes at most {MAX_CHAIN} steps")
        if name.startswith("_has:"):
            return self._has(types, name, value, depth)
        head, dot, rest = name.partition(".")
        code, _, modifier = head.partition(":")
        if code in ("_id", "_lastUpdated") and not dot:
            return self._of_store(code, modifier, value)
        param = self.common_param(types, code)
        if param is None or param.kind == "special":
            where = ", ".join(types) if types else "every type"
            raise Unknown(f"There is no search parameter '{code[:64]}' on {where}")
        if dot:
            return self._chain(param, modifier, rest, value, depth)
        if modifier == "missing":
            return Missing(param, _truth(name, value))
        return self._match(name, param, modifier, value)

    def common_param(self, types: Sequence[str], code: str) -> Param | None:
        """The parameter, if every type has it as the same kind."""
        found: Param | None = None
        for type_name in types or ("Resource",):
            definition = self.parameters.get(type_name, code)
            if definition is None or (found is not None and definition.param.kind != found.kind):
                return None
            told = definition.param.told_by
            found = replace(found, told_by=found.told_by + told) if found is not None and told else found or definition.param
        return found

    # ---- plain criteria

    def _match(self, name: str, param: Param, modifier: str, value: str) -> Clause:
        target = None
        if modifier:
            if param.kind == "reference" and modifier in r4().resources:
                target, modifier = modifier, ""
            elif modifier not in _MODIFIERS.get(param.kind, frozenset()):
                known = modifier in _KNOWN_MODIFIERS
                sentence = f"{name}: the modifier ':{modifier[:40]}' is not supported for a {param.kind} parameter"
                raise NotSupported(sentence) if known else BadRequest(sentence)
        if modifier in ("in", "not-in"):
            return self._in_value_set(name, param, modifier, value)
        values = tuple(self.reader.value(name, param, modifier, text, target) for text in _alternatives(name, value))
        if not modifier and (param.kind == "quantity" or param.components):
            values = tuple(_in_base_units(value) for value in values)
        return Match(param, values, cast(Modifier, modifier) if modifier else None)

    def _in_value_set(self, name: str, param: Param, modifier: str, value: str) -> Clause:
        if self.value_sets is None:
            raise NotSupported(f"{name}: the modifier ':{modifier}' is not supported here")
        codes: list[Value] = []
        for url in _alternatives(name, value):
            expansion = self.value_sets(unescape(url))
            if expansion is None:
                raise BadRequest(f"{name}: the value set '{url[:200]}' is not known")
            codes.extend(TokenValue(system, code) for system, code in expansion)
        if not codes and modifier == "in":
            return Nothing()
        return Match(param, tuple(codes), "not" if modifier == "not-in" else None)

    def _of_store(self, code: str, modifier: str, value: str) -> Clause:
        if modifier:
            raise NotSupported(f"{code}: the modifier ':{modifier[:40]}' is not supported")
        if code == "_id":
            ids = tuple(dict.fromkeys(each for each in _alternatives(code, value) if _ID.match(each)))
            return Ids(ids) if ids else Nothing()
        return LastUpdated(tuple(self.reader.date(code, text) for text in _alternatives(code, value)))

    # ---- chains

    def _chain(self, param: Param, modifier: str, rest: str, value: str, depth: int) -> Clause:
        if param.kind != "reference":
            raise BadRequest(f"{param.code}: only a reference parameter can be chained, this is a {param.kind} parameter")
        if modifier and modifier not in r4().resources:
            raise BadRequest(f"{param.code}: '{modifier[:64]}' is no resource type that a chain can go through")
        if modifier and param.targets and modifier not in param.targets and "Resource" not in param.targets:
            raise BadRequest(f"{param.code}: refers to {', '.join(param.targets)}, never to {modifier}")
        groups: dict[Clause, list[str]] = {}
        refused: BadRequest | NotSupported | None = None
        targets = (modifier,) if modifier else self._targets(param)
        for target in targets:
            self.chained += 1
            if self.chained > MAX_BRANCHES:
                raise TooCostly(
                    f"{param.code} may refer to too many types: name one, as in {param.code}:{targets[0]}.{rest[:40]}"
                )
            try:
                where = self.clause((target,), rest, value, depth - 1)
            except Unknown:
                continue
            except (BadRequest, NotSupported) as problem:  # another type may take it
                refused = refused or problem
                continue
            groups.setdefault(where, []).append(target)
        if not groups:
            if refused is not None:
                raise refused
            raise Unknown(f"There is no search parameter '{rest[:64]}' on what {param.code} refers to")
        chains = tuple(Chain(param, tuple(names), where) for where, names in groups.items())
        return chains[0] if len(chains) == 1 else AnyOf(chains)

    def _targets(self, param: Param) -> Sequence[str]:
        named = [target for target in param.targets if target in r4().resources]
        return named or sorted(r4().resources)

    def _has(self, types: Sequence[str], name: str, value: str, depth: int) -> Clause:
        parts = name.split(":", 3)
        if len(parts) != 4 or not parts[3]:
            raise BadRequest(f"{name[:100]}: write _has:Type:reference:parameter")
        _, source, code, rest = parts
        if source not in r4().resources:
            raise BadRequest(f"{name[:100]}: there is no resource type '{source[:64]}' in FHIR R4")
        definition = self.parameters.get(source, code)
        if definition is None:
            raise Unknown(f"There is no search parameter '{code[:64]}' on {source}")
        if definition.param.kind != "reference":
            raise BadRequest(f"{name[:100]}: {code} is not a reference parameter")
        targets = definition.param.targets
        if targets and types and "Resource" not in targets and not set(types) & set(targets):
            raise BadRequest(f"{name[:100]}: {source}.{code} never refers to {', '.join(types)}")
        return Has(source, definition.param, self.clause((source,), rest, value, depth - 1))


def _in_base_units(value: Value) -> Value:
    """What is asked in a UCUM unit is looked for in base units, so that a unit like it will do; anything else as it is asked."""
    if isinstance(value, CompositeValue):
        return CompositeValue(tuple(_in_base_units(part) for part in value.components))
    if not isinstance(value, QuantityValue) or value.system != ucum.SYSTEM or not value.code:
        return value
    base = ucum.base_range(value.low, value.high, value.code)
    return value if base is None else QuantityValue(value.prefix, base[0], base[1], IN_BASE_UNITS, base[2])


def _alternatives(name: str, value: str) -> list[str]:
    """The comma-separated values, still escaped."""
    values = [part for part in split(value, ",") if part]
    if not values:
        raise BadRequest(f"{name}: a value is needed")
    if len(values) > MAX_VALUES:
        raise TooCostly(f"{name} takes at most {MAX_VALUES} values")
    return values


def _truth(name: str, value: str) -> bool:
    if value not in ("true", "false"):
        raise BadRequest(f"{name}: '{value[:40]}' is neither true nor false")
    return value == "true"

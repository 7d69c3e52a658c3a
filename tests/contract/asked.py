"""Searches as callers write them, generated: every parameter of every type, every modifier and prefix, chains, `_has`, order, pages, includes.

Values are taken from what the resources of a world say, and bent a little, so that most searches find something and none finds everything.
"""

import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from app.fhir.errors import BadRequest, NotSupported, TooCostly
from app.fhir.search.parameters import NOT_INDEXED, Definition, SearchParameters
from app.fhir.search.query import parse
from app.fhir.search.types import (
    IN_BASE_UNITS,
    Composite,
    Date,
    Entries,
    Number,
    OfType,
    Param,
    Plan,
    Quantity,
    Reference,
    String,
    Token,
    Uri,
)
from app.fhir.search.values import OPEN, escape
from app.security.access import SYSTEM, Access
from tests.contract.builders import AT_NORTH, AT_SOUTH, NATIONAL, NOBODY, NORTH, PARENT, SOUTH
from tests.contract.wide import BASE_URL, VALUE_SETS, value_set

PREFIXES = ("", "", "", "eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap")
AT_BOTH = Access("both", "hospital", frozenset({NORTH, SOUTH}))
# Most see everything or one hospital's; some nothing.
CALLERS = (SYSTEM,) * 6 + (AT_NORTH,) * 5 + (AT_SOUTH,) * 2 + (AT_BOTH, NATIONAL, NOBODY, PARENT)
_SORTABLE = ("token", "string", "reference", "date", "number", "quantity", "uri")


@dataclass(frozen=True, slots=True)
class Asked:
    """One search: who, on which types, with which parameters."""

    access: Access
    types: tuple[str, ...]
    params: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        return f"{self.access.who}: {','.join(self.types)}?{'&'.join(map('='.join, self.params))}"

    def plan(self, parameters: SearchParameters) -> Plan:
        """Raises as `parse`."""
        return parse(self.types, self.params, base_url=BASE_URL, parameters=parameters, value_sets=value_set, strict=True)


class Asking:
    """An endless number of searches from one seed."""

    def __init__(self, seed: int, parameters: SearchParameters, world: Iterable[tuple[str, str, int, Entries]]) -> None:
        """`world`: type, id, microseconds of the last change, entries."""
        self.pick = random.Random(seed)
        self.parameters = parameters
        self.refused = 0
        self._said: dict[tuple[str, str], list[Any]] = defaultdict(list)
        self._ids: dict[str, list[str]] = defaultdict(list)
        self._times: list[int] = []
        self._referring: dict[str, set[tuple[str, str]]] = defaultdict(set)  # to a type: from which type by which parameter
        for type, id, updated, entries in world:
            self._ids[type].append(id)
            self._times.append(updated)
            for entry in _all(entries):
                if getattr(entry, "system", "") != IN_BASE_UNITS:
                    self._said[type, entry.param].append(entry)
                if isinstance(entry, Reference) and entry.type:
                    self._referring[entry.type].add((type, entry.param))
        self._types = sorted(self._ids)
        for type in self._types:  # what other parameters tell is not told twice
            for code, definition in parameters.of(type).items():
                for _, codes in definition.param.told_by:
                    self._said[type, code] += [entry for other in codes for entry in self._said[type, other]]
        self._weights = [len(self._ids[type]) for type in self._types]
        self._codes = {
            type: [
                (code, one)
                for code, one in parameters.of(type).items()
                if code not in NOT_INDEXED and one.param.kind != "special"
            ]
            for type in self._types
        }

    def one(self) -> tuple[Asked, Plan]:
        """A search that the parser takes."""
        while True:
            asked = Asked(self.pick.choice(CALLERS), types := self._where(), tuple(self._params(types)))
            try:
                return asked, asked.plan(self.parameters)
            except (BadRequest, NotSupported, TooCostly):
                self.refused += 1

    def _where(self) -> tuple[str, ...]:
        way = self.pick.random()
        if way < 0.9:
            return (self._type(),)
        return tuple(dict.fromkeys(self._type() for _ in range(3))) if way < 0.95 else ()

    def _type(self) -> str:
        return self.pick.choices(self._types, self._weights)[0]

    def _params(self, types: tuple[str, ...]) -> list[tuple[str, str]]:
        pick = self.pick
        params = [
            self.criterion(pick.choice(types) if types else "Resource", 3) for _ in range(pick.choice((0, 1, 1, 1, 1, 2, 2, 3)))
        ]
        type = types[0] if types else "Resource"
        if pick.random() < 0.4:
            params.append(
                ("_sort", ",".join(pick.choice(("", "-")) + self._sortable(type) for _ in range(pick.choice((1, 1, 2, 3)))))
            )
        if pick.random() < 0.3:
            params += [self._include(type) for _ in range(pick.choice((1, 1, 2)))]
        if pick.random() < 0.4:
            params.append(("_total", pick.choice(("accurate", "estimate", "none"))))
        if pick.random() < 0.05:
            params.append(("_summary", "count"))
        params.append(("_count", str(pick.choice((1, 2, 3, 5, 10, 20, 50)))))
        return params

    def _sortable(self, type: str) -> str:
        named = [code for code, one in self._codes.get(type, ()) if one.param.kind in _SORTABLE and (type, code) in self._said]
        return self.pick.choice(["_id", "_lastUpdated", *(named or ["_id"]) * 2])

    def _include(self, type: str) -> tuple[str, str]:
        pick = self.pick
        iterate = pick.choice(("", ":iterate"))
        if pick.random() < 0.4 and (referring := sorted(self._referring[type])):
            source, code = pick.choice(referring)
            return f"_revinclude{iterate}", f"{source}:{code}" + pick.choice(("", f":{type}"))
        source = pick.choice((type, self._type())) if type != "Resource" else self._type()
        codes = [code for code, one in self._codes[source] if one.param.kind == "reference"]
        code = pick.choice(["*", *codes * 2])
        said = [entry.type for entry in self._said[source, code] if entry.type]
        return f"_include{iterate}", f"{source}:{code}" + pick.choice(("", f":{pick.choice(said)}" if said else ""))

    # ---- criteria

    def criterion(self, type: str, depth: int) -> tuple[str, str]:
        """A parameter and its value, of resources of `type`."""
        pick = self.pick
        way = pick.random()
        if depth and way < 0.12 and (referring := sorted(self._referring[type])):
            source, code = pick.choice(referring)
            name, value = self.criterion(source, depth - 1)
            return f"_has:{source}:{code}:{name}", value
        if depth == 3 and way < 0.18:
            return self._of_store(type)
        codes = self._codes.get(type)
        if codes is None:
            return self._of_store(type)
        said = [one for one in codes if (type, one[0]) in self._said]
        code, definition = pick.choice(_of_one_kind(pick, said) if said and pick.random() < 0.95 else codes)
        if definition.param.kind == "reference" and depth and pick.random() < 0.5:
            return self._chain(type, code, definition, depth)
        if pick.random() < 0.08:
            return f"{code}:missing", pick.choice(("true", "false"))
        return self._match(code, definition.param, self._said[type, code])

    def _of_store(self, type: str) -> tuple[str, str]:
        pick = self.pick
        if pick.random() < 0.4:
            ids = self._ids.get(type) or ["1", "2", "3"]
            return "_id", ",".join([pick.choice(ids) for _ in range(pick.choice((1, 2, 4)))] + ["none"] * (pick.random() < 0.2))
        if type == "Resource" and pick.random() < 0.6:
            return pick.choice(("_tag", "_security")), pick.choice(("a", "b", "urn:one|", "|c", "http://loinc.org|A"))
        return "_lastUpdated", ",".join(
            pick.choice(PREFIXES) + _date(pick, pick.choice(self._times)) for _ in range(pick.choice((1, 1, 2)))
        )

    def _chain(self, type: str, code: str, definition: Definition, depth: int) -> tuple[str, str]:
        said = sorted({entry.type for entry in self._said[type, code] if entry.type in self._ids})
        named = [target for target in definition.param.targets if target in self._ids]
        if not (said or named):
            return self._match(code, definition.param, self._said[type, code])
        target = self.pick.choice(said or named)
        name, value = self.criterion(target, depth - 1)
        if self.pick.random() < 0.05:
            name, value = "_id", self.pick.choice(self._ids[target])
        typed = f":{target}" if self.pick.random() < 0.8 else ""
        return f"{code}{typed}.{name}", value

    def _match(self, code: str, param: Param, said: Sequence[Any]) -> tuple[str, str]:
        pick = self.pick
        modifier = pick.choice(
            {
                "token": ("", "", "", "not", "text", "in", "not-in", "of-type"),
                "string": ("", "", "exact", "contains"),
                "uri": ("", "below", "above"),
                "reference": ("", "", "", "identifier", "type"),
            }.get(param.kind, ("",))
        )
        if modifier in ("in", "not-in"):
            return f"{code}:{modifier}", pick.choice(VALUE_SETS)
        entries = [entry for entry in said if isinstance(entry, OfType) is (modifier == "of-type")]
        if not entries:
            return code, pick.choice(("a", "2020", "1"))
        values = [self._text(param, modifier, pick.choice(entries)) for _ in range(pick.choice((1, 1, 1, 2, 3)))]
        if modifier == "type":
            target = next((entry.type for entry in entries if entry.type), "Patient")
            return f"{code}:{target}", ",".join(value.partition("/")[2] or value for value in values)
        return f"{code}:{modifier}" if modifier else code, ",".join(values)

    def _text(self, param: Param, modifier: str, entry: Any) -> str:
        pick = self.pick
        match entry:
            case Token() if modifier == "text":
                return escape(_part(pick, entry.text, from_start=True) or "alp")
            case Token():
                system, value = escape(entry.system), escape(entry.code)
                return pick.choice((value, value, f"{system}|{value}", f"{system}|{value}", f"{system}|", f"|{value}"))
            case OfType():
                return f"{escape(entry.system)}|{escape(entry.code)}|{escape(entry.value)}"
            case String():
                if modifier == "exact":
                    return escape(pick.choice((entry.exact, entry.exact.lower())))
                return escape(_part(pick, entry.exact, from_start=modifier != "contains"))
            case Uri():
                bent = {"below": entry.uri.rpartition("/")[0], "above": entry.uri + pick.choice(("", "/", "/more"))}
                return escape(pick.choice((entry.uri, bent.get(modifier) or entry.uri)))
            case Reference() if modifier == "identifier":
                return f"{escape(entry.system)}|{escape(entry.value)}" if pick.random() < 0.7 else escape(entry.value) or "a"
            case Reference() if entry.id:
                return escape(
                    pick.choice(
                        (entry.id, f"{entry.type}/{entry.id}", f"{entry.type}/{entry.id}", f"{BASE_URL}/{entry.type}/{entry.id}")
                    )
                )
            case Reference():
                return escape(entry.url) + pick.choice(("", f"\\|{entry.version or '1'}"))
            case Date():
                return pick.choice(PREFIXES) + _date(pick, pick.choice((entry.low, entry.high)))
            case Number():
                return pick.choice(PREFIXES) + _number(pick, entry.low)
            case Quantity():
                unit = pick.choice(
                    (
                        "",
                        f"|{entry.system}|{entry.code}",
                        f"||{entry.code or entry.unit}",
                        f"|{entry.system}|",
                        "|http://unitsofmeasure.org|g",
                    )
                )
                return pick.choice(PREFIXES) + _number(pick, pick.choice((entry.low, entry.high))) + unit
            case Composite():
                parts = zip(param.components, entry.components, strict=True)
                return "$".join(self._text(component, "", pick.choice(some)) if some else "a" for component, some in parts)
        raise AssertionError(f"{type(entry).__name__} has no text")


def _of_one_kind(pick: random.Random, codes: list[tuple[str, Definition]]) -> list[tuple[str, Definition]]:
    """Most parameters are tokens and references; half of the time each kind is as likely as another."""
    kind = pick.choice(sorted({one.param.kind for _, one in codes}))
    return [one for one in codes if one[1].param.kind == kind] if pick.random() < 0.5 else codes


def _all(entries: Entries) -> Iterable[Any]:
    for each in (entries.tokens, entries.of_types, entries.strings, entries.references, entries.dates):
        yield from each
    for some in (entries.numbers, entries.quantities, entries.uris, entries.composites):
        yield from some


def _part(pick: random.Random, text: str, *, from_start: bool) -> str:
    start = 0 if from_start else pick.randrange(len(text) or 1)
    part = text[start : start + pick.choice((1, 2, 3, 5, 99))]
    return pick.choice((part, part.lower(), part.upper()))


def _date(pick: random.Random, micros: int) -> str:
    if abs(micros) >= OPEN:
        return "2020"
    try:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
    except OverflowError:
        return "9999-12-31"
    text = moment.isoformat(timespec=pick.choice(("seconds", "milliseconds", "microseconds"))).replace("+00:00", "Z")
    return pick.choice((text[:4], text[:7], text[:10], text[:10], text, text))


def _number(pick: random.Random, value: float) -> str:
    bent = value + pick.choice((0, 0, 0, 0.5, -1))
    if abs(bent) > 1e15:
        return "1"
    return pick.choice((f"{bent:.0f}", f"{bent:g}", f"{bent:.1f}", f"{bent:.3f}")).replace("e+", "e")


def codes_asked(plans: Iterable[Plan]) -> Mapping[str, int]:
    """How often each kind of clause came: a generator that no longer makes some proves nothing about it."""
    number: dict[str, int] = defaultdict(int)

    def look(value: Any) -> None:
        if isinstance(value, tuple):
            for part in value:
                look(part)
            return
        slots = getattr(type(value), "__slots__", None)
        if slots is None:
            return
        name = type(value).__name__
        number[name] += 1
        for more in ("modifier", "prefix", "kind", "descending", "iterate"):
            if hasattr(value, more) and (told := getattr(value, more)):
                number[f"{name}.{more}={told}"] += 1
        for slot in slots:
            look(getattr(value, slot))

    for plan in plans:
        look(plan)
    return number

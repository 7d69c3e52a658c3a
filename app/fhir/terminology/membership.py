"""Value sets as questions: `Terminology.member` says True, False, or None where what is loaded cannot tell.

A value set is compiled when first asked for. What is added later under the same URL replaces what was there, so a package can bring a newer set.
"""

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from app.fhir.definitions import published
from app.fhir.terminology.code_systems import CodeSystem
from app.fhir.terminology.grammars import GRAMMARS

Resource = Mapping[str, Any]
Answer = bool | None
Asks = Callable[[str | None, str], Answer]  # (system or None for any, code)

_MAX_DEPTH = 20


def unknown(_system: str | None, _code: str) -> Answer:
    """The set of which nothing is known."""
    return None


class Terminology:
    """Code systems and value sets, R4's own beneath what is added. `Terminology([])` has R4's own only."""

    def __init__(self, resources: Iterable[Resource] = (), *, over: "Terminology | None" = None) -> None:
        self._over = over
        self._systems: dict[str, Resource | CodeSystem] = {}
        self._value_sets: dict[str, Resource] = {}
        self._compiled: dict[str, Asks] = {}
        for resource in resources:
            self.add(resource)

    def add(self, resource: Resource) -> None:
        """A CodeSystem or ValueSet; anything else is passed over."""
        url = resource.get("url")
        if not isinstance(url, str):
            return
        if resource.get("resourceType") == "ValueSet":
            self._value_sets[url] = resource
            self._compiled.clear()
        elif resource.get("resourceType") == "CodeSystem" and resource.get("content") != "supplement":
            self._systems[url] = resource
            self._compiled.clear()

    def knows(self, value_set: str) -> bool:
        """Whether a value set of that URL is loaded."""
        return self._value_set(value_set.partition("|")[0]) is not None

    def member(self, value_set: str, code: str, system: str | None = None) -> Answer:
        """Whether the code is in the set; without a system, whether any system of the set has it."""
        return self.asks(value_set)(system, code)

    def judge(self, value_set: str, value: Any) -> Answer:
        """The same of an element's JSON: a code or string, a Coding or Quantity, a CodeableConcept (any of its codings).

        None also where there is nothing to judge: a concept that is text alone.
        """
        if isinstance(value, str):
            return self.member(value_set, value)
        if not isinstance(value, Mapping):
            return None
        codings = value["coding"] if isinstance(value.get("coding"), list) else [value]
        answers = [
            self._coding(value_set, each) for each in codings if isinstance(each, Mapping) and isinstance(each.get("code"), str)
        ]
        if True in answers:
            return True
        return False if answers and None not in answers else None

    def member_of(self, value: Any, value_set: str) -> Answer:
        """In the order in which FHIRPath's memberOf() asks."""
        return self.judge(value_set, value)

    def _coding(self, value_set: str, coding: Resource) -> Answer:
        system = coding.get("system")
        return self.member(value_set, coding["code"], system if isinstance(system, str) else "")

    def asks(self, value_set: str, depth: int = 0) -> Asks:
        """The set as a question, compiled once."""
        url = value_set.partition("|")[0]
        found = self._compiled.get(url)
        if found is None:
            resource = self._value_set(url)
            found = unknown if resource is None or depth > _MAX_DEPTH else self._compile(resource, depth)
            self._compiled[url] = found
        return found

    def _value_set(self, url: str) -> Resource | None:
        found = self._value_sets.get(url)
        return found if found is not None or self._over is None else self._over._value_set(url)

    def _system(self, url: str) -> CodeSystem | None:
        found = self._systems.get(url)
        if isinstance(found, CodeSystem):
            return found
        if found is not None:
            made = self._systems[url] = CodeSystem(found)
            return made
        return None if self._over is None else self._over._system(url)

    # ---- compilation

    def _compile(self, value_set: Resource, depth: int) -> Asks:
        compose = value_set.get("compose")
        if not isinstance(compose, Mapping):
            expansion = value_set.get("expansion")
            return _expanded(expansion) if isinstance(expansion, Mapping) else unknown
        includes = [self._include(each, depth) for each in compose.get("include", ())]
        excludes = [self._include(each, depth) for each in compose.get("exclude", ())]

        def asks(system: str | None, code: str) -> Answer:
            inside = _any(includes, system, code)
            if inside is False or not excludes:
                return inside
            outside = _any(excludes, system, code)
            return False if outside else None if outside is None else inside

        return asks

    def _include(self, include: Resource, depth: int) -> Asks:
        parts = [self.asks(str(url), depth + 1) for url in include.get("valueSet", ())]
        if isinstance(include.get("system"), str):
            parts.append(self._of_system(include["system"], include))
        return parts[0] if len(parts) == 1 else _all(parts)

    def _of_system(self, url: str, include: Resource) -> Asks:
        within = self._codes(url, include)
        return lambda system, code: within(code) if system is None or system == url else False

    def _codes(self, url: str, include: Resource) -> Callable[[str], Answer]:
        system = self._system(url)
        if listed := include.get("concept"):
            fold = system.key if system is not None else str
            codes = frozenset(fold(str(each.get("code"))) for each in listed)
            return lambda code: fold(code) in codes
        if system is None:
            grammar = GRAMMARS.get(url)
            return grammar if grammar is not None and not include.get("filter") else lambda _code: None
        rules = include.get("filter", ())
        if not rules:
            return system.has

        def passes(code: str) -> Answer:
            answers = [system.passes(code, rule) for rule in rules]
            return False if False in answers else None if None in answers else True

        return passes


def _any(asked: list[Asks], system: str | None, code: str) -> Answer:
    answer: Answer = False
    for ask in asked:
        one = ask(system, code)
        if one:
            return True
        if one is None:
            answer = None
    return answer


def _all(asked: list[Asks]) -> Asks:
    def asks(system: str | None, code: str) -> Answer:
        answers = [ask(system, code) for ask in asked]
        return False if False in answers else None if None in answers or not answers else True

    return asks


def _expanded(expansion: Resource) -> Asks:
    """A set of which only a stored expansion is there."""
    pairs: set[tuple[str, str]] = set()
    waiting = list(expansion.get("contains", ()))
    while waiting:
        each = waiting.pop()
        if isinstance(each, Mapping):
            pairs.add((str(each.get("system", "")), str(each.get("code", ""))))
            waiting.extend(each.get("contains", ()))
    codes = frozenset(code for _, code in pairs)
    return lambda system, code: code in codes if system is None else (system, code) in pairs


@functools.cache
def standard() -> Terminology:
    """R4's own."""
    return Terminology(published.terminology())

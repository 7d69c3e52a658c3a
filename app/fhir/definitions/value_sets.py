"""Which codes a value set lists, as far as HL7's package itself can say.

A set that draws on a system outside the package (MIME types, languages, UCUM, SNOMED CT) has no list: `expand` says None,
and the binding is not checked by list.
"""

from collections.abc import Iterator, Mapping
from typing import Any

Resource = Mapping[str, Any]
Codes = dict[str, list[str]]  # system -> codes in the order found


def _concepts(concepts: list[Any], ancestors: tuple[str, ...] = ()) -> Iterator[tuple[Any, tuple[str, ...]]]:
    for concept in concepts:
        line = (*ancestors, concept["code"])
        yield concept, line
        yield from _concepts(concept.get("concept", []), line)


class Expander:
    """Expands value sets against the code systems of one package."""

    def __init__(self, code_systems: Mapping[str, Resource], value_sets: Mapping[str, Resource]) -> None:
        self.code_systems = code_systems
        self.value_sets = value_sets

    def expand(self, url: str) -> Codes | None:
        """`{system: codes}`, or None where the package cannot list them all."""
        value_set = self.value_sets.get(url.split("|")[0])
        if value_set is None:
            return None
        compose = value_set.get("compose", {})
        found: Codes = {}
        for include in compose.get("include", []):
            part = self._part(include)
            if part is None:
                return None
            for system, codes in part.items():
                known = found.setdefault(system, [])
                known += [code for code in codes if code not in known]
        for exclude in compose.get("exclude", []):
            for system, codes in (self._part(exclude) or {}).items():
                found[system] = [code for code in found.get(system, []) if code not in codes]
        return found

    def _part(self, include: Resource) -> Codes | None:
        parts: list[Codes] = []
        if "system" in include:
            codes = self._of_system(include)
            if codes is None:
                return None
            parts.append({include["system"]: codes})
        for url in include.get("valueSet", []):
            part = self.expand(url)
            if part is None:
                return None
            parts.append(part)
        first, *rest = parts
        for other in rest:
            first = {system: [code for code in codes if code in other.get(system, [])] for system, codes in first.items()}
        return first

    def _of_system(self, include: Resource) -> list[str] | None:
        if "concept" in include:
            return [concept["code"] for concept in include["concept"]]
        system = self.code_systems.get(include["system"])
        if system is None or system.get("content") != "complete":
            return None
        chosen = list(_concepts(system.get("concept", [])))
        for rule in include.get("filter", []):
            if rule["op"] == "is-a" and rule["property"] == "concept":
                chosen = [(each, line) for each, line in chosen if _is_a(each, line, rule["value"], dict(self._parents(system)))]
            else:
                return None
        return [concept["code"] for concept, _ in chosen if not _not_selectable(concept)]

    @staticmethod
    def _parents(system: Resource) -> Iterator[tuple[str, list[str]]]:
        for concept, _ in _concepts(system.get("concept", [])):
            properties = concept.get("property", [])
            yield (
                concept["code"],
                [each["valueCode"] for each in properties if each["code"] in ("parent", "subsumedBy") and "valueCode" in each],
            )


def _is_a(concept: Resource, line: tuple[str, ...], wanted: str, parents: Mapping[str, list[str]]) -> bool:
    if wanted in line:
        return True
    seen: set[str] = set()
    waiting = list(parents.get(concept["code"], []))
    while waiting:
        code = waiting.pop()
        if code == wanted:
            return True
        if code not in seen:
            seen.add(code)
            waiting += parents.get(code, [])
    return False


def _not_selectable(concept: Resource) -> bool:
    return any(each["code"] == "notSelectable" and each.get("valueBoolean") is True for each in concept.get("property", []))

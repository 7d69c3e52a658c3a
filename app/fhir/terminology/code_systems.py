"""One code system: which codes it has, and how they hang together."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

Resource = Mapping[str, Any]
_PARENTS = ("parent", "subsumedBy")
_MAX_REGEX = 200


class CodeSystem:
    """Codes by the form in which they are looked up (lower case where case means nothing)."""

    def __init__(self, resource: Resource) -> None:
        self.url = str(resource.get("url", ""))
        self.is_complete = resource.get("content") == "complete"
        self._fold = resource.get("caseSensitive") is False
        self.concepts: dict[str, Resource] = {}
        self._parents: dict[str, set[str]] = {}
        for concept, parent in _walk(resource.get("concept", ())):
            code = self.key(str(concept.get("code", "")))
            self.concepts[code] = concept
            above = self._parents.setdefault(code, set())
            if parent is not None:
                above.add(self.key(parent))
            for each in concept.get("property", ()):
                if each.get("code") in _PARENTS and isinstance(each.get("valueCode"), str):
                    above.add(self.key(each["valueCode"]))

    def key(self, code: str) -> str:
        """The form in which a code is looked up."""
        return code.lower() if self._fold else code

    def has(self, code: str) -> bool | None:
        """Whether the code exists; None where the system is loaded in part."""
        return True if self.key(code) in self.concepts else False if self.is_complete else None

    def is_below(self, code: str, ancestor: str) -> bool:
        """Whether `code` is a descendant of `ancestor`, at any depth."""
        wanted = self.key(ancestor)
        seen: set[str] = set()
        waiting = [self.key(code)]
        while waiting:
            for parent in self._parents.get(waiting.pop(), ()):
                if parent == wanted:
                    return True
                if parent not in seen:
                    seen.add(parent)
                    waiting.append(parent)
        return False

    def passes(self, code: str, rule: Resource) -> bool | None:
        """Whether the code passes a filter of a value set; None where that cannot be told."""
        exists = self.has(code)
        if not exists or not self.is_complete:
            return exists and None
        operator, wanted, name = rule.get("op"), str(rule.get("value", "")), rule.get("property")
        match operator:
            case "is-a":
                return self.key(code) == self.key(wanted) or self.is_below(code, wanted)
            case "descendent-of":
                return self.is_below(code, wanted)
            case "is-not-a":
                return not (self.key(code) == self.key(wanted) or self.is_below(code, wanted))
            case "generalizes":
                return self.key(code) == self.key(wanted) or self.is_below(wanted, code)
            case "regex":
                return _regex(code, wanted) if name == "code" else None
        values = self._values(code, str(name))
        match operator:
            case "=":
                return wanted in values
            case "in":
                return not values.isdisjoint(wanted.split(","))
            case "not-in":
                return values.isdisjoint(wanted.split(","))
            case "exists":
                return bool(values) is (wanted == "true")
        return None

    def _values(self, code: str, name: str) -> set[str]:
        if name in ("code", "concept"):
            return {code}
        found = set(self._parents[self.key(code)]) if name == "parent" else set()
        for each in self.concepts[self.key(code)].get("property", ()):
            if each.get("code") == name:
                found.update(_text(value) for key, value in each.items() if key.startswith("value"))
        return found


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return str(value.get("code", ""))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _regex(code: str, pattern: str) -> bool | None:
    """With the linear-time engine: the pattern comes with the data."""
    import re2

    if len(pattern) > _MAX_REGEX:
        return None
    try:
        return re2.fullmatch(pattern, code) is not None
    except (re2.error, re.error):
        return None


def _walk(concepts: Any) -> Iterator[tuple[Resource, str | None]]:
    """Concepts with the code of the one above, iteratively: depth costs no stack."""
    waiting: list[tuple[Any, str | None]] = [(concept, None) for concept in concepts if isinstance(concept, Mapping)]
    while waiting:
        concept, parent = waiting.pop()
        yield concept, parent
        code = str(concept.get("code", ""))
        waiting.extend((each, code) for each in concept.get("concept", ()) if isinstance(each, Mapping))

"""What one application of profiles carries along: the place in the resource, where issues go, and what is being judged already."""

from collections.abc import Mapping
from typing import Any

from app.fhir.definitions import r4
from app.fhir.validation.report import Path, Report
from app.fhir.validation.scope import Scope


class Item:
    """One element of a resource. `extra` is the `_name` companion of a primitive."""

    __slots__ = ("extra", "path", "type", "value")

    def __init__(self, value: Any, type: str, path: Path, extra: Any = None) -> None:
        self.value = value
        self.type = type
        self.path = path
        self.extra = extra

    def object(self) -> Mapping[str, Any]:
        """Where its children lie; empty for a primitive without companion."""
        found = self.value if isinstance(self.value, dict) else self.extra
        return found if isinstance(found, dict) else {}


class Mismatch(Exception):
    """Something is wrong, and nobody wants to know what."""


class TooMuch(Exception):
    """More work than anybody would ask for in good faith."""


class Run:
    """`report` None: only whether it fits is asked, and the first error says no. The budget is the scope's: all runs in it share it."""

    __slots__ = ("active", "report", "scope")

    def __init__(self, report: Report | None, scope: Scope, active: frozenset[tuple[int, str]] = frozenset()) -> None:
        self.report = report
        self.scope = scope
        self.active = active

    def quiet(self, scope: Scope | None = None) -> "Run":
        """The same, only asking whether it fits."""
        return Run(None, scope or self.scope, self.active)

    def within(self, mark: tuple[int, str]) -> "Run":
        """The same, with one more thing being judged."""
        return Run(self.report, self.scope, self.active | {mark})

    def spend(self) -> None:
        """Raises TooMuch beyond the budget."""
        self.scope.budget[0] -= 1
        if self.scope.budget[0] < 0:
            raise TooMuch

    def say(self, severity: str, code: str, path: Path, sentence: str) -> None:
        """An issue; Mismatch where nobody wants to know and it is an error."""
        if self.report is not None:
            self.report.note(severity, code, path, sentence)
        elif severity == "error":
            raise Mismatch


def items_at(parent: Item, name: str, keys: Mapping[str, str], is_list: bool) -> list[Item]:
    """The children of one name, in order. `keys`: JSON key -> type; `name` as in a location."""
    holder = parent.object()
    found: list[Item] = []
    for key, kind in keys.items():
        value, extra = holder.get(key), holder.get("_" + key)
        if value is None and extra is None:
            continue
        if not is_list:
            found.append(Item(value, actual(value, kind), (parent.path, name), extra))
            continue
        values = value if isinstance(value, list) else []
        extras = extra if isinstance(extra, list) else []
        for index in range(max(len(values), len(extras))):
            one = values[index] if index < len(values) else None
            more = extras[index] if index < len(extras) else None
            found.append(Item(one, actual(one, kind), (parent.path, name, index), more))
    return found


def actual(value: Any, kind: str) -> str:
    """The type of a value: where any resource may stand, what it says it is."""
    if kind == "Resource" and isinstance(value, dict) and value.get("resourceType") in r4().resources:
        return str(value["resourceType"])
    return kind


def is_a(type_name: str, wanted: str) -> bool:
    """Whether the type is that one or builds on it."""
    return type_name == wanted or (type_name in r4().types and wanted in r4().ancestors(type_name))

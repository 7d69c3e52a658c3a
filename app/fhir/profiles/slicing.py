"""Slicing: which items of a list, or which type of a choice, belong to which slice, and what the slices ask of them.

Slices are by discriminators (value, pattern, exists, type, profile). Extensions without a slicing of their own are sliced by url, choices by type.
A slice may be sliced again; the items of the slice are then the list. A slicing that has only a description is for people, and nothing is asked.
"""

from typing import TYPE_CHECKING, Any

from app.fhir.profiles.definition import Definition
from app.fhir.profiles.discriminators import Discriminator, Seen
from app.fhir.profiles.run import Item, Run
from app.fhir.profiles.snapshot import SHORT_FORM
from app.fhir.validation.report import Path

if TYPE_CHECKING:
    from app.fhir.profiles.conformance import Conformance, Plan

_BY_URL = [{"type": "value", "path": "url"}]
_BY_TYPE = [{"type": "type", "path": "$this"}]
_DEFAULT = "@default"


class Slice:
    """One slice: how to know its items, and what to ask of them."""

    def __init__(self, conformance: "Conformance", name: str, definition: Definition, by: list[Discriminator], who: str) -> None:
        self.name = name
        self._conformance = conformance
        self.definition = definition
        self.min = int(definition.facts.get("min", 0))
        self.max = None if definition.facts.get("max", "*") == "*" else int(definition.facts["max"])
        self.plan: Plan = conformance.plan_of(definition, who)
        self._by = by
        self._ends: list[tuple[Discriminator, list[Definition]]] | None = None
        is_extension = definition.name in ("extension", "modifierExtension")
        self.url = (
            conformance.extension_url(definition) if is_extension and [each.steps for each in by] == [[("name", "url")]] else ""
        )

    def takes(self, item: Item, run: Run, seen: Seen) -> bool:
        """Whether the item belongs here. Never, where the definition does not say how to tell. `seen`: what discriminators found in this item."""
        if self.url:
            return item.object().get("url") == self.url
        if self._ends is None:
            found = [(each, each.alternatives(self.definition)) for each in self._by]
            told = [(each, [end for end in ends if each.tells(end)]) for each, ends in found]
            self._ends = [(each, ends) for each, ends in told if ends]
        return bool(self._ends) and all(any(each.matches(item, end, run, seen) for end in ends) for each, ends in self._ends)


class Slicing:
    """All slices of an element."""

    def __init__(self, slices: list[Slice], who: str, name: str, rules: str, ordered: bool) -> None:
        self.slices = [each for each in slices if each.name != _DEFAULT]
        self._default = next((each for each in slices if each.name == _DEFAULT), None)
        self._who, self._name, self._rules, self._ordered = who, name, rules, ordered

    @classmethod
    def of(cls, conformance: "Conformance", definition: Definition, who: str) -> "Slicing | None":
        """None where nothing can be told apart."""
        told = definition.facts.get("slicing") or {}
        by = told.get("discriminator") or _implied(definition)
        if not by or not definition.slices:
            return None
        discriminators = [Discriminator(conformance, each) for each in by]
        slices = [Slice(conformance, name, each, discriminators, who) for name, each in definition.slices.items()]
        rules = "open" if told is SHORT_FORM else str(told.get("rules", "open"))  # the rule on types says it there
        return cls(slices, who, definition.name.removesuffix("[x]"), rules, told.get("ordered") is True)

    def judge(self, items: list[Item], where: Path, run: Run) -> None:
        """Sorts the items into slices, then asks how many there are, in which order, and what each must be."""
        sorted_: dict[str, list[Item]] = {each.name: [] for each in self.slices}
        last, stray = -1, False
        for item in items:
            seen: Seen = {}
            at = next((index for index, each in enumerate(self.slices) if each.takes(item, run, seen)), None)
            if at is None:
                stray = True
                self._unmatched(item, run)
                continue
            if self._ordered and at < last:
                run.say(
                    "error",
                    "structure",
                    item.path,
                    f"{self._who} wants '{self.slices[at].name}' earlier: put the items in its order.",
                )
            last = max(last, at)
            sorted_[self.slices[at].name].append(item)
            if self._rules == "openAtEnd" and stray:
                run.say(
                    "error",
                    "structure",
                    item.path,
                    f"{self._who} wants items of its own slices before all others: move this one up.",
                )
        for each in self.slices:
            self._judge_slice(each, sorted_[each.name], where, run)

    def _judge_slice(self, slice: Slice, items: list[Item], where: Path, run: Run) -> None:
        if len(items) < slice.min:
            run.say(
                "error",
                "required",
                where,
                f"{self._who} needs {_times(slice.min)} '{self._name}' of the slice '{slice.name}': add it.",
            )
        if slice.max is not None and len(items) > slice.max:
            allowed = f"at most {slice.max}" if slice.max else "no"
            run.say(
                "error",
                "structure",
                where,
                f"{self._who} allows {allowed} '{self._name}' of the slice '{slice.name}': there are {len(items)}.",
            )
        for item in items:
            slice._conformance.judge(slice.plan, item, run)
        if slice.plan.slicing is not None:
            slice.plan.slicing.judge(items, where, run)

    def _unmatched(self, item: Item, run: Run) -> None:
        if self._default is not None:
            self._default._conformance.judge(self._default.plan, item, run)
        elif self._rules == "closed":
            names = ", ".join(each.name for each in self.slices)
            run.say("error", "structure", item.path, f"This is of none of the slices that {self._who} allows here: {names}.")


def _implied(definition: Definition) -> list[dict[str, Any]]:
    if definition.name in ("extension", "modifierExtension"):
        return _BY_URL
    return _BY_TYPE if definition.name.endswith("[x]") else []


def _times(count: int) -> str:
    return "one" if count == 1 else str(count)

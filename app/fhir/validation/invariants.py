"""The invariants of R4, asked in FHIRPath of every object that carries them.

What must stay true: all are asked but those in `ELSEWHERE`, which say who asks them instead and which a test holds to exactly what is left out.
A rule is passed over only where its answer is known: it holds of an empty object, and none of the elements it speaks of is there.
"""

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from app.fhir.definitions import Definitions, Element, Invariant
from app.fhir.errors import FHIRError
from app.fhir.fhirpath import Environment, Node
from app.fhir.fhirpath import compile as compile_fhirpath
from app.fhir.fhirpath.code import Test
from app.fhir.fhirpath.environment import MAX_STEPS
from app.fhir.fhirpath.syntax import Call, Index, Member, Special, Syntax, Variable
from app.fhir.validation.compiler import Quiet, Rule
from app.fhir.validation.report import Path, Report

ELSEWHERE: Mapping[str, str] = {
    "dom-2": "structure validation refuses contained resources inside contained ones",
    "dom-3": "`referenced_from_somewhere` below: the published expression walks the whole resource once for each contained one",
    "ele-1": "structure validation refuses empty objects, nulls and companions without content, on every element",
    "ext-1": "structure validation refuses an extension with both a value and extensions, or neither",
    "ref-1": "`local_reference` below: the published expression forbids '#', with which a contained resource names its container",
    "txt-1": "`narrative.complaint` knows the elements and attributes that may be used; the expression is only a name for that",
    "txt-2": "`narrative.complaint` likewise",
}
# Not asked of contained resources, which are no documents of their own: their container has the narrative.
OUTERMOST = frozenset(["dom-6"])
# Where an empty answer is no breach: the expression compares what may be absent or not comparable.
UNKNOWN_PASSES: Mapping[str, str] = {
    "bdl-8": "asked of an entry without fullUrl",
    "per-1": "2020 and 2020-05 cannot be compared",
    "rng-2": "quantities in different units cannot be compared",
    "mdd-1": "dates of different precision cannot be compared",
    "ras-2": "asked of a prediction without probability",
}
# Expressions that cannot mean what they say: `Boolean` is the type of FHIRPath, the value has FHIR's `boolean` (R5 says `boolean`).
CORRECTED: Mapping[str, str] = {"que-7": "operator = 'exists' implies (answer is boolean)"}

_ERRORS = (FHIRError, AttributeError, TypeError, KeyError, ValueError, IndexError, ArithmeticError, RecursionError)
_WIDE = frozenset(["children", "descendants", "hasValue", "trace"])  # of the focus, they look at more than named elements


class Question:
    """One rule on one type. `heads`: JSON keys without any of which it holds; None where it must always be asked."""

    __slots__ = ("heads", "key", "passes_unknown", "sentence", "severity", "test")

    def __init__(self, definitions: Definitions, type_name: str, rule: Invariant) -> None:
        expression = compile_fhirpath(CORRECTED.get(rule.key, rule.expression))
        self.key = rule.key
        self.severity = rule.severity
        self.sentence = f"{_sentence(rule.human)} ({rule.key})."
        self.test: Test = expression.program(type_name).test
        self.passes_unknown = rule.key in UNKNOWN_PASSES
        self.heads = _heads(definitions, type_name, expression.tree, self.test)

    def answer(self, node: Node, env: Environment) -> bool | None:
        """Whether it holds; None where that cannot be told, because the content has not the shape or is too large."""
        if self.key in OUTERMOST and env.root is not env.resource:
            return True
        env.context = node
        env.steps = MAX_STEPS
        try:
            answer = self.test(node, env)
        except _ERRORS:
            return None
        return answer is True or (answer is None and self.passes_unknown)

    def ask(self, node: Node, env: Environment, path: Path, report: Report) -> None:
        """Reports a breach."""
        answer = self.answer(node, env)
        if answer is False:
            report.note(self.severity, "invariant", path, self.sentence)
        elif answer is None and not report.issues:  # where the structure is wrong, that has been said
            report.note(self.severity, "invariant", path, f"{self.sentence} The content does not let this be checked.")


def rules_of(definitions: Definitions, type_name: str, *, warnings: bool = True) -> Iterator[Rule]:
    """The rules of a type, and those that its elements carry in their own right. Without `warnings` only those that make a resource invalid."""

    def is_asked(rule: Invariant) -> bool:
        return rule.key not in ELSEWHERE and (warnings or rule.severity == "error")

    if "DomainResource" in definitions.ancestors(type_name):
        yield referenced_from_somewhere
    if type_name == "Reference":
        yield Quiet(local_reference, holds=_leads_out)
    asked = [Question(definitions, type_name, rule) for rule in definitions.invariants(type_name) if is_asked(rule)]
    if asked:
        yield _on_object(type_name, asked)
    for name, element in definitions.elements(type_name).items():
        if rules := [rule for rule in element.invariants if is_asked(rule)]:
            for key, kind in element.json_names.items():
                yield _on_element(definitions, name, key, kind, element, rules)


def _on_object(type_name: str, asked: list[Question]) -> Rule:
    def rule(value: Mapping[str, Any], path: Path, report: Report) -> None:
        assert report.scope is not None
        env, node = report.scope.env, None
        for question in asked:
            if question.heads is not None and question.heads.isdisjoint(value):
                continue
            if node is None:
                node = Node(value, type_name)
            question.ask(node, env, path, report)

    return rule


def _on_element(definitions: Definitions, name: str, key: str, kind: str, element: Element, rules: list[Invariant]) -> Rule:
    asked = [Question(definitions, kind, rule) for rule in rules]

    def rule(value: Mapping[str, Any], path: Path, report: Report) -> None:
        if key not in value:
            return
        assert report.scope is not None
        env, found = report.scope.env, value[key]
        for index, each in enumerate(found if type(found) is list else [found]):
            where = (path, name, index) if element.is_list else (path, name)
            node = Node(each, kind)
            for question in asked:
                question.ask(node, env, where, report)

    return Quiet(rule, frozenset([key]))


def referenced_from_somewhere(value: Mapping[str, Any], path: Path, report: Report) -> None:
    """dom-3: by the references met on the way, and only where those do not do by one walk for canonicals and links."""
    contained = value.get("contained")
    if type(contained) is not list or report.scope is None or report.scope.root is not value:
        return
    scope = report.scope
    try:
        for index, each in enumerate(contained):
            own = "#" + str(each.get("id"))
            if own not in scope.seen and own not in scope.local and not _points_to_container(each):
                report.add(
                    "invariant",
                    (path, "contained", index),
                    "Nothing in this resource refers to the contained one: refer to it with '#' and its id, or take it out (dom-3).",
                )
    except _ERRORS:
        return  # the structure is wrong, and that has been said


def _points_to_container(contained: Any) -> bool:
    from app.fhir.references import places

    return any(place.value == "#" for place in places(contained))


def local_reference(value: Mapping[str, Any], path: Path, report: Report) -> None:
    """ref-1."""
    reference = value.get("reference")
    if type(reference) is not str or reference[:1] != "#" or report.scope is None:
        return
    report.scope.seen.add(reference)
    if len(reference) > 1 and reference[1:] not in report.scope.contained_ids:
        report.add(
            "invariant", (path, "reference"), f"There is no contained resource with the id '{reference[1:65]}' here (ref-1)."
        )
    elif len(reference) == 1 and report.scope.root is report.scope.resource:
        report.add(
            "invariant", (path, "reference"), "'#' names the container, but this resource is not contained in another (ref-1)."
        )


def _leads_out(value: Mapping[str, Any]) -> bool:
    return "reference" not in value or value["reference"][:1] != "#"


def _sentence(human: str) -> str:
    return human.strip().rstrip(".")


def _heads(definitions: Definitions, type_name: str, tree: Syntax, test: Test) -> frozenset[str] | None:
    names: set[str] = set()
    if not _named(tree, names, True) or type_name in definitions.primitives:
        return None
    empty = Node({}, type_name)
    try:
        if test(empty, Environment(empty)) is not True:
            return None
    except _ERRORS:
        return None
    elements = definitions.elements(type_name)
    keys = {key for name in names if name in elements for key in elements[name].json_names}
    return frozenset(keys | {"_" + key for key in keys})


def _begins_with_element(tree: Syntax) -> bool:
    while isinstance(tree, Member | Call | Index):
        if tree.target is None:
            return isinstance(tree, Member)
        tree = tree.target
    return False


def _named(tree: Any, names: set[str], at_focus: bool) -> bool:
    """Gathers every member name of an expression; False where it looks at the focus or elsewhere without naming elements."""
    if isinstance(tree, Variable):
        return tree.name in ("ucum", "sct", "loinc")
    if isinstance(tree, Special):
        return not at_focus
    if isinstance(tree, Member):
        if tree.target is None:
            names.add(tree.name)
            return True
        if not _begins_with_element(tree.target):  # else it is there only where that element is
            names.add(tree.name)
    if isinstance(tree, Call) and tree.name in _WIDE and tree.target is None:
        return False
    if isinstance(tree, Call):
        inside = at_focus and tree.target is None
        if tree.target is not None and not _named(tree.target, names, at_focus):
            return False
        return all(_named(arg, names, inside) for arg in tree.args)
    parts = [getattr(tree, each.name) for each in fields(tree)] if is_dataclass(tree) else []
    return all(_named(part, names, at_focus) for part in parts)

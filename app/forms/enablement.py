"""Which items of a response count: `enableWhen` with every operator, any and all, and SDC's enableWhenExpression.

An item below a disabled one is disabled, and an answer of a disabled item counts as not given, so that a chain of conditions
falls as a whole when its first link does. A condition reads the answers nearest to it: in a repeating group, those of its own repetition.
"""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from app.fhir import ucum
from app.fhir.errors import FHIRError, TooCostly
from app.fhir.fhirpath import compile as fhirpath
from app.forms.items import EXPRESSION, Form, Item, answer_value, children_of, extension, form, same_coding

_DEEPEST = 60
Scope = Mapping[str, Any]  # the response, or a response item


def _equal(answer: Any, wanted: Any) -> bool:
    if isinstance(wanted, Mapping) and "code" in wanted and "value" not in wanted:
        return same_coding(answer, wanted)
    if isinstance(answer, Mapping) and isinstance(wanted, Mapping) and "value" in wanted:
        unit = all(answer.get(key) == wanted.get(key) for key in ("system", "code", "unit") if key in wanted and key in answer)
        return (unit and answer.get("value") == wanted["value"]) or _in_unit_of(wanted, answer) == wanted["value"]
    if isinstance(answer, Mapping) and isinstance(wanted, Mapping):
        return answer.get("reference") == wanted.get("reference")
    return isinstance(answer, bool) == isinstance(wanted, bool) and bool(answer == wanted)


def _in_unit_of(wanted: Mapping[str, Any], answer: Mapping[str, Any]) -> Decimal | None:
    """The value of a quantity in the unit of another; None where they do not measure the same thing."""
    value = answer.get("value")
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    return ucum.convert(value, *(str(each.get("code", each.get("unit"))) for each in (answer, wanted)))


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def test(answer: Any, wanted: Any) -> bool:
        if isinstance(answer, Mapping) and isinstance(wanted, Mapping):
            answer, wanted = _in_unit_of(wanted, answer), wanted.get("value")
        numbers = isinstance(answer, int | Decimal) and isinstance(wanted, int | Decimal)
        texts = isinstance(answer, str) and isinstance(wanted, str)
        return (numbers or texts) and compare(answer, wanted)

    return test


_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": _equal,
    "!=": lambda answer, wanted: not _equal(answer, wanted),
    ">": _ordered(lambda a, b: a > b),
    "<": _ordered(lambda a, b: a < b),
    ">=": _ordered(lambda a, b: a >= b),
    "<=": _ordered(lambda a, b: a <= b),
}


class Enablement:
    """Answers `enabled(item, scopes)` for one questionnaire and one response.

    `scopes` are the response itself and then the response items around the item, outermost first; a level that the response
    does not have is left out.
    """

    def __init__(self, form: Form, response: Mapping[str, Any], variables: Mapping[str, Any] | None = None) -> None:
        self._form, self._response = form, response
        self._variables = {"questionnaire": form.questionnaire, **(variables or {})}
        self._busy: set[str] = set()
        self._known: dict[tuple[str, tuple[int, ...]], bool] = {}
        self._below: dict[int, dict[str, list[Scope]]] = {}

    def __call__(self, item: Item, scopes: Sequence[Scope]) -> bool:
        if not item.conditional:
            return item.parent is None or self(item.parent, scopes)
        if item.link_id in self._busy:  # two items that wait for each other: neither is shown
            return False
        key = (item.link_id, tuple(map(id, scopes)))  # remembered, for else a ladder of conditions would double at each rung
        if len(self._busy) > _DEEPEST:
            raise TooCostly(f"The conditions of “{item.link_id}” depend on more than {_DEEPEST} others in a row.")
        if key not in self._known:
            self._busy.add(item.link_id)
            try:
                self._known[key] = self._own(item, scopes) and (item.parent is None or self(item.parent, scopes))
            finally:
                self._busy.discard(item.link_id)
        return self._known[key]

    def below(self, scope: Scope) -> dict[str, list[Scope]]:
        """The response items right below `scope` by linkId."""
        known = self._below.get(id(scope))
        if known is None:
            known = self._below[id(scope)] = {}
            for child in children_of(scope):
                known.setdefault(str(child.get("linkId", "")), []).append(child)
        return known

    def _own(self, item: Item, scopes: Sequence[Scope]) -> bool:
        expression = extension(item.json, EXPRESSION) if EXPRESSION in item.urls else None
        if expression:
            try:
                compiled = fhirpath(expression.get("expression", ""))
                return compiled.holds(self._response, variables=self._variables, root=self._response)
            except FHIRError:
                return False
        conditions = item.json.get("enableWhen") or ()
        if not conditions:
            return True
        results = (self._holds(item, condition, scopes) for condition in conditions)
        return all(results) if item.json.get("enableBehavior") == "all" else any(results)

    def _holds(self, item: Item, condition: Mapping[str, Any], scopes: Sequence[Scope]) -> bool:
        given = self._answers(item, str(condition.get("question")), scopes)
        operator = condition.get("operator")
        if operator == "exists":
            return bool(given) == bool(condition.get("answerBoolean"))
        wanted = next((value for key, value in condition.items() if key.startswith("answer")), None)
        test = _OPERATORS.get(str(operator))
        return test is not None and any(test(value, wanted) for value in given)

    def _answers(self, item: Item, question: str, scopes: Sequence[Scope]) -> list[Any]:
        """The answers of `question` within the innermost repetition that holds both it and `item`."""
        asked = self._form.by_link.get(question)
        if asked is None:
            return []
        around = {ancestor.link_id for ancestor in asked.ancestors()}
        common = [scope for scope in scopes if "linkId" not in scope or scope["linkId"] in around]
        found: list[Any] = []

        def gather(scope: Scope, chain: list[Scope]) -> None:
            below = self.below(scope)
            for child in below.get(question, ()):
                if self(asked, chain):
                    found.extend(answer_value(answer)[1] for answer in child.get("answer") or ())
            for link in around & below.keys():
                for child in below[link]:
                    gather(child, [*chain, child])

        gather(common[-1], list(common))
        return found


def enabled(questionnaire: Mapping[str, Any], response: Mapping[str, Any]) -> set[str]:
    """The linkIds of the items that count for this response. Of an item in a repeating group: in some repetition."""
    indexed = form(questionnaire)
    judge = Enablement(indexed, response)
    found: set[str] = set()

    def visit(items: Sequence[Item], scopes: list[Scope]) -> None:
        for item in items:
            if not judge(item, scopes):
                continue
            found.add(item.link_id)
            instances = [child for child in children_of(scopes[-1]) if child.get("linkId") == item.link_id]
            for around in [[*scopes, instance] for instance in instances] or [scopes]:
                visit(item.children, around)

    visit(indexed.roots, [response])
    return found


def without_disabled(questionnaire: Mapping[str, Any], response: Mapping[str, Any]) -> dict[str, Any]:
    """The response without items that do not count, and without groups that this leaves empty."""
    indexed = form(questionnaire)
    judge = Enablement(indexed, response)

    def keep(entries: Sequence[Mapping[str, Any]], scopes: list[Scope]) -> list[dict[str, Any]]:
        kept = []
        for entry in entries:
            item = indexed.by_link.get(str(entry.get("linkId")))
            if item is None or judge(item, scopes):
                copy = dict(entry)
                if "item" in entry:
                    copy["item"] = keep(entry["item"], [*scopes, entry])
                if "answer" in entry:
                    copy["answer"] = [
                        {**answer, "item": keep(answer["item"], [*scopes, entry])} if "item" in answer else answer
                        for answer in entry["answer"]
                    ]
                if copy.get("item") or copy.get("answer"):
                    kept.append({key: value for key, value in copy.items() if value != []})
        return kept

    return {**response, "item": keep(response.get("item") or (), [response])}

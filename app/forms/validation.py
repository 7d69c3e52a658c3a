"""Whether a response answers its questionnaire: every rule, all issues at once, each with its place and a sentence.

Strict for `completed` and `amended`; in a draft (`in-progress`, `stopped`) what is missing is only a warning, while what is wrong is
still an error. What enableWhen hides is neither required nor allowed. Structure (types, cardinalities of R4) is judged elsewhere.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from app.fhir.errors import FHIRError, Issue
from app.forms import answers as rules
from app.forms.answers import Options
from app.forms.enablement import Enablement, Scope
from app.forms.expressions import CALCULATED, CONSTRAINTS, Expressions, Variables
from app.forms.items import CORE, Form, Item, ItemIssue, answer_value, extension, extensions, form, part, same_coding

DRAFTS = ("in-progress", "stopped")
LEAST, MOST = f"{CORE}questionnaire-minOccurs", f"{CORE}questionnaire-maxOccurs"


def validate_response(
    questionnaire: Mapping[str, Any], response: Mapping[str, Any], *, options: Options | None = None
) -> list[Issue]:
    """All issues of `response`; empty is good.

    `options(url)` gives the codings of a value set, or None where it is not known: then any coding is taken, with a warning. Without it nobody
    knows value sets, and they are passed over. Every issue that concerns an
    item is an `ItemIssue`. Raises Invalid where the questionnaire itself is broken.
    """
    if response.get("status") == "entered-in-error":
        return []
    return list(_Validation(form(questionnaire), response, options).run())


class _Validation:
    def __init__(self, form: Form, response: Mapping[str, Any], options: Options | None) -> None:
        self.form, self.response, self.options = form, response, options
        self.enabled = Enablement(form, response)
        self.draft = response.get("status") in DRAFTS
        self.unjudged: list[ItemIssue] = []
        self.expressions = Expressions(response, self._failed)

    def run(self) -> Iterator[Issue]:
        yield from self._source()
        source = self.form.questionnaire
        variables = self.expressions.variables(source, self.response, {"questionnaire": source})
        yield from self._level(self.form.roots, self.response, "QuestionnaireResponse", [self.response], variables)
        yield from self._constraints(source, self.response, "QuestionnaireResponse", "", variables)
        yield from self.unjudged

    def _failed(self, error: FHIRError, link_id: str) -> None:
        text = f"A rule of the questionnaire could not be judged: {error}"
        told = ItemIssue("warning", "exception", text, "QuestionnaireResponse", None, None, link_id, "invariantExecution")
        if told not in self.unjudged:
            self.unjudged.append(told)

    def _source(self) -> Iterator[Issue]:
        url, named = self.form.questionnaire.get("url"), str(self.response.get("questionnaire", "")).partition("|")
        version = self.form.questionnaire.get("version")
        if (named[0] and url and named[0] != url) or (named[2] and version and named[2] != version):
            place = "QuestionnaireResponse.questionnaire"
            yield Issue("error", "not-found", f"The response is to {named[0]}, not to {url}|{version}.", place)
        place, status = "QuestionnaireResponse.questionnaire", self.form.questionnaire.get("status")
        if status in ("draft", "retired"):
            rule = f"questionnaire{str(status).capitalize()}"
            yield ItemIssue("warning", "business-rule", f"The questionnaire has the status {status}.", place, rule=rule)
        period = self.form.questionnaire.get("effectivePeriod") or {}
        authored = str(self.response.get("authored", ""))
        for limit, out in (
            ("start", authored < str(period.get("start", ""))[: len(authored)]),
            ("end", authored[: len(str(period.get("end", "")))] > str(period.get("end", "9"))),
        ):
            if authored and limit in period and out:
                yield ItemIssue(
                    "warning",
                    "business-rule",
                    "The questionnaire was not in use on that day.",
                    place,
                    rule="questionnaireInactive",
                )

    def _level(
        self, items: Sequence[Item], entry: Mapping[str, Any], path: str, scopes: list[Scope], variables: Variables
    ) -> Iterator[Issue]:
        """The items below one place: the response, a response item, or an answer."""
        known = {item.link_id: item for item in items}
        present: dict[str, list[tuple[str, Mapping[str, Any]]]] = {}
        for index, child in enumerate(entry.get("item") or ()):
            here, link_id = f"{path}.item[{index}]", str(child.get("linkId", ""))
            if link_id in known:
                present.setdefault(link_id, []).append((here, child))
            elif link_id in self.form.by_link:
                yield ItemIssue(
                    "error",
                    "structure",
                    f"“{link_id}” does not belong here.",
                    f"{here}.linkId",
                    None,
                    None,
                    link_id,
                    "invalidLinkId",
                )
            else:
                text = f"The questionnaire has no item “{link_id}”."
                yield ItemIssue("error", "not-found", text, f"{here}.linkId", None, None, link_id, "invalidLinkId")
        for item in items:
            yield from self._item(item, present.get(item.link_id, []), path, scopes, variables)

    def _item(
        self, item: Item, found: Sequence[tuple[str, Mapping[str, Any]]], path: str, scopes: list[Scope], variables: Variables
    ) -> Iterator[Issue]:
        if not self.enabled(item, scopes):
            for here, child in found:
                if child.get("answer") or child.get("item"):
                    sentence = f"“{item.label}” is not asked, given the other answers. Leave it out."
                    yield self._issue(item, rules.Broken("notEnabled", "business-rule", sentence), here)
            return
        if item.type == "display":
            for here, child in found:
                if child.get("answer"):
                    yield self._issue(item, rules.Broken("displayAnswer", "structure", "A display item takes no answer."), here)
            return
        if not found and item.type == "group" and item.json.get("required"):
            missing = list(self._level(item.children, {}, path, scopes, variables))
            if missing:  # say what is missing in it, rather than that it is
                yield from missing
                return
        yield from self._counts(item, found, path)
        for here, child in found:
            within = [*scopes, child]
            known = variables
            if item.urls:
                known = self.expressions.variables(item.json, child, {**variables, "qitem": item.json})
            if item.type == "group":
                if child.get("answer"):
                    broken = rules.Broken(
                        "groupShouldNotHaveAnswers", "structure", f"“{item.label}” is a group and takes no answer."
                    )
                    yield self._issue(item, broken, f"{here}.answer")
                yield from self._level(item.children, child, here, within, known)
            else:
                if child.get("item"):
                    broken = rules.Broken("invalidLinkId", "structure", "Items below a question belong to its answer.")
                    yield self._issue(item, broken, f"{here}.item")
                for number, answer in enumerate(child.get("answer") or ()):
                    yield from self._answer(item, answer, f"{here}.answer[{number}]", child, known)
                    yield from self._level(item.children, answer, f"{here}.answer[{number}]", within, known)
                yield from self._calculation(item, child, here, known)
            if not item.urls.isdisjoint(CONSTRAINTS):
                yield from self._constraints(item.json, child, here, item.link_id, known)

    def _counts(self, item: Item, found: Sequence[tuple[str, Mapping[str, Any]]], path: str) -> Iterator[Issue]:
        answered = [a for _, child in found for a in child.get("answer") or () if not rules.is_blank(*answer_value(a))]
        count = len([1 for _, child in found if child.get("item")]) if item.type == "group" else len(answered)
        place = found[0][0] if found else path
        least, most = (extension(item.json, url) if url in item.urls else None for url in (LEAST, MOST))
        if item.json.get("required") and not count:
            yield self._issue(item, rules.Broken("required", "required", f"“{item.label}” needs an answer."), place, missing=True)
        elif isinstance(least, int) and count < least:
            broken = rules.Broken("minCount", "required", f"“{item.label}” needs at least {least} answers.")
            yield self._issue(item, broken, place, missing=True)
        if isinstance(most, int) and count > most:
            yield self._issue(
                item, rules.Broken("maxCount", "business-rule", f"“{item.label}” takes at most {most} answers."), place
            )
        if (count > 1 and not item.repeats) or (len(found) > 1 and not (item.repeats and item.type == "group")):
            yield self._issue(item, rules.Broken("repeats", "business-rule", f"“{item.label}” takes one answer."), found[-1][0])
        if count < 2:
            return
        options = item.json.get("answerOption") or ()
        exclusive = [answer_value(option)[1] for option in options if extension(option, f"{CORE}questionnaire-optionExclusive")]
        values = [answer_value(answer)[1] for answer in answered]
        if any(value == one or same_coding(value, one) for value in values for one in exclusive):
            sentence = f"“{item.label}”: one of the chosen answers excludes all others."
            yield self._issue(item, rules.Broken("exclusiveAnswerOption", "business-rule", sentence), place)

    def _answer(
        self, item: Item, answer: Mapping[str, Any], path: str, child: Mapping[str, Any], variables: Variables
    ) -> Iterator[Issue]:
        key, value = answer_value(answer)
        if rules.is_blank(key, value):
            yield self._issue(item, rules.Broken("invalidAnswerType", "structure", f"“{item.label}” has an empty answer."), path)
            return
        place = f"{path}.value"
        if broken := rules.type_of_answer(item, key, value):
            yield self._issue(item, broken, place)
            return
        if broken := rules.choice(item, key, value, self.form.questionnaire, self.options):
            yield self._issue(item, broken, place)
        worked_out = partial(self.expressions.evaluate, focus=child, variables=variables, link_id=item.link_id)
        for broken in rules.limits(item, value, self.options, lambda expression: worked_out(expression) or []):
            yield self._issue(item, broken, place)
        initial = item.json.get("initial") if item.json.get("readOnly") else None
        if initial and all(answer_value(given)[1] != value for given in initial):
            broken = rules.Broken("readOnly", "business-rule", f"“{item.label}” cannot be changed.")
            yield self._issue(item, broken, place)

    def _calculation(self, item: Item, child: Mapping[str, Any], path: str, variables: Variables) -> Iterator[Issue]:
        """What nobody may change must be what the questionnaire works out; what may be changed need not."""
        if CALCULATED not in item.urls or not item.json.get("readOnly"):
            return
        expression = extension(item.json, CALCULATED)
        results = self.expressions.evaluate(expression, child, variables, item.link_id)
        given = [answer_value(answer)[1] for answer in child.get("answer") or ()]
        if results and given and not any(value == one or same_coding(value, one) for value in given for one in results):
            sentence = f"“{item.label}” is worked out from other answers and comes to something else."
            yield self._issue(item, rules.Broken("calculatedExpression", "business-rule", sentence), path)

    def _constraints(
        self, element: Mapping[str, Any], entry: Mapping[str, Any], path: str, link_id: str, variables: Variables
    ) -> Iterator[Issue]:
        """Rules that the questionnaire states in FHIRPath, over one item or the whole response."""
        for constraint in (each for url in CONSTRAINTS for each in extensions(element, url)):
            human = str(part(constraint, "human") or "")
            severity = "warning" if part(constraint, "severity") == "warning" or self.draft else "error"
            held = self.expressions.evaluate(part(constraint, "expression") or "", entry, variables, link_id)
            if held and held[0] is False:
                place = str(part(constraint, "location") or "") or link_id
                yield ItemIssue(severity, "invariant", human, path, None, None, place, "invariant")

    def _issue(self, item: Item, broken: rules.Broken, path: str, *, missing: bool = False) -> ItemIssue:
        severity = "warning" if missing and self.draft else broken.severity
        return ItemIssue(severity, broken.code, broken.sentence, path, None, None, item.link_id, broken.rule)

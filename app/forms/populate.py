"""SDC populate: a response that already holds what the server knows.

`initial` values first, then `initialExpression` in FHIRPath over the launch contexts (`%patient`, `%encounter`, ...). What cannot be
worked out is left for the person to answer, and an issue says so; several results for an item that does not repeat populate
nothing. Nothing is read from anywhere: the caller hands over only what its user may see.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from app import clock
from app.fhir.errors import FHIRError, Issue
from app.fhir.fhirpath import compile as fhirpath
from app.forms.items import SDC, VALUE_KEYS, Item, ItemIssue, answer_value, extension, extensions, form

_INITIAL = f"{SDC}sdc-questionnaire-initialExpression"
_CONTEXT = f"{SDC}sdc-questionnaire-itemPopulationContext"
_VARIABLE = "http://hl7.org/fhir/StructureDefinition/variable"


def populate(questionnaire: Mapping[str, Any], launch: Mapping[str, Any], *, issues: list[Issue] | None = None) -> dict[str, Any]:
    """A response with status `in-progress`. `launch` maps names of launch contexts to resources (or lists of them).

    What could not be populated is told in `issues`, where a list is given. Raises Invalid where the questionnaire itself is broken.
    """
    url, version = questionnaire.get("url"), questionnaire.get("version")
    response: dict[str, Any] = {"resourceType": "QuestionnaireResponse", "status": "in-progress"}
    if url:
        response["questionnaire"] = f"{url}|{version}" if version else url
    patient, encounter = launch.get("patient"), launch.get("encounter")
    if isinstance(patient, Mapping) and patient.get("id"):
        response["subject"] = {"reference": f"Patient/{patient['id']}"}
    if isinstance(encounter, Mapping) and encounter.get("id"):
        response["encounter"] = {"reference": f"Encounter/{encounter['id']}"}
    response["authored"] = clock.now().astimezone(clock.LONDON).isoformat(timespec="seconds")
    population = _Population(response, launch, [] if issues is None else issues)
    variables = population.variables(questionnaire, {"resource": response, "questionnaire": questionnaire, **launch})
    items = [made for item in form(questionnaire).roots for made in population.item(item, variables)]
    return {**response, "item": items} if items else response


class _Population:
    def __init__(self, response: Mapping[str, Any], launch: Mapping[str, Any], issues: list[Issue]) -> None:
        self.response, self.launch, self.issues = response, launch, issues

    def evaluate(self, expression: Any, variables: Mapping[str, Any], link_id: str) -> list[Any]:
        """The results of one Expression; none, and an issue, where it fails or needs a context that is not there."""
        try:
            return fhirpath(str(expression.get("expression", ""))).evaluate(
                self.response, variables=variables, root=self.response
            )
        except FHIRError as error:
            self.issues.append(
                ItemIssue("information", "incomplete", str(error), None, None, None, link_id, "invariantExecution")
            )
            return []

    def variables(self, element: Mapping[str, Any], known: dict[str, Any]) -> dict[str, Any]:
        """`known` with the variables that `element` declares, in their order."""
        for declared in extensions(element, _VARIABLE):
            if isinstance(declared, Mapping) and declared.get("name"):
                known = {**known, declared["name"]: self.evaluate(declared, known, str(element.get("linkId", "")))}
        return known

    def item(self, item: Item, variables: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The response items for one item: none, one, or for a repeating group one for each member of its population context."""
        variables = self.variables(item.json, variables)
        context = extension(item.json, _CONTEXT)
        if context and context.get("name"):
            for member in self.evaluate(context, variables, item.link_id):
                yield from self._one(item, {**variables, context["name"]: member})
        else:
            yield from self._one(item, variables)

    def _one(self, item: Item, variables: dict[str, Any]) -> Iterator[dict[str, Any]]:
        answers = [] if item.type in ("group", "display") else self._answers(item, variables)
        below = [made for child in item.children for made in self.item(child, variables)]
        if item.type == "group" and below:
            yield {"linkId": item.link_id, **_text(item), "item": below}
        elif answers:
            if below:
                answers[0] = {**answers[0], "item": below}
            yield {"linkId": item.link_id, **_text(item), "answer": answers}

    def _answers(self, item: Item, variables: Mapping[str, Any]) -> list[dict[str, Any]]:
        given = [{key: value} for key, value in map(answer_value, item.json.get("initial") or ()) if key]
        given = given or [
            {key: value}
            for option in item.json.get("answerOption") or ()
            if option.get("initialSelected")
            for key, value in [answer_value(option)]
        ]
        expression = extension(item.json, _INITIAL)
        if expression:
            results = self.evaluate(expression, variables, item.link_id)
            answers = [answer for result in results if (answer := _answer(item, result)) is not None]
            if len(answers) > 1 and not item.repeats:
                text = f"“{item.label}” could be {len(answers)} things and was left open."
                self.issues.append(ItemIssue("warning", "multiple-matches", text, None, None, None, item.link_id, "repeats"))
                answers = []
            given = answers or given
        return given


def _text(item: Item) -> dict[str, Any]:
    return {"text": item.json["text"]} if "text" in item.json else {}


def _answer(item: Item, result: Any) -> dict[str, Any] | None:
    """A FHIRPath result as an answer of the item's type; None where it is of another."""
    key = VALUE_KEYS.get(item.type)
    if key is None or result is None:
        return None
    if key == "valueCoding":
        return _coded(item, result)
    if key == "valueQuantity" and not isinstance(result, Mapping):
        return {key: {"value": result}}
    if key == "valueInteger":
        whole = not isinstance(result, Mapping | str | bool) and result == int(result)
        return {key: int(result)} if whole else None
    if key == "valueDate" and isinstance(result, str):
        return {key: result[:10]}
    texts = ("valueString", "valueUri", "valueDateTime", "valueTime")
    fits = {"valueBoolean": bool, "valueReference": Mapping, "valueAttachment": Mapping}.get(key, str if key in texts else object)
    return {key: result} if isinstance(result, fits) and not (key == "valueDecimal" and isinstance(result, str | bool)) else None


def _coded(item: Item, result: Any) -> dict[str, Any] | None:
    code = result.get("code") if isinstance(result, Mapping) else result
    offered: Sequence[Mapping[str, Any]] = item.json.get("answerOption") or ()
    for option in offered:
        key, value = answer_value(option)
        if value == result or (isinstance(value, Mapping) and value.get("code") == code):
            return {key: value}
    if item.type == "open-choice" and isinstance(result, str):
        return {"valueString": result}
    return {"valueCoding": dict(result)} if isinstance(result, Mapping) and not offered else None

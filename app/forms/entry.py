"""A response from plain values by linkId: how a page, an importer or a test fills in a questionnaire.

For questionnaires without repeating groups, which is what people are given to fill in here. A choice takes the code of one of
its options; everything else takes the value as it is. Items keep the questionnaire's order, so a response made here is always well nested.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from app.fhir.errors import Invalid, Issue
from app.forms.enablement import without_disabled
from app.forms.items import VALUE_KEYS, Item, ItemIssue, answer_value, form


def respond(
    questionnaire: Mapping[str, Any], values: Mapping[str, Any], *, status: str = "completed", **elements: Any
) -> dict[str, Any]:
    """A QuestionnaireResponse from `{linkId: value, or list of values}`; None and empty lists are left out.

    What the other answers disable is dropped. `elements` are further elements of the response (`subject`, `authored`, ...).
    Raises Invalid with an ItemIssue for each unknown linkId and each code that an item does not offer.
    """
    indexed = form(questionnaire)
    issues: list[Issue] = [
        ItemIssue("error", "not-found", f"The questionnaire has no item “{link}”.", None, None, None, link, "invalidLinkId")
        for link in values
        if link not in indexed.by_link
    ]

    def level(items: Sequence[Item]) -> list[dict[str, Any]]:
        made = []
        for item in items:
            entry: dict[str, Any] = {"linkId": item.link_id}
            if "text" in item.json:
                entry["text"] = item.json["text"]
            given = values.get(item.link_id)
            listed = given if isinstance(given, list | tuple) else [] if given is None else [given]
            answers = [answer for value in listed if (answer := _answer(item, value, issues)) is not None]
            below = level(item.children)
            if item.type == "group" and below:
                made.append({**entry, "item": below})
            elif answers:
                if below:
                    answers[0] = {**answers[0], "item": below}
                made.append({**entry, "answer": answers})
        return made

    items = level(indexed.roots)
    if issues:
        raise Invalid(issues=issues)
    url, version = questionnaire.get("url"), questionnaire.get("version")
    response = {
        "resourceType": "QuestionnaireResponse",
        **({"questionnaire": f"{url}|{version}" if version else url} if url else {}),
        "status": status,
        **elements,
        "item": items,
    }
    kept = without_disabled(questionnaire, response)
    return kept if kept.get("item") else {key: value for key, value in kept.items() if key != "item"}


def _answer(item: Item, value: Any, issues: list[Issue]) -> dict[str, Any] | None:
    key = VALUE_KEYS.get(item.type)
    if key is None:
        text = f"“{item.label}” takes no answer."
        issues.append(ItemIssue("error", "structure", text, None, None, None, item.link_id, "groupShouldNotHaveAnswers"))
        return None
    if key == "valueCoding" and isinstance(value, str):
        for option in item.json.get("answerOption") or ():
            name, offered = answer_value(option)
            if offered == value or (isinstance(offered, Mapping) and offered.get("code") == value):
                return {name: offered}
        if item.type == "open-choice":
            return {"valueString": value}
        text = f"“{item.label}” does not offer this answer. Choose one of those listed."
        issues.append(ItemIssue("error", "code-invalid", text, None, None, None, item.link_id, "invalidAnswerOption"))
        return None
    return {key: value}

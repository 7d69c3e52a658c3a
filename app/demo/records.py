"""The operative records that the simulated surgeons complete: a real QuestionnaireResponse for each, built on the shipped Questionnaire.

What the truth knows is answered from it; any other question that must be answered gets its first option, or plain words.
"""

from collections.abc import Mapping
from datetime import date
from functools import cache
from typing import Any

from app.content import PROFILES
from app.demo.nation import Child, Operation
from app.fhir import codec
from app.registry.operations import operation as row_of
from app.registry.operations import plain_code

SEVERITY_ITEM = {
    "oesophageal-atresia": "gross-type",
    "gastroschisis": "kind",
    "congenital-diaphragmatic-hernia": "defect",
    "hirschsprungs-disease": "aganglionosis",
    "necrotising-enterocolitis": "extent",
    "posterior-urethral-valves": "presentation",
}


@cache
def questionnaire(condition: str) -> dict[str, Any]:
    """The operative record of a condition, as shipped."""
    return codec.decode((PROFILES / "questionnaires" / f"operative-record-{condition}.json").read_bytes())


def records(child: Child) -> list[tuple[str, dict[str, Any]]]:
    """(business identifier, completed QuestionnaireResponse) of each recorded operation, without subject."""
    recorded = [operation for operation in child.operations if operation.recorded]
    return [(f"{child.mrn}R{number}", _record(child, operation)) for number, operation in enumerate(recorded, 1)]


def _record(child: Child, operation: Operation) -> dict[str, Any]:
    form = questionnaire(child.condition)
    return {
        "resourceType": "QuestionnaireResponse",
        "questionnaire": f"{form['url']}|{form['version']}",
        "status": "completed",
        "authored": f"{operation.on.isoformat()}T16:00:00Z",
        "item": _items(form["item"], _wanted(child, operation), {}),
    }


def _wanted(child: Child, operation: Operation) -> dict[str, Any]:
    """What the truth says, by linkId: a code, text, number or boolean."""
    size, urgency = operation.kind.split("-")
    wanted: dict[str, Any] = {
        "performed": f"{operation.on.isoformat()}T{9 + child.number % 8:02d}:30:00Z",
        "urgency": urgency,
        "first-operation": operation.index,
        "procedure": _procedure(child.condition, operation),
        "procedure-other": "Another operation for the condition",
        "procedure-size": size,
        "implants": False,
        "complication": False,
        "blood-loss": 5,
    }
    if operation.index:
        wanted |= {
            "gestation": int(child.gestation),
            "birth-weight": child.weight,
            "antenatal-diagnosis": _yes(child.antenatal),
            "major-cardiac-anomaly": _yes(child.cardiac),
            "chromosomal-anomaly": _yes(child.chromosomal),
            "other-anomaly": _yes(child.other_anomaly),
        }
    long_gap = child.severity.code == "oa-long-gap"
    wanted[SEVERITY_ITEM[child.condition]] = "oa-type-a" if long_gap else child.severity.code
    wanted["gap"] = "gap-long" if long_gap else "gap-short"
    return wanted


def _procedure(condition: str, operation: Operation) -> str:
    """The option for the operation's code, or its category, of the right size; else "other"."""
    item = next(i for i in _flat(questionnaire(condition)["item"]) if i["linkId"] == "procedure")
    options = {plain_code(option["valueCoding"]["code"]): option["valueCoding"]["code"] for option in item["answerOption"]}
    for code in (operation.opcs, operation.opcs[:3]):
        if code in options and (row_of(code) or {}).get("size") == operation.kind.partition("-")[0]:
            return options[code]
    return "other"


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _flat(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [each for item in items for each in (item, *_flat(item.get("item", [])))]


def _items(items: list[dict[str, Any]], wanted: Mapping[str, Any], given: dict[str, Any]) -> list[dict[str, Any]]:
    """Response items for what is enabled and wanted or required. `given` collects the answers, for `enableWhen`."""
    found = []
    for item in items:
        if item["type"] == "display" or not _enabled(item, given):
            continue
        entry: dict[str, Any] = {"linkId": item["linkId"]}
        if item["type"] != "group":
            if item["linkId"] not in wanted and not item.get("required"):
                continue
            answer = _answer(item, wanted.get(item["linkId"]))
            given[item["linkId"]] = next(iter(answer.values()))
            entry["answer"] = [answer]
        below = _items(item.get("item", []), wanted, given)
        if item["type"] == "group":
            if not below:
                continue
            entry["item"] = below
        elif below:
            entry["answer"][0]["item"] = below
        found.append(entry)
    return found


def _enabled(item: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
    """`enableWhen`, as far as these Questionnaires use it."""
    tests = [_holds(when, given.get(when["question"])) for when in item.get("enableWhen", ())]
    return not tests or (all(tests) if item.get("enableBehavior") == "all" else any(tests))


def _holds(when: Mapping[str, Any], value: Any) -> bool:
    expected = next(v for key, v in when.items() if key.startswith("answer"))
    if when["operator"] == "exists":
        return (value is not None) == expected
    if isinstance(expected, Mapping):
        same = isinstance(value, Mapping) and value.get("code") == expected["code"]
    else:
        same = value == expected
    return same if when["operator"] == "=" else not same


def _answer(item: Mapping[str, Any], value: Any) -> dict[str, Any]:
    kind = item["type"]
    if kind in ("choice", "open-choice"):
        codings = [option["valueCoding"] for option in item["answerOption"]]
        chosen = next((coding for coding in codings if coding["code"] == value), codings[0])
        return {"valueCoding": {k: v for k, v in chosen.items() if k != "extension"}}
    if kind == "boolean":
        return {"valueBoolean": bool(value)}
    if kind == "integer":
        return {"valueInteger": int(value or 0)}
    if kind == "decimal":
        return {"valueDecimal": value or 0}
    if kind == "dateTime":
        return {"valueDateTime": value}
    if kind == "date":
        return {"valueDate": (value or date.today()).isoformat()}  # noqa: DTZ011 - no such item is required
    return {"valueString": value or "As usual (simulated)."}

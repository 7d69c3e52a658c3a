"""The operative records that the simulated surgeons complete: a real QuestionnaireResponse for each, built on the shipped Questionnaire.

What the truth knows is answered from it; any other question that must be answered gets its first option, or plain words.
"""

from functools import cache
from typing import Any

from app.content import PROFILES
from app.demo.nation import Child, Operation
from app.fhir import codec
from app.forms.entry import respond
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
    wanted = _wanted(child, operation)
    values = {}
    for item in _flat(form["item"]):
        if item["linkId"] in wanted:
            values[item["linkId"]] = wanted[item["linkId"]]
        elif item.get("required") and item["type"] != "group":
            values[item["linkId"]] = _usual(item)
    return respond(form, values, authored=f"{operation.on.isoformat()}T16:00:00Z")


def _usual(item: dict[str, Any]) -> Any:
    """An answer to a question of which the truth knows nothing."""
    if options := item.get("answerOption"):
        return options[0]["valueCoding"]["code"]
    return {"boolean": False, "integer": 0, "decimal": 0}.get(item["type"], "As usual (simulated).")


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

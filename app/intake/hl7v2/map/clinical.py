"""DG1 to Condition and PR1 to Procedure, each within its visit.

A diagnosis is known by visit and code, an operation by visit, code and day: so a repeat, a snapshot and a replay replace instead of adding.
A list that leaves an entry out does not delete it (many senders send only what is new); an action code D does.
"""

from collections import Counter
from typing import Any

from app import ids
from app.intake.hl7v2.ack import REQUIRED_FIELD, Problem
from app.intake.hl7v2.er7 import Segment
from app.intake.hl7v2.map import datatypes
from app.intake.hl7v2.map.context import Context, Unmappable
from app.intake.hl7v2.map.slots import Build, Slots, Values, plain, put
from app.intake.hl7v2.map.tables import codes, table

CLINICAL = "http://terminology.hl7.org/CodeSystem/condition-clinical"
VERIFICATION = "http://terminology.hl7.org/CodeSystem/condition-ver-status"
CATEGORY = "http://terminology.hl7.org/CodeSystem/condition-category"


def conditions(context: Context, scope: str) -> dict[str, Slots]:
    """Condition id -> slots. `scope` is the Encounter's id, or what stands for the child where there is none."""
    found: dict[str, Slots] = {}
    for dg1 in context.message.all("DG1"):
        concept = _concept(context, dg1, 3)
        if concept is None:
            continue
        said: Slots = {"code": (context.stamp(), concept)}
        onset = context.time(dg1, 5)
        context.say(said, "onset", dg1, 5, onset.text if onset else None)
        context.say(said, "status/type", dg1, 6, dg1.value(6).upper()[:1])
        said["status/deleted"] = (context.stamp(), dg1.value(21).upper() == "D")
        recorded = context.time(dg1, 19)
        context.say(said, "recorded", dg1, 19, recorded.text if recorded else None)
        found[ids.derived_id("Condition", scope, _key(concept))] = said
    return found


def procedures(context: Context, scope: str, today: str) -> dict[str, Slots]:
    """Procedure id -> slots. `today` is the day of the event: an operation after it is planned, not done."""
    found: dict[str, Slots] = {}
    seen: Counter[str] = Counter()
    for pr1 in context.message.all("PR1"):
        concept = _concept(context, pr1, 3)
        if concept is None:
            continue
        performed = context.time(pr1, 5)
        day = performed.day if performed else ""
        key = f"{_key(concept)}|{day}"
        seen[key] += 1
        said: Slots = {"code": (context.stamp(), concept)}
        context.say(said, "performed", pr1, 5, performed.text if performed else None)
        deleted = pr1.value(20).upper() == "D"
        said["status"] = (context.stamp(), "entered-in-error" if deleted else "preparation" if day > today else "completed")
        surgeons = [person for number in (11, 12) for person in map(datatypes.clinician, pr1.repeats(number)) if person]
        context.say(said, "performer", pr1, 11, [{"actor": person} for person in surgeons])
        found[ids.derived_id("Procedure", scope, key, str(seen[key]))] = said
    return found


def _concept(context: Context, segment: Segment, field: int) -> dict[str, Any] | None:
    where = f"{segment.name}-{field}"
    default = "" if segment.value(field, 3) else table("code-systems")["default"][segment.name]
    concept, known = datatypes.coded(segment, field, default)
    if concept is None:
        words = datatypes.text(segment.value(4))  # the description, where a sender has no code
        if not words:
            raise Unmappable(Problem(f"{segment.name} has neither a code nor a description", where, REQUIRED_FIELD))
        concept, known = {"text": words}, False
    if not known:
        context.doubt("This coding system is not in the map; the code is kept with its text", where)
    return concept


def _key(concept: dict[str, Any]) -> str:
    coding = next(iter(concept.get("coding", ())), None)
    return f"{coding.get('system', '')}|{coding['code']}" if coding else concept["text"]


# ---- slots to elements ----------------------------------------------------------------------------------------------


def _build_status(resource: dict[str, Any], values: Values) -> None:
    if values.get("deleted"):
        resource.pop("clinicalStatus", None)
        resource["verificationStatus"] = {"coding": [{"system": VERIFICATION, "code": "entered-in-error"}]}
        return
    resource["clinicalStatus"] = {"coding": [{"system": CLINICAL, "code": "active"}]}
    code = codes("diagnosis-type").get(values.get("type") or "")
    put(resource, "verificationStatus", {"coding": [{"system": VERIFICATION, "code": code}]} if code else None)


def _build_performed(resource: dict[str, Any], values: Values) -> None:
    put(resource, "performedDateTime", values.get(""))


CONDITION: dict[str, Build] = {
    "code": plain("code"),
    "onset": plain("onsetDateTime"),
    "recorded": plain("recordedDate"),
    "status": _build_status,
}
PROCEDURE: dict[str, Build] = {
    "code": plain("code"),
    "performed": _build_performed,
    "status": plain("status"),
    "performer": plain("performer"),
}


def condition_skeleton() -> dict[str, Any]:
    return {"resourceType": "Condition", "category": [{"coding": [{"system": CATEGORY, "code": "encounter-diagnosis"}]}]}


def procedure_skeleton() -> dict[str, Any]:
    return {"resourceType": "Procedure", "status": "unknown"}

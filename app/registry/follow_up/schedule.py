"""When a parent is asked: a PlanDefinition's time points become one CarePlan and a Task for each point. Pure.

Ids are derived from the case, so making the schedule again finds the same Tasks. What has been asked already is never made anew.
"""

from calendar import monthrange
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from functools import cache
from typing import Any

import msgspec

from app import names
from app.clock import LONDON, micros
from app.content import PROFILES
from app.fhir import codec
from app.ids import derived_id
from app.store.protocol import Put, PutRecord, Record, Write

REMINDER = f"{names.CSOR}/StructureDefinition/reminder-after-days"
TIME_POINT = f"{names.CSOR}/CodeSystem/time-point"
TASK_CODE = {"coding": [{"system": f"{names.CSOR}/CodeSystem/task", "code": "parent-follow-up"}]}
QUESTIONNAIRE_INPUT = {
    "coding": [{"system": "http://hl7.org/fhir/uv/sdc/CodeSystem/temp", "code": "questionnaire"}],
    "text": "Questionnaire to be answered",
}


@dataclass(frozen=True, slots=True)
class TimePoint:
    """One time point: its window in months after the first operation, and the days after which a reminder goes out."""

    id: str
    title: str
    opens: int
    closes: int
    questionnaire: str
    reminders: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Schedule:
    url: str
    version: str
    points: tuple[TimePoint, ...]


class Invitation(msgspec.Struct, frozen=True):
    """What the sender must know of one Task: the body of the Record of kind `invitation`, whose key is the Task's id."""

    patient: str
    case: str
    point: str
    questionnaire: str
    closes: int  # microseconds
    sent: int = 0  # letters so far
    reminders: tuple[int, ...] = ()  # days between letters still to come


@cache
def schedule(path: str = "follow-up-demonstration.json") -> Schedule:
    """The shipped demonstration schedule, or another PlanDefinition of the same shape in `profiles/plans/`."""
    return read_schedule(codec.decode((PROFILES / "plans" / path).read_bytes()))


def read_schedule(plan: Mapping[str, Any]) -> Schedule:
    """A PlanDefinition as a schedule."""
    points = tuple(
        TimePoint(
            id=action["id"],
            title=action["title"],
            opens=int(action["timingRange"]["low"]["value"]),
            closes=int(action["timingRange"]["high"]["value"]),
            questionnaire=action["definitionCanonical"],
            reminders=tuple(e["valueInteger"] for e in action.get("extension", ()) if e["url"] == REMINDER),
        )
        for action in plan["action"]
    )
    return Schedule(plan["url"], plan["version"], points)


def plan_writes(case: Mapping[str, Any], first_operation: date, plan: Schedule, present: Sequence[str] = ()) -> list[Write]:
    """The CarePlan, Tasks and invitations of one case. `present` are ids of Tasks that exist and stay as they are."""
    reference = f"EpisodeOfCare/{case['id']}"
    patient = case["patient"]
    care_plan = derived_id("care-plan", case["id"])
    tasks = {point.id: derived_id("follow-up", case["id"], point.id) for point in plan.points}
    writes: list[Write] = []
    for point in plan.points:
        if tasks[point.id] not in present:
            writes += _task_writes(tasks[point.id], care_plan, case, first_operation, point)
    resource = {
        "resourceType": "CarePlan",
        "id": care_plan,
        "instantiatesCanonical": [f"{plan.url}|{plan.version}"],
        "status": "active",
        "intent": "plan",
        "title": "Follow-up by parents",
        "subject": patient,
        "supportingInfo": [{"reference": reference}],
        "activity": [{"reference": {"reference": f"Task/{task}"}} for task in tasks.values()],
    }
    return [Put(resource, unchanged_ok=True), *writes]


def _task_writes(task: str, care_plan: str, case: Mapping[str, Any], start: date, point: TimePoint) -> list[Write]:
    opens, closes = months_after(start, point.opens), months_after(start, point.closes)
    resource = {
        "resourceType": "Task",
        "id": task,
        "basedOn": [{"reference": f"CarePlan/{care_plan}"}],
        "status": "requested",
        "intent": "order",
        "code": TASK_CODE,
        "description": point.title,
        "focus": {"reference": f"EpisodeOfCare/{case['id']}"},
        "for": case["patient"],
        "executionPeriod": {"start": opens.isoformat(), "end": closes.isoformat()},
        "reasonCode": {"coding": [{"system": TIME_POINT, "code": point.id}]},
        "input": [{"type": QUESTIONNAIRE_INPUT, "valueCanonical": point.questionnaire}],
    }
    patient = case["patient"]["reference"].removeprefix("Patient/")
    invitation = Invitation(patient, case["id"], point.id, point.questionnaire, _midnight(closes), 0, point.reminders)
    body = msgspec.json.encode(invitation)
    record = Record("invitation", task, body, state="waiting", tag=case["id"], due=_midnight(opens))
    return [Put(resource, if_version=0), PutRecord(record, if_revision=0)]


def months_after(day: date, months: int) -> date:
    """The same day of the month, or the last one that the month has."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def _midnight(day: date) -> int:
    return micros(datetime.combine(day, time(), LONDON))

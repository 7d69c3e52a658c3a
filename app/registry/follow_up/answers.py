"""A parent's answers: validated, scored to a level of quality of life, and committed with all that they change, once.

The QuestionnaireResponse's id is derived from the Task, so pressing "send" twice, on two phones, stores one.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

import msgspec

from app import clock, names
from app.content import PROFILES
from app.fhir import codec
from app.fhir.errors import Invalid
from app.forms import validate_response
from app.ids import derived_id
from app.outcomes.quality_of_life import quality_of_life_level
from app.registry.follow_up.consent import consent_write
from app.registry.follow_up.invitations import ending_writes, task_write
from app.registry.follow_up.links import Link, LinkClosed, close_links
from app.registry.follow_up.schedule import TIME_POINT
from app.registry.patients import retained
from app.security.access import SYSTEM
from app.store.protocol import GuardFailed, Put, PutRecord, Record, RecordConflict, Store, Stored, VersionConflict, Write

ORDINAL = "http://hl7.org/fhir/StructureDefinition/ordinalValue"
SOURCE_TAG = {"system": names.SOURCE, "code": "parent"}


@cache
def shipped_questionnaires() -> Mapping[str, dict[str, Any]]:
    """The parents' questionnaires in `profiles/`, by canonical URL."""
    found = [codec.decode(path.read_bytes()) for path in sorted((PROFILES / "questionnaires").glob("parent-*.json"))]
    return {questionnaire["url"]: questionnaire for questionnaire in found}


async def questionnaire_of(store: Store, task: str) -> dict[str, Any]:
    """The Questionnaire that a Task asks for: the site's own from the store where it has loaded one, else the shipped one."""
    stored = await store.read(SYSTEM, "Task", task)
    canonical = next(i["valueCanonical"] for i in stored.resource["input"] if "valueCanonical" in i)
    shipped = shipped_questionnaires().get(canonical.partition("|")[0])
    if shipped is None:
        return (await store.read(SYSTEM, "Questionnaire", canonical.rpartition("/")[2])).resource
    return shipped


async def child_of(store: Store, link: Link) -> Stored:
    """The child that a link is about, followed through merges."""
    return await retained(store, await store.read(SYSTEM, "Patient", link.data.patient))


async def submit(store: Store, link: Link, response: dict[str, Any]) -> str:
    """Store the answers; the id of the QuestionnaireResponse. Raises Invalid with every issue, LinkClosed if somebody was faster."""
    questionnaire = await questionnaire_of(store, link.data.task)
    child = await child_of(store, link)
    complete = _complete(questionnaire, response, link, child.id)
    issues = [issue for issue in validate_response(questionnaire, complete) if issue.severity in ("error", "fatal")]
    if issues:
        raise Invalid(issues=issues)
    task = await task_write(store, link.data.task, "completed", output=[_output(complete["id"])])
    point = task.resource["reasonCode"]["coding"][0]["code"]
    writes: list[Write] = [
        Put(complete, if_version=0),
        Put(_level(questionnaire, complete, link, point), if_version=0),
        consent_write(child.id, permit=True, answers=complete["id"]),
        task,
        *await close_links(store, link.data.task, "used"),
        *await _answered(store, link.data.task),
    ]
    try:
        await store.commit(SYSTEM, writes)
    except (VersionConflict, RecordConflict, GuardFailed):
        raise LinkClosed from None
    return str(complete["id"])


async def refuse(store: Store, link: Link) -> None:
    """The parent does not want to be asked: consent is denied and everything open about the child ends."""
    child = await child_of(store, link)
    writes: list[Write] = [consent_write(child.id, permit=False)]
    for record in await store.find_records(SYSTEM, "invitation", tag=link.data.case):
        if record.state in ("waiting", "asked"):
            writes += await ending_writes(store, record, "consent-refused")
    await store.commit(SYSTEM, writes)


def _complete(questionnaire: dict[str, Any], response: dict[str, Any], link: Link, child: str) -> dict[str, Any]:
    return response | {
        "resourceType": "QuestionnaireResponse",
        "id": derived_id("answers", link.data.task),
        "meta": {"tag": [SOURCE_TAG]},
        "basedOn": [{"reference": f"CarePlan/{derived_id('care-plan', link.data.case)}"}],
        "questionnaire": f"{questionnaire['url']}|{questionnaire['version']}",
        "status": "completed",
        "subject": {"reference": f"Patient/{child}"},
        "authored": clock.instant(clock.micros()),
    }


def _level(questionnaire: dict[str, Any], response: dict[str, Any], link: Link, point: str) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": derived_id("quality-of-life", link.data.task),
        "meta": {"tag": [SOURCE_TAG]},
        "status": "final",
        "code": {"coding": [{"system": names.OUTCOME, "code": "quality-of-life-level"}]},
        "subject": response["subject"],
        "focus": [{"reference": f"EpisodeOfCare/{link.data.case}"}],
        "effectiveDateTime": response["authored"],
        "valueInteger": quality_of_life_level(questionnaire["url"], total(questionnaire, response)),
        "derivedFrom": [{"reference": f"QuestionnaireResponse/{response['id']}"}],
        "component": [{"code": {"coding": [{"system": names.OUTCOME, "code": "time-point"}]}, "valueCodeableConcept": {"coding": [{"system": TIME_POINT, "code": point}]}}],
    }  # fmt: skip


def total(questionnaire: Mapping[str, Any], response: Mapping[str, Any]) -> int:
    """The sum of the ordinal values of the chosen answers."""
    values = {
        (item["linkId"], option["valueCoding"]["code"]): extension["valueDecimal"]
        for item in questionnaire["item"]
        for option in item.get("answerOption", ())
        for extension in option["valueCoding"].get("extension", ())
        if extension["url"] == ORDINAL
    }
    chosen = [
        (item["linkId"], answer["valueCoding"]["code"])
        for item in response.get("item", ())
        for answer in item.get("answer", ())
        if "valueCoding" in answer
    ]
    return int(sum(values.get(key, 0) for key in chosen))


def _output(response: str) -> dict[str, Any]:
    kind = {"coding": [{"system": "http://hl7.org/fhir/uv/sdc/CodeSystem/temp", "code": "response"}], "text": "Answers"}
    return {"type": kind, "valueReference": {"reference": f"QuestionnaireResponse/{response}"}}


async def _answered(store: Store, task: str) -> list[PutRecord]:
    record = await store.get_record(SYSTEM, "invitation", task)
    if record is None:
        return []
    record.state, record.due = "answered", None
    return [PutRecord(record, if_revision=record.revision)]


async def draft(store: Store, task: str) -> dict[str, Any]:
    """The answers so far, by linkId; `{}` at the start."""
    record = await store.get_record(SYSTEM, "answer-draft", task)
    return dict(record.data) if record else {}


async def keep_draft(store: Store, task: str, answers: Mapping[str, Any]) -> None:
    """Keep the answers so far."""
    record = Record("answer-draft", task, msgspec.json.encode(answers), tag=task)
    await store.commit(SYSTEM, [PutRecord(record)])

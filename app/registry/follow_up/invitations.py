"""Who is asked today: due invitations become letters in the outbox, each in one commit with its link and its Task.

A Record of kind `invitation` stands for a Task: state `waiting` with the day on which the next letter is due, then `asked` when no
reminder is left, `answered`, or `ended` with a reason (too late, died, refused, cancelled).
"""

import asyncio
from datetime import timedelta
from typing import Any

import msgspec

from app import clock
from app.fhir.errors import Conflict, PreconditionFailed
from app.ids import new_id
from app.registry.follow_up.eligibility import Verdict, verdict
from app.registry.follow_up.links import close_links, new_link
from app.registry.follow_up.schedule import Invitation
from app.security.access import SYSTEM
from app.store.protocol import Put, PutRecord, Record, Store, Write

DAY = int(timedelta(days=1).total_seconds() * 1_000_000)
TOGETHER = 16


class Letter(msgspec.Struct, omit_defaults=True):
    """The body of a Record of kind `outbox`. `token` is the link's secret until the letter has gone, then it is forgotten."""

    task: str
    patient: str
    token: str = ""
    reminder: bool = False
    attempts: int = 0
    reason: str = ""


async def invite_due(store: Store, limit: int = 500) -> int:
    """Make the letters that are due now; the number of invitations that were looked at."""
    due = await store.find_records(SYSTEM, "invitation", state="waiting", due_before=clock.micros(), limit=limit)
    for start in range(0, len(due), TOGETHER):
        await asyncio.gather(*(_invite(store, record) for record in due[start : start + TOGETHER]))
    return len(due)


async def _invite(store: Store, record: Record) -> None:
    invitation = msgspec.json.decode(record.body, type=Invitation)
    found = await verdict(store, invitation.patient, record.key)
    if invitation.closes < clock.micros():
        found = Verdict("window-closed", final=True)
    if found.final:
        writes = await ending_writes(store, record, found.reason or "")
    elif found.reason:
        record.due = clock.micros() + DAY  # no address yet: one may come with tomorrow's messages
        writes = [PutRecord(record, if_revision=record.revision)]
    else:
        writes = await _letter_writes(store, record, invitation)
    try:
        await store.commit(SYSTEM, writes)
    except (Conflict, PreconditionFailed):
        return  # another process was faster, or the Task changed: it is looked at again


async def _letter_writes(store: Store, record: Record, invitation: Invitation) -> list[Write]:
    now = clock.micros()
    token, link = new_link(record.key, invitation.patient, invitation.case, invitation.closes)
    letter = Letter(record.key, invitation.patient, token, reminder=invitation.sent > 0)
    outbox = Record("outbox", new_id(), msgspec.json.encode(letter), state="queued", tag=record.key, due=now)
    days, later = (invitation.reminders[0], invitation.reminders[1:]) if invitation.reminders else (0, ())
    following = msgspec.structs.replace(invitation, sent=invitation.sent + 1, reminders=later)
    record.body = msgspec.json.encode(following)
    record.state, record.due = ("waiting", now + days * DAY) if days else ("asked", None)
    writes: list[Write] = [link, PutRecord(outbox, if_revision=0), PutRecord(record, if_revision=record.revision)]
    if not invitation.sent:
        writes.append(await task_write(store, record.key, "ready"))
    return writes


async def task_write(store: Store, task: str, status: str, **more: Any) -> Put:
    """The write that moves a Task to `status`, with other elements beside."""
    stored = await store.read(SYSTEM, "Task", task)
    return Put(stored.resource | {"status": status} | more, if_version=stored.version)


async def ending_writes(store: Store, record: Record, reason: str) -> list[Write]:
    """The writes that end an invitation: its Task is cancelled (or failed, where its time has passed), its links and letters revoked."""
    record.state, record.due = "ended", None
    writes: list[Write] = [PutRecord(record, if_revision=record.revision), *await close_links(store, record.key, "revoked")]
    found = await store.read_many(SYSTEM, [f"Task/{record.key}"])
    if found and found[0].resource["status"] not in ("completed", "cancelled", "failed"):
        status = "failed" if reason == "window-closed" else "cancelled"
        changed = found[0].resource | {"status": status, "statusReason": {"text": reason}}
        writes.append(Put(changed, if_version=found[0].version))
    for letter in await store.find_records(SYSTEM, "outbox", state="queued", tag=record.key):
        letter.state = "withheld"
        body = msgspec.json.decode(letter.body, type=Letter)
        letter.body = msgspec.json.encode(msgspec.structs.replace(body, token="", reason=reason))
        writes.append(PutRecord(letter, if_revision=letter.revision))
    return writes

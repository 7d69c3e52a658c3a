"""The outbox: letters go out by SMTP, one connection for many, each judged again just before it goes.

A letter is `queued`, claimed as `sending` with a lease, then `sent`, `withheld` (died, refused, closed) or `failed` (the address does not exist,
or ten tries). A crash between the wire and the commit sends it again with the same Message-ID; nothing is lost. What a slow mail server leaves
no time for before the lease ends goes back to the queue.
"""

import asyncio
import smtplib
import ssl
from dataclasses import dataclass
from datetime import timedelta
from email.message import Message
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec

from app import clock
from app.fhir.errors import BadRequest, Conflict
from app.ids import derived_id
from app.logs import logger
from app.registry.follow_up.eligibility import verdict
from app.registry.follow_up.invitations import Letter, invite_due
from app.registry.follow_up.letters import letter
from app.security.access import SYSTEM
from app.store.protocol import Put, PutRecord, Record, RecordConflict, Store, Write

SECOND = 1_000_000
LEASE = 60 * SECOND
TRIES = 10
BATCH = 50


@dataclass(frozen=True, slots=True)
class Post:
    """Where letters go. `url` is `smtp://[user:password@]host[:port]` (STARTTLS where offered) or `smtps://…`; `pages` the public root URL."""

    url: str
    sender: str
    pages: str

    def connect(self) -> smtplib.SMTP:
        """A connection that has said hello, encrypted and signed in where that is asked for. Raises OSError, SMTPException, BadRequest."""
        parts = urlsplit(self.url)
        if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
            raise BadRequest("The mail server's URL must look like smtp://user:password@host:port.")
        context = ssl.create_default_context()
        if parts.scheme == "smtps":
            connection: smtplib.SMTP = smtplib.SMTP_SSL(parts.hostname, parts.port or 465, timeout=30, context=context)
        else:
            connection = smtplib.SMTP(parts.hostname, parts.port or 25, timeout=30)
            connection.ehlo()
            if connection.has_extn("starttls"):
                connection.starttls(context=context)
        if parts.username:
            connection.login(unquote(parts.username), unquote(parts.password or ""))
        return connection


class Outbox:
    """Sends what is queued. `post` None: letters stay in the outbox until a mail server is named."""

    def __init__(self, store: Store, post: Post | None) -> None:
        self._store = store
        self._post = post
        self._connection: smtplib.SMTP | None = None

    async def send_due(self) -> int:
        """One batch; the number of letters that were looked at."""
        if self._post is None:
            return 0
        now = clock.micros()
        queued = await self._store.find_records(SYSTEM, "outbox", state="queued", due_before=now, limit=BATCH)
        if not queued:  # a process that died while sending left its letter behind
            queued = await self._store.find_records(SYSTEM, "outbox", state="sending", due_before=now, limit=BATCH)
        claimed = [record for record in await asyncio.gather(*map(self._claim, queued)) if record]
        outcomes: list[list[Write]] = []
        for record in claimed:
            late = clock.micros() > now + LEASE // 2
            outcomes.append(_back(record) if late else await self._send(record))
        await asyncio.gather(*(self._store.commit(SYSTEM, writes) for writes in outcomes))
        return len(queued)

    def close(self) -> None:
        """Say goodbye to the mail server."""
        if self._connection is not None:
            try:
                self._connection.quit()
            except (OSError, smtplib.SMTPException):
                self._connection.close()
            self._connection = None

    async def _claim(self, record: Record) -> Record | None:
        record.state, record.due = "sending", clock.micros() + LEASE
        try:
            await self._store.commit(SYSTEM, [PutRecord(record, if_revision=record.revision)])
        except RecordConflict:
            return None
        return await self._store.get_record(SYSTEM, "outbox", record.key)

    async def _send(self, record: Record) -> list[Write]:
        assert self._post is not None
        body = msgspec.json.decode(record.body, type=Letter)
        body.attempts += 1
        found = await verdict(self._store, body.patient, body.task)
        if found.reason:
            return _settled(record, body, "withheld", found.reason)
        link = f"{self._post.pages}/follow-up/{body.token}"
        message = letter(found.address, self._post.sender, link, record.key, reminder=body.reminder)
        try:
            await asyncio.to_thread(self._deliver, message)
        except smtplib.SMTPRecipientsRefused as refusal:
            code = next(iter(refusal.recipients.values()))[0]
            if 500 <= code < 600:
                return _settled(record, body, "failed", "address-refused")
            return self._again(record, body, "recipient-deferred")
        except (OSError, smtplib.SMTPException) as error:
            await asyncio.to_thread(self.close)
            return self._again(record, body, type(error).__name__)
        return [*_settled(record, body, "sent", ""), Put(_communication(record.key, body))]

    def _deliver(self, message: Message) -> None:
        assert self._post is not None
        if self._connection is None:
            self._connection = self._post.connect()
        try:
            self._connection.send_message(message)
        except smtplib.SMTPServerDisconnected:
            self._connection = self._post.connect()
            self._connection.send_message(message)

    def _again(self, record: Record, body: Letter, reason: str) -> list[Write]:
        logger().warning("letter-deferred", id=record.key, attempt=body.attempts, reason=reason)
        if body.attempts >= TRIES:
            return _settled(record, body, "failed", reason)
        body.reason = reason
        record.state, record.due = "queued", clock.micros() + min(3600, 2**body.attempts * 5) * SECOND
        record.body = msgspec.json.encode(body)
        return [PutRecord(record, if_revision=record.revision)]


def _back(record: Record) -> list[Write]:
    record.state, record.due = "queued", clock.micros()
    return [PutRecord(record, if_revision=record.revision)]


def _settled(record: Record, body: Letter, state: str, reason: str) -> list[Write]:
    record.state, record.due = state, None
    record.body = msgspec.json.encode(msgspec.structs.replace(body, token="", reason=reason))
    return [PutRecord(record, if_revision=record.revision)]


def _communication(key: str, body: Letter) -> dict[str, Any]:
    """That a letter went, without the address or its words."""
    return {
        "resourceType": "Communication",
        "id": derived_id("letter", key),
        "status": "completed",
        "category": [
            {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/communication-category", "code": "reminder"}]}
        ],
        "medium": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationMode", "code": "EMAILWRIT"}]}],
        "subject": {"reference": f"Patient/{body.patient}"},
        "about": [{"reference": f"Task/{body.task}"}],
        "sent": clock.instant(clock.micros()),
    }


async def letters_under_way(store: Store) -> bool:
    """Whether a letter is due to be made, or made and not yet gone."""
    due = await store.find_records(SYSTEM, "invitation", state="waiting", due_before=clock.micros(), limit=1)
    return bool(
        due
        or await store.count_records(SYSTEM, "outbox", state="queued")
        or await store.count_records(SYSTEM, "outbox", state="sending")
    )


class FollowUpService:
    """The background work: make letters, send letters, rest. `run` ends soon after `stop` is set."""

    name = "follow-up-letters"

    def __init__(self, store: Store, post: Post | None, rest: timedelta = timedelta(seconds=1)) -> None:
        self._store = store
        self._outbox = Outbox(store, post)
        self._rest = rest.total_seconds()

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            busy = 0
            try:
                busy = await invite_due(self._store) + await self._outbox.send_due()
            except Conflict:
                busy = 1
            except Exception as error:
                logger().error("follow-up-failed", exc_type=type(error).__name__)
            if not busy:
                try:
                    await asyncio.wait_for(stop.wait(), self._rest)
                except TimeoutError:
                    continue
        await asyncio.to_thread(self._outbox.close)

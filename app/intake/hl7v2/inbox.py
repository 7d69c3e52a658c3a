"""The inbox: every message's bytes are durable before anything is answered, and every message has a state.

A message is a record of kind `hl7v2`, its bytes as `raw`, keyed by a time-ordered opaque id. States:

    received     durable, not mapped yet
    processed    mapped; its resources are committed in the same commit as this state
    warning      mapped, with something for a person to look at (an unknown code, a doubtful time)
    error        could not be mapped: stands in the work list, can be replayed
    rejected     can never be mapped (no MSH, an unknown sender …): kept for inspection
    unsupported  sound, of a kind that is not mapped

A message that comes again (same MSH-3, MSH-4, MSH-10 and the same bytes) gets the same answer again and is not mapped twice; one that had
failed is tried again. The same key with other bytes is another message, mapped and flagged.
"""

import asyncio
import hashlib
import re
from dataclasses import dataclass
from typing import Any

from app import clock, ids
from app.fhir import codec
from app.fhir.errors import Conflict, FHIRError, Invalid, Malformed, PreconditionFailed, Unavailable
from app.intake.hl7v2 import ack, batch, er7, secret, senders
from app.intake.hl7v2.ack import Problem, Verdict
from app.intake.hl7v2.map import apply, reading
from app.intake.hl7v2.map.context import Unmappable
from app.intake.hl7v2.map.familiar import Familiar
from app.intake.hl7v2.mllp import SENTENCES, Event
from app.intake.hl7v2.senders import Sender
from app.logs import logger
from app.registry.identity import IdentityConflict
from app.security.access import SYSTEM
from app.store.protocol import PutRecord, Record, Store, Write

KIND, SEEN = "hl7v2", "hl7v2-seen"
DONE = frozenset(["processed", "warning", "unsupported"])
GRACE = 30_000_000  # microseconds after which a message stored but not mapped belongs to the worker
ATTEMPTS = 8  # of one commit against others that change the same child
REUSED = ["This control id came before with another content", "MSH-10", ack.DATA_TYPE, "W"]
_VERSION = re.compile(r"2\.\d(\.\d)?\Z")
_VERDICTS: dict[str, Verdict] = {"error": "error", "rejected": "reject"}


@dataclass
class Arrival:
    """A message on its way in: its bytes, what could be read of them, and its record."""

    raw: bytes
    message: er7.Message | None
    sender: Sender | None
    record: Record
    data: dict[str, Any]

    @property
    def known(self) -> str:
        """The sender for a log line: what nobody registered could be anything, a name too."""
        return self.sender.key if self.sender else ""

    @property
    def mode(self) -> ack.Mode:
        return self.sender.mode if self.sender else "auto"


class Inbox:
    """One for a process. `sandbox` takes any sender."""

    def __init__(self, store: Store, *, sandbox: bool = False) -> None:
        self.store = store
        self.sandbox = sandbox
        self._secret: secret.Secret | None = None
        self._hospitals: set[str] = set()
        self._familiar = Familiar()
        self.stored = asyncio.Event()  # set when a message waits for the worker

    async def accept(self, event: Event) -> list[bytes]:
        """Take what came in a frame (or what is left of one); the answers, one for each message, where the sender wants any."""
        if event.fault:
            return [await self._broken(event)]
        messages, problems = batch.split_batch(event.data)
        if not messages:
            return [await self._broken(event)]
        flags = [Problem(text, "BTS-1", ack.DATA_TYPE, "W") for text in problems]
        answers = [await self._one(raw, flags if raw is messages[-1] else []) for raw in messages]
        return [answer for answer in answers if answer is not None]

    async def _one(self, raw: bytes, flags: list[Problem]) -> bytes | None:
        arrival, problem = await self._look(raw)
        if flags:
            arrival.data["flags"] = [list(flag) for flag in flags]
        if problem is not None:
            return await self._refuse(arrival, problem)
        enhanced = ack.enhanced(arrival.message, arrival.mode)
        if enhanced:
            self._accepted(arrival)
        arrival.record.due = clock.micros() + (0 if enhanced else GRACE)
        try:
            previous = await self._store(arrival)
        except Unavailable as error:
            return ack.build(arrival.message, "error", [Problem(_sentence(error))], mode=arrival.mode)
        if previous is not None:
            return await self._again(arrival, previous)
        logger().info("hl7-stored", id=arrival.record.key, sender=arrival.known, bytes=len(raw))
        if enhanced:
            self.stored.set()
            return arrival.data["ack"].encode("latin-1") if arrival.data["wanted"] else None
        arrival.record.revision = 1
        return await self.process(self._record(arrival, revision=1), arrival)

    async def process(self, record: Record, arrival: Arrival | None = None) -> bytes | None:
        """Map a stored message and set its state, in one commit; the application's answer. Raises Unavailable."""
        assert record.raw is not None
        problem = None
        if arrival is None:
            arrival, problem = await self._look(record.raw, record)
        arrival.record = record
        if problem is not None:
            return await self._finish(arrival, "rejected", [problem])
        flags = [Problem(*values) for values in arrival.data.get("flags", ())]
        for attempt in range(ATTEMPTS):
            try:
                planned, doubts = await self._plan(arrival)
                state = "warning" if any(doubt.severity == "W" for doubt in [*doubts, *flags]) else "processed"
                return await self._finish(arrival, state, [*flags, *doubts], planned)
            except reading.Unsupported:
                problem = Problem("This event is kept but not mapped", "MSH-9", ack.UNSUPPORTED_EVENT, "I")
                return await self._finish(arrival, "unsupported", [problem])
            except Unmappable as error:
                return await self._finish(arrival, "error", [error.problem])
            except IdentityConflict as error:
                return await self._finish(arrival, "error", [Problem(str(error), "PID-3", ack.UNKNOWN_KEY)])
            except Invalid as error:
                places = [Problem("The resource would not be valid R4", issue.expression or "") for issue in error.issues]
                return await self._finish(arrival, "error", [Problem(f"{p.text}: {p.where}") for p in places])
            except (Conflict, PreconditionFailed):
                now = await self.store.get_record(SYSTEM, KIND, record.key)
                if now is not None and now.revision != record.revision:  # another process has mapped it meanwhile
                    return str(now.data.get("ack", "")).encode("latin-1")
                if attempt == ATTEMPTS - 1:
                    return await self._finish(arrival, "error", [Problem("Other writes about this child came between each time")])
            except Unavailable:
                raise
            except Exception as error:  # a fault of ours must not stop the feed: the message stands in the work list
                logger().exception("hl7-mapping-failed", id=record.key, exc_type=type(error).__name__)
                return await self._finish(arrival, "error", [Problem(f"The mapping failed ({type(error).__name__})")])
        raise AssertionError("unreachable")

    # ---- steps

    async def _look(self, raw: bytes, record: Record | None = None) -> tuple[Arrival, Problem | None]:
        """Read the header and find the sender; what makes the message impossible, if anything does."""
        data = dict(record.data) if record else {"received": clock.micros(), "attempts": 0}
        record = record or Record(KIND, ids.new_id(), raw=raw)
        data.setdefault("sha256", hashlib.sha256(raw).hexdigest())
        data.setdefault("sender", "")
        arrival = Arrival(raw, None, None, record, data)
        try:
            message = er7.parse(raw)
        except Malformed as error:
            return arrival, Problem(str(error), error.issues[0].expression or "MSH", ack.SEGMENT_SEQUENCE)
        header = message.segments[0]
        if header.name != "MSH":
            return arrival, Problem("The message does not begin with an MSH segment", "MSH", ack.SEGMENT_SEQUENCE)
        arrival.message = message
        application, facility = header.value(3), header.value(4)
        data.update(sender=f"{application}|{facility}"[:200], control=header.value(10)[:200], event=_event(message))
        data["version"] = header.value(12)[:20]
        arrival.sender = await senders.find(self.store, application, facility, sandbox=self.sandbox)
        if arrival.sender is None and record.owner:  # taken before, when its sender was known
            arrival.sender = Sender(application, facility, record.owner)
        return arrival, _header_problem(header, arrival.sender)

    async def _store(self, arrival: Arrival) -> Record | None:
        """Make the message durable; or the record of the same message, if it came before."""
        data, digest = arrival.data, arrival.data["sha256"]
        key = _seen_key(data)
        while True:
            seen = await self.store.get_record(SYSTEM, SEEN, key)
            messages = seen.data["messages"] if seen else {}
            if digest in messages and (previous := await self.store.get_record(SYSTEM, KIND, messages[digest])):
                return previous
            if messages and REUSED not in data.get("flags", ()):
                data["flags"] = [*data.get("flags", ()), REUSED]
            entry = Record(SEEN, key, body=codec.encode({"messages": {**messages, digest: arrival.record.key}}))
            writes = [PutRecord(self._record(arrival), if_revision=0), PutRecord(entry, if_revision=seen.revision if seen else 0)]
            try:
                await self.store.commit(SYSTEM, writes)
                return None
            except Conflict:
                continue  # the same control id came over another connection at the same moment

    def _accepted(self, arrival: Arrival) -> None:
        answer = ack.build(arrival.message, "accept", mode=arrival.mode)
        arrival.data.update(ack=answer.decode("latin-1"), wanted=ack.wanted(arrival.message, "accept"))

    async def _again(self, arrival: Arrival, previous: Record) -> bytes | None:
        data = previous.data
        logger().info("hl7-duplicate", id=previous.key, sender=arrival.known, state=previous.state)
        if previous.state in DONE or (previous.state == "received" and "ack" in data):
            answer = data["ack"].encode("latin-1")
            return answer if data.get("wanted", True) else None
        if not ack.enhanced(arrival.message, arrival.mode):
            return await self.process(previous)
        self._accepted(arrival)
        again = {**data, "ack": arrival.data["ack"], "wanted": arrival.data["wanted"]}
        previous.body, previous.state, previous.due = codec.encode(again), "received", clock.micros()
        await self.store.commit(SYSTEM, [PutRecord(previous, if_revision=previous.revision)])
        self.stored.set()
        return arrival.data["ack"].encode("latin-1") if again["wanted"] else None

    async def _plan(self, arrival: Arrival) -> tuple[apply.Planned, list[Problem]]:
        message, sender = arrival.message, arrival.sender
        assert message is not None and sender is not None
        if self._secret is None:
            self._secret = await secret.load(self.store)
        if sender.ods not in self._hospitals:
            await apply.ensure_hospital(self.store, sender.ods, sender.name or None)
            self._hospitals.add(sender.ods)
        read = reading.read(
            message,
            ods=sender.ods,
            zone=sender.zone,
            secret=self._secret,
            received=arrival.data["received"],
            authorities=frozenset(sender.authorities),
            raw=arrival.raw,
        )
        return await apply.plan(self.store, read, arrival.record.key, self._familiar), read.context.doubts

    async def _finish(
        self, arrival: Arrival, state: str, problems: list[Problem], planned: apply.Planned | None = None
    ) -> bytes | None:
        """Commit the resources, the state and the answer together."""
        answer = ack.build(arrival.message, _VERDICTS.get(state, "accept"), problems, mode="original")
        data, record = arrival.data, arrival.record
        data["attempts"] = data.get("attempts", 0) + 1
        data["problems"] = [list(problem) for problem in problems]
        data["resources"] = planned.references if planned else data.get("resources", [])
        if "wanted" not in data:  # in enhanced mode the answer has been given already
            data["ack"] = answer.decode("latin-1")
        finished = self._record(arrival, state)
        writes: list[Write] = [*(planned.writes if planned else ()), PutRecord(finished, if_revision=record.revision)]
        await self.store.commit(SYSTEM, writes, planned.guards if planned else ())
        logger().info("hl7-mapped", id=record.key, sender=arrival.known, state=state, count=len(data["resources"]))
        return answer

    async def _refuse(self, arrival: Arrival, problem: Problem) -> bytes | None:
        """Keep what cannot be taken, once however often it is sent, and say why."""
        answer = ack.build(arrival.message, "reject", [problem], mode=arrival.mode)
        key = "rejected-" + arrival.data["sha256"]
        arrival.data.update(problems=[list(problem)], ack=answer.decode("latin-1"))
        try:
            if await self.store.get_record(SYSTEM, SEEN, key) is None:
                seen = Record(SEEN, key, body=codec.encode({"messages": {arrival.data["sha256"]: arrival.record.key}}))
                await self.store.commit(SYSTEM, [PutRecord(self._record(arrival, "rejected")), PutRecord(seen)])
        except Unavailable as error:
            return ack.build(arrival.message, "error", [Problem(_sentence(error))], mode=arrival.mode)
        logger().warning("hl7-rejected", sender=arrival.known, code=problem.code, where=problem.where)
        enhanced = ack.enhanced(arrival.message, arrival.mode)
        return answer if not enhanced or ack.wanted(arrival.message, "reject") else None

    async def _broken(self, event: Event) -> bytes:
        """What is left of a broken frame: kept and answered, by its header where it has one."""
        arrival, _ = await self._look(event.data)
        fault = event.fault or "outside-frame"
        problem = Problem(SENTENCES[fault], "", ack.SEGMENT_SEQUENCE)
        verdict: Verdict = "reject" if fault == "too-long" else "error"
        answer = ack.build(arrival.message, verdict, [problem], mode=arrival.mode)
        arrival.data.update(problems=[list(problem)], ack=answer.decode("latin-1"), broken=fault)
        try:
            await self.store.commit(SYSTEM, [PutRecord(self._record(arrival, "rejected"))])
        except Unavailable:
            logger().error("hl7-store-unavailable", kind=fault)
        logger().warning("hl7-broken-frame", sender=arrival.known, kind=fault, bytes=len(event.data))
        return answer

    def _record(self, arrival: Arrival, state: str = "received", revision: int = 0) -> Record:
        record = arrival.record
        owner = arrival.sender.ods if arrival.sender else ""
        due = record.due if state == "received" else None
        return Record(
            KIND, record.key, codec.encode(arrival.data), arrival.raw, state, record.tag or _tag(arrival), due, owner, revision
        )


def _header_problem(header: er7.Segment, sender: Sender | None) -> Problem | None:
    version = header.value(12)
    for number in (9, 10, 12):
        if not header.value(number):
            return Problem(f"MSH-{number} is empty", f"MSH-{number}", ack.REQUIRED_FIELD)
    if not _VERSION.match(version):
        return Problem("This version of HL7 is not known", "MSH-12", ack.UNSUPPORTED_VERSION)
    if sender is None:
        return Problem("No hospital has registered this sender (MSH-3, MSH-4)", "MSH-3", ack.UNKNOWN_KEY)
    return None


def _event(message: er7.Message) -> str:
    kind, event = message["MSH-9.1"][:10], reading.trigger(message)[:10]
    return f"{kind}^{event}" if event else kind


def _seen_key(data: dict[str, Any]) -> str:
    """A digest, because a control id may hold anything."""
    return hashlib.sha256(f"{data['sender']}|{data['control']}".encode("utf-8", "surrogateescape")).hexdigest()


def _tag(arrival: Arrival) -> str:
    """Sender and child, as a digest: what must be mapped in the order of arrival."""
    pid = arrival.message.first("PID") if arrival.message else None
    child = pid.raw(3).split("~")[-1] if pid else arrival.record.key
    return hashlib.sha256(f"{arrival.data['sender']}|{child}".encode("utf-8", "surrogateescape")).hexdigest()[:24]


def _sentence(error: FHIRError) -> str:
    return str(error)[:200] or "The store cannot answer just now; send the message again"

"""One message, read: who it is about, what it says, and when that was so. Pure, apart from the server's secret for ids."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from zoneinfo import ZoneInfo

from app.fhir.errors import FHIRError
from app.intake.hl7v2.ack import DATA_TYPE, SEGMENT_SEQUENCE, Problem
from app.intake.hl7v2.er7 import Message, Segment
from app.intake.hl7v2.map import clinical, encounter, observation, patient, tables, times
from app.intake.hl7v2.map.context import Context, Unmappable
from app.intake.hl7v2.map.patient import Identity
from app.intake.hl7v2.map.slots import FILL, SNAPSHOT, Slots


class Unsupported(FHIRError):
    """The message is sound and of a kind that this server does not map."""

    status, code = 400, "not-supported"


@dataclass
class Said:
    """What a message says of one resource other than the Patient. `encounter` is the visit that it belongs to."""

    type: str
    id: str
    slots: Slots
    encounter: str | None = None


@dataclass
class Reading:
    """`merges` are pairs of retained and discarded identities (A40)."""

    event: str
    who: Identity
    birth_date: str | None
    patient: Slots
    context: Context
    said: list[Said] = field(default_factory=list)
    merges: list[tuple[Identity, Identity]] = field(default_factory=list)


def trigger(message: Message) -> str:
    """The event of MSH-9, else of EVN-1."""
    return message["MSH-9.2"] or message["EVN-1"]


def read(
    message: Message,
    *,
    ods: str,
    zone: str,
    secret: Callable[..., str],
    received: int,
    authorities: frozenset[str] = frozenset(),
    raw: bytes = b"",
) -> Reading:
    """Read a message of a hospital. Raises Unsupported, and Unmappable where a part cannot be true.

    `received` (microseconds) stands in where neither EVN-2 nor MSH-7 tells a time.
    """
    kind, event = message["MSH-9.1"], trigger(message)
    rule = tables.event(event) if (kind, event) == ("ORU", "R01") or (kind == "ADT" and event != "R01") else None
    if rule is None:
        raise Unsupported(f"{kind}^{event} is not mapped")
    context = _context(message, ods, zone, secret, received, authorities, raw)
    if rule.get("merge"):
        return _merge(context, event)
    groups = list(message.all("PID"))
    if len(groups) != 1:
        raise Unmappable(Problem("The message must be about exactly one child (one PID segment)", "PID", SEGMENT_SEQUENCE))
    pid = groups[0]
    who = patient.identity(context, pid, 3)
    context.rank = FILL if rule["person"] == "fill" else SNAPSHOT
    born = context.time(pid, 7)
    reading = Reading(event, who, born.day if born else None, patient.slots(context, pid, who), context)
    context.rank = SNAPSHOT
    if rule.get("results"):
        order = next(message.all("OBR"), None)
        if order is not None and (reported := context.time(order, 22)):
            context.event = reported.micros
        _clinical(reading, context.secret("Patient", ods, who.key), None)
    elif rule["visit"]:
        _visit(reading, rule.get("sets", {}))
    elif any(segment.name in ("DG1", "PR1", "OBX") for segment in message.segments):
        context.doubt("Diagnoses, procedures and results are not taken from messages about a person without a visit", "MSH-9")
    return reading


def _context(
    message: Message, ods: str, zone: str, secret: Callable[..., str], received: int, authorities: frozenset[str], raw: bytes
) -> Context:
    header = message.first("MSH")
    assert header is not None, "the inbox has checked"
    digest = hashlib.sha256(raw or message.encode()).hexdigest()
    context = Context(message, ods, zone, received, received, digest, secret, authorities=authorities)
    sent = context.time(header, 7)
    evn = message.first("EVN")
    recorded = context.time(evn, 2) if evn else None
    context.sent = sent.micros if sent else recorded.micros if recorded else received
    context.event = recorded.micros if recorded else context.sent
    if not sent and not recorded:
        context.doubt("Neither EVN-2 nor MSH-7 tells a time; the time of arrival stands in", "MSH-7", DATA_TYPE)
    if message.guessed:
        context.doubt("The text is neither UTF-8 nor what MSH-18 says; read as Windows-1252", "MSH-18", DATA_TYPE)
    return context


def _visit(reading: Reading, sets: dict[str, bool]) -> None:
    context = reading.context
    pv1 = context.message.first("PV1")
    if pv1 is None:
        raise Unmappable(Problem("This event needs a PV1 segment", "PV1", SEGMENT_SEQUENCE))
    happened = _happened(context)
    visit = encounter.encounter_id(context, pv1, reading.who)
    if visit is None:
        context.doubt("Neither PV1-19 nor PV1-44 tells which visit this is", "PV1-19", DATA_TYPE)
        child = context.secret("Patient", context.ods, reading.who.key)
        if "started" not in sets:  # what began is a visit of its own; anything else cannot be told from other visits
            _death(reading, pv1, child, sets, happened.text)
            _clinical(reading, child, None, _known_on(context, happened))
            return
        visit = context.secret("Encounter", context.ods, reading.who.key, happened.text)
    reading.said.append(Said("Encounter", visit, encounter.slots(context, pv1, sets, happened.text)))
    _death(reading, pv1, visit, sets, happened.text)
    _clinical(reading, visit, visit, _known_on(context, happened))


def _happened(context: Context) -> times.Time:
    evn, header = context.message.first("EVN"), context.message.first("MSH")
    for segment, field_number in ((evn, 6), (evn, 2), (header, 7)):
        if segment is not None and (found := context.time(segment, field_number)):
            return found
    raise Unmappable(Problem("Neither EVN-2 nor MSH-7 tells when this happened", "MSH-7", DATA_TYPE))


def _known_on(context: Context, happened: times.Time) -> str:
    """The last day that the message can know of."""
    recorded = datetime.fromtimestamp(context.event / 1_000_000, ZoneInfo(context.zone)).date().isoformat()
    return max(recorded, happened.day)


def _death(reading: Reading, pv1: Segment, visit: str, sets: dict[str, bool], happened: str) -> None:
    """A stay that ended in death tells the Patient's; a cancelled discharge, or another ending, takes it back."""
    context, stamp = reading.context, reading.context.stamp(SNAPSHOT)
    ended = context.time(pv1, 45)
    if sets.get("ended") is False:
        reading.patient[f"deceased/stay/{visit}/end"] = reading.patient[f"deceased/stay/{visit}/event"] = (stamp, None)
        return
    died = encounter.died(context, pv1)
    if died:
        reading.patient[f"deceased/stay/{visit}/" + ("end" if ended else "event")] = (stamp, ended.text if ended else happened)
    elif died is False:
        reading.patient[f"deceased/stay/{visit}/end"] = reading.patient[f"deceased/stay/{visit}/event"] = (stamp, None)


def _clinical(reading: Reading, scope: str, visit: str | None, today: str = "") -> None:
    context = reading.context
    if today:
        reading.said += [Said("Condition", id, slots, visit) for id, slots in clinical.conditions(context, scope).items()]
        reading.said += [Said("Procedure", id, slots, visit) for id, slots in clinical.procedures(context, scope, today).items()]
    reading.said += [Said("Observation", id, slots, visit) for id, slots in observation.observations(context, scope).items()]


def _merge(context: Context, event: str) -> Reading:
    """A40: each MRG belongs to the PID before it. It must not carry demographic changes, so PID only fills what nobody has said."""
    context.rank = FILL
    merges: list[tuple[Identity, Identity]] = []
    first: Segment | None = None
    pid: Segment | None = None
    for segment in context.message.segments:
        if segment.name == "PID":
            pid = segment
            first = first or segment
        elif segment.name == "MRG":
            if pid is None:
                raise Unmappable(Problem("MRG comes before the PID that it belongs to", "MRG", SEGMENT_SEQUENCE))
            merges.append((patient.identity(context, pid, 3), patient.identity(context, segment, 1)))
    if first is None or not merges:
        raise Unmappable(Problem("A merge needs a PID and an MRG segment", "MRG", SEGMENT_SEQUENCE))
    born = context.time(first, 7)
    who = merges[0][0]
    return Reading(event, who, born.day if born else None, patient.slots(context, first, who), context, merges=merges)

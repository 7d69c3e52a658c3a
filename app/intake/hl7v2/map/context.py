"""What a segment mapper has at hand: the message, who sent it, when it happened, and where to note what is wrong."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from app.fhir.errors import Invalid
from app.intake.hl7v2.ack import DATA_TYPE, UNKNOWN_CODE, Problem
from app.intake.hl7v2.er7 import Message, Segment
from app.intake.hl7v2.map import times
from app.intake.hl7v2.map.slots import FALLBACK, SNAPSHOT, Slots, stamp


class Unmappable(Invalid):
    """The message can be read, but something in it cannot be true (a date that is none). `problem` says where."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.text, expression=problem.where)
        self.problem = problem


@dataclass
class Context:
    """One message on its way. `doubts` become warnings: the message is mapped, and shows in the work list."""

    message: Message
    ods: str
    zone: str
    event: int  # microseconds: EVN-2, else MSH-7
    sent: int  # microseconds: MSH-7
    digest: str
    secret: Callable[..., str]  # parts -> an opaque text that only this server can make
    rank: int = SNAPSHOT
    authorities: frozenset[str] = frozenset()
    doubts: list[Problem] = field(default_factory=list)
    _stamps: dict[tuple[int, int], str] = field(default_factory=dict)

    def stamp(self, rank: int | None = None) -> str:
        key = (self.rank if rank is None else rank, self.event)
        if key not in self._stamps:
            self._stamps[key] = stamp(*key, self.sent, self.digest)
        return self._stamps[key]

    def doubt(self, text: str, where: str, code: str = UNKNOWN_CODE) -> None:
        self.doubts.append(Problem(text, where, code, "W"))

    def time(self, segment: Segment, number: int, component: int = 1) -> times.Time | None:
        """The time in a field. Raises Unmappable where there is text that is no time."""
        value = segment.value(number, component)
        if not value:
            return None
        found = times.read(value, self.zone)
        where = f"{segment.name}-{number}"
        if found is None:
            raise Unmappable(Problem("This is not a date or time that exists (YYYYMMDD[HHMM[SS]])", where, DATA_TYPE))
        if found.doubt:
            self.doubt(found.doubt, where, DATA_TYPE)
        return found

    def say(self, slots: Slots, name: str, segment: Segment, number: int, value: Any, rank: int | None = None) -> None:
        """The slot of a field: deleted by `\"\"`, left alone where the field is empty or says nothing that R4 can hold."""
        if segment.deletes(number):
            slots[name] = (self.stamp(rank), None)
        elif value not in (None, "", [], {}):
            slots[name] = (self.stamp(rank), value)

    def fallback(self, slots: Slots, name: str, value: Any) -> None:
        """A slot that the event implies; what a field says in so many words outranks it."""
        slots[name] = (self.stamp(min(self.rank, FALLBACK)), value)

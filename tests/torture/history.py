"""A checker in the manner of Jepsen: what clients did, when they began and ended it, what they were told; then what cannot have been.

The server numbers the versions of a resource, so the one order in which its writes took effect is known, and linearizability is a matter of
three rules instead of a search: a write that ended before another began has the lower version; a read gives the newest version that it can, never one older than
what was told to anybody before it began; the content of a version is that of the write that got it.
"""

import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Event:
    """One answered read or write of one resource. Times in seconds, of one clock."""

    kind: str  # read | write
    name: str
    version: int
    value: object
    began: float
    ended: float


@dataclass(slots=True)
class History:
    """What was answered, what was attempted, what was refused without being known."""

    events: list[Event] = field(default_factory=list)
    pairs: list[tuple[object, object]] = field(default_factory=list)  # two resources that are only written together, read at once
    attempted: dict[str, set[object]] = field(default_factory=lambda: defaultdict(set))
    refused: dict[str, set[object]] = field(default_factory=lambda: defaultdict(set))  # 409 or 412: did not happen
    unknown: int = 0  # no answer, or 503: may or may not have happened
    wrong: list[str] = field(default_factory=list)  # answers that no client should get

    def told(self, kind: str, name: str, version: int, value: object, began: float) -> None:
        """An answer has come."""
        self.events.append(Event(kind, name, version, value, began, time.monotonic()))


def anomalies(history: History) -> list[str]:
    """Everything that a linearizable register, and a snapshot-consistent transaction, forbid."""
    found = list(history.wrong)
    by_name: dict[str, list[Event]] = defaultdict(list)
    for event in history.events:
        by_name[event.name].append(event)
    for name, events in by_name.items():
        found += _register(name, events, history.attempted[name])
        found += [
            f"{name}: version {event.version} holds what was refused" for event in events if event.value in history.refused[name]
        ]
    found += [f"a transaction was seen half: {one} and {other}" for one, other in history.pairs if one != other]
    return found


def _register(name: str, events: list[Event], attempted: set[object]) -> Iterable[str]:
    contents: dict[int, object] = {}
    writers: dict[int, int] = defaultdict(int)
    for event in events:
        if event.value not in attempted:
            yield f"{name}: version {event.version} holds what nobody wrote"
        if contents.setdefault(event.version, event.value) != event.value:
            yield f"{name}: version {event.version} has two contents"
        writers[event.version] += event.kind == "write"
    yield from (f"{name}: version {version} was given to {number} writes" for version, number in writers.items() if number > 1)
    # The highest version that anybody had been told by a given moment: whatever begins later must not fall below it.
    ends = sorted(events, key=lambda event: event.ended)
    position, known = 0, 0
    for event in sorted(events, key=lambda event: event.began):
        while position < len(ends) and ends[position].ended < event.began:
            known = max(known, ends[position].version)
            position += 1
        if event.version < known + (event.kind == "write"):
            yield f"{name}: a {event.kind} got version {event.version} after {known} had been told"

"""MLLP framing without I/O: bytes in, frames and faults out. Memory stays below one frame's cap.

A frame is VT, a message, FS, CR. Senders leave the CR out, put junk between frames, forget the end of a frame, and split or join frames at any byte:
each of these comes out as an event, never as silence.
"""

from typing import Literal, NamedTuple

VT, FS, CR = b"\x0b", b"\x1c", b"\x0d"
MAX_BYTES = 16 * 1024 * 1024
KEEP_BYTES = 64 * 1024  # of what cannot be a message, for inspection
_STARTS = (b"\x0bMSH", b"\x0bFHS", b"\x0bBHS")

Fault = Literal["", "too-long", "unfinished", "outside-frame"]
SENTENCES: dict[Fault, str] = {
    "too-long": "The message is longer than this server takes",
    "unfinished": "The frame was not finished before the next one, the end of the connection or the time limit",
    "outside-frame": "A message came outside an MLLP frame",
}


class Event(NamedTuple):
    """A message (`fault` empty) or what is left of a broken frame."""

    data: bytes
    fault: Fault = ""


def frame(message: bytes) -> bytes:
    """`message` in a frame."""
    return VT + message + FS + CR


class Framer:
    """Feed it what the socket gives; it returns what is complete."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max = max_bytes
        self._buffer = bytearray()
        self._scanned = 0
        self._inside = False
        self._discarding = False

    @property
    def inside(self) -> bool:
        """True while a frame has begun and not ended."""
        return self._inside or self._discarding

    @property
    def pending(self) -> bool:
        """True while bytes wait for more bytes."""
        return bool(self._buffer) or self.inside

    def feed(self, data: bytes) -> list[Event]:
        self._buffer += data
        events: list[Event] = []
        while self._step(events):
            pass
        return events

    def end(self) -> list[Event]:
        """The connection is over (or too slow): whatever is left becomes a fault."""
        data, inside = bytes(self._buffer), self._inside
        self._buffer.clear()
        self._inside, self._scanned = False, 0
        if self._discarding:
            self._discarding = False
            return []
        if inside:
            return [Event(data[:KEEP_BYTES], "unfinished")]
        return [Event(data[:KEEP_BYTES], "outside-frame")] if data.strip(b"\r\n \t\0") else []

    def _step(self, events: list[Event]) -> bool:
        if self._discarding:
            return self._discard()
        if not self._inside:
            return self._between(events)
        return self._within(events)

    def _between(self, events: list[Event]) -> bool:
        start = self._buffer.find(VT)
        junk = bytes(self._buffer if start < 0 else self._buffer[:start])
        if junk and not junk.strip(b"\r\n \t\0\x1c"):
            del self._buffer[: len(junk)]  # the CR that ends a frame, and what keep-alives send
            start -= len(junk)
            junk = b""
        if start < 0:
            if len(self._buffer) > KEEP_BYTES:
                events.append(Event(bytes(self._buffer[:KEEP_BYTES]), "outside-frame"))
                self._buffer.clear()
            return False
        if junk:
            events.append(Event(junk[:KEEP_BYTES], "outside-frame"))
        del self._buffer[: len(junk) + 1]
        self._inside, self._scanned = True, 0
        return True

    def _within(self, events: list[Event]) -> bool:
        end = self._buffer.find(FS, self._scanned)
        again = self._restart(end)
        if again >= 0:
            events.append(Event(bytes(self._buffer[: min(again, KEEP_BYTES)]), "unfinished"))
            del self._buffer[: again + 1]
            self._scanned = 0
            return True
        if end > self._max or (end < 0 and len(self._buffer) > self._max):
            events.append(Event(bytes(self._buffer[:KEEP_BYTES]), "too-long"))
            self._inside, self._discarding = False, True
            return True
        if end < 0:
            self._scanned = max(0, len(self._buffer) - 3)  # a start mark may be cut in four
            return False
        events.append(Event(bytes(self._buffer[:end])))
        del self._buffer[: end + 1]
        if self._buffer[:1] == CR:
            del self._buffer[:1]
        self._inside = False
        return bool(self._buffer)

    def _restart(self, end: int) -> int:
        """Where a second start mark stands before the end: the first frame was never finished."""
        stop = len(self._buffer) if end < 0 else end
        at = self._buffer.find(VT, self._scanned, stop)
        while at >= 0:
            if self._buffer[at : at + 4] in _STARTS:
                return at
            at = self._buffer.find(VT, at + 1, stop)
        return -1

    def _discard(self) -> bool:
        end = self._buffer.find(FS)
        if end < 0:
            self._buffer.clear()
            return False
        del self._buffer[: end + 1]
        self._discarding = False
        return bool(self._buffer)

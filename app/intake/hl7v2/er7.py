"""The ER7 parser: zero loss. `parse(raw).encode() == raw` for any bytes that hold an MSH segment.

Fields are split at once, repetitions and components when they are asked for (a typical admission costs about 27 µs, and most of its
components are never looked at). Values come unescaped; the text as it was sent stays in `Segment.fields`.

HL7 tells "empty" from `""`: empty leaves a value as it is, `""` deletes it. `Segment.deletes(n)` tells them apart.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from app.fhir.errors import Malformed
from app.fhir.numbers import whole_number
from app.intake.hl7v2.charset import decode

NULL = '""'
_HEADERS = ("MSH", "FHS", "BHS")
MAX_SEGMENTS, MAX_FIELDS = 50_000, 1_000_000  # of one message: separators alone must not become gigabytes of objects


class Separators(NamedTuple):
    """The encoding characters of one message. `truncation` is "" before version 2.7."""

    field: str = "|"
    component: str = "^"
    repetition: str = "~"
    escape: str = "\\"
    subcomponent: str = "&"
    truncation: str = ""


class Path(NamedTuple):
    """`PID[2]-3[2].1.4`: all numbers count from 1; a component of 0 means the whole repetition."""

    segment: str
    which: int
    field: int
    repeat: int
    component: int
    subcomponent: int


_PATH = re.compile(r"([A-Z][A-Z0-9]{2})(?:\[(\d+)\])?(?:[-.](\d+)(?:\[(\d+)\])?(?:\.(\d+)(?:\.(\d+))?)?)?\Z")


@lru_cache(1024)
def path(text: str) -> Path:
    """Read a path such as `PID-5.1`. Raises ValueError."""
    match = _PATH.match(text)
    if not match:
        raise ValueError(f"{text!r} is not a path such as PID-5.1 or PID-3[2].4")
    segment, which, field, repeat, component, subcomponent = match.groups()
    return Path(segment, int(which or 1), int(field or 0), int(repeat or 1), int(component or 0), int(subcomponent or 0))


class Segment:
    """One segment. `fields[0]` is its name, `fields[3]` its third field as it was sent (MSH counts its separator as the first)."""

    __slots__ = ("fields", "message")

    def __init__(self, fields: list[str], message: "Message") -> None:
        self.fields = fields
        self.message = message

    @property
    def name(self) -> str:
        return self.fields[0]

    def raw(self, field: int) -> str:
        """The field as it was sent; "" where the segment is shorter."""
        return self.fields[field] if field < len(self.fields) else ""

    def deletes(self, field: int) -> bool:
        """True where the sender wrote `\"\"`: delete what you have."""
        return self.raw(field) == NULL

    def repeats(self, field: int) -> list["Repeat"]:
        """The repetitions that say something."""
        raw = self.raw(field)
        if not raw or raw == NULL:
            return []
        if self.fields[0] in _HEADERS and field <= 2:
            return [Repeat(raw, self.message, literal=True)]
        parts = raw.split(self.message.separators.repetition)
        return [Repeat(part, self.message) for part in parts if part and part != NULL]

    def value(self, field: int, component: int = 1, subcomponent: int = 1) -> str:
        """Unescaped text of one component of the first repetition; "" where there is none or it is `\"\"`."""
        raw = self.fields[field] if field < len(self.fields) else ""
        if not raw or raw == NULL:
            return ""
        separators = self.message.separators
        if self.fields[0] in _HEADERS and field <= 2:
            return raw
        if separators.repetition in raw:
            raw = raw.split(separators.repetition, 1)[0]
        return _component(raw, component, subcomponent, self.message)


class Repeat:
    """One repetition of a field."""

    __slots__ = ("literal", "message", "raw")

    def __init__(self, raw: str, message: "Message", literal: bool = False) -> None:
        self.raw = raw
        self.message = message
        self.literal = literal

    def __getitem__(self, component: int) -> str:
        """Unescaped text of a component (its first subcomponent), counted from 1."""
        return self.raw if self.literal else _component(self.raw, component, 1, self.message)

    def sub(self, component: int, subcomponent: int) -> str:
        return _component(self.raw, component, subcomponent, self.message)

    @property
    def components(self) -> list[list[str]]:
        """Every component as its subcomponents, unescaped."""
        if self.literal:
            return [[self.raw]]
        separators = self.message.separators
        return [
            [self.message.unescape(sub) for sub in _split(part, separators.subcomponent)]
            for part in _split(self.raw, separators.component)
        ]

    @property
    def text(self) -> str:
        """The whole repetition, unescaped, its components left joined."""
        return self.raw if self.literal else self.message.unescape(self.raw)


def _split(text: str, separator: str) -> list[str]:
    return text.split(separator) if separator else [text]


def _component(raw: str, component: int, subcomponent: int, message: "Message") -> str:
    separators = message.separators
    if separators.component in raw:
        parts = raw.split(separators.component, component)
        if component > len(parts):
            return ""
        raw = parts[component - 1]
    elif component != 1:
        return ""
    if separators.subcomponent and separators.subcomponent in raw:
        parts = raw.split(separators.subcomponent)
        raw = parts[subcomponent - 1] if subcomponent <= len(parts) else ""
    elif subcomponent != 1:
        return ""
    if raw == NULL:
        return ""
    return message.unescape(raw) if separators.escape and separators.escape in raw else raw


class Message:
    """A parsed message. `message["PID-5.1"]` is text; `message.segments` keeps every segment, known or not, in order."""

    __slots__ = ("_codec", "_ends", "charset", "guessed", "prefix", "segments", "separators")

    def __init__(self, text: str, codec: str, charset: str, guessed: bool) -> None:
        self._codec = codec
        self.charset = charset  # what an answer is written in
        self.guessed = guessed  # neither what MSH-18 says nor UTF-8: read as Windows-1252
        start = next((at for at in (text.find(name) for name in ("MSH", "FHS", "BHS")) if at >= 0), -1)
        if start < 0 or text[:start].strip("\ufeff\r\n\t \x0b"):
            raise Malformed("The message does not begin with an MSH segment")
        self.prefix = text[:start]
        text = text[start:]
        self.separators = _separators(text)
        if text.count("\r") + text.count("\n") > MAX_SEGMENTS or text.count(self.separators.field) > MAX_FIELDS:
            raise Malformed("The message has more segments or fields after MSH than this server takes")
        lines, self._ends = _lines(text, self.separators.field)
        self.segments = [Segment(_fields(line, self.separators.field), self) for line in lines]

    def encode(self) -> bytes:
        """The bytes that were parsed."""
        separator = self.separators.field
        out = [self.prefix]
        for segment, end in zip(self.segments, self._ends, strict=True):
            fields = segment.fields
            if fields[0] in _HEADERS and len(fields) > 1:
                out.append(fields[0] + fields[1] + separator.join(fields[2:]))
            else:
                out.append(separator.join(fields))
            out.append(end)
        return "".join(out).encode(self._codec, "hl7v2")

    def first(self, name: str) -> Segment | None:
        for segment in self.segments:
            if segment.fields[0] == name:
                return segment
        return None

    def all(self, name: str) -> Iterator[Segment]:
        return (segment for segment in self.segments if segment.fields[0] == name)

    def __getitem__(self, where: str) -> str:
        """Unescaped text at a path, "" where nothing is."""
        at = path(where)
        found = [segment for segment in self.segments if segment.fields[0] == at.segment]
        if at.which > len(found) or at.which < 1:
            return ""
        segment = found[at.which - 1]
        if not at.field:
            return self.separators.field.join(segment.fields)
        raw = segment.raw(at.field)
        if segment.name in _HEADERS and at.field <= 2:
            return raw
        parts = raw.split(self.separators.repetition)
        if at.repeat > len(parts) or parts[at.repeat - 1] == NULL:
            return ""
        if not at.component:
            return self.unescape(parts[at.repeat - 1])
        return _component(parts[at.repeat - 1], at.component, at.subcomponent or 1, self)

    def unescape(self, text: str) -> str:
        """Decode escape sequences once. A sequence that HL7 does not know stays as it was."""
        escape = self.separators.escape
        if not escape or escape not in text:
            return text
        return _escapes(escape).sub(self._sequence, text)

    def _sequence(self, match: re.Match[str]) -> str:
        body = match.group(1)
        separators = self.separators
        plain = {
            "F": separators.field,
            "S": separators.component,
            "T": separators.subcomponent,
            "R": separators.repetition,
            "E": separators.escape,
            "P": separators.truncation or "#",
            "H": "",
            "N": "",
            ".br": "\n",
            ".ce": "\n",
        }.get(body)
        if plain is not None:
            return plain
        if body.startswith(".sp"):
            lines = whole_number(body[3:], 2)
            return "\n" * (1 if lines is None else lines)
        if body[:1] == "X" and len(body) > 1 and len(body) % 2 == 1 and re.fullmatch("[0-9A-Fa-f]+", body[1:]):
            data = bytes.fromhex(body[1:])
            try:
                return data.decode("utf-8")
            except UnicodeDecodeError:
                return data.decode("iso8859-1")
        return match.group(0)


@lru_cache(16)
def _escapes(escape: str) -> re.Pattern[str]:
    mark = re.escape(escape)
    return re.compile(f"{mark}([^{mark}\r\n]{{1,1000}}?){mark}")


def _separators(text: str) -> Separators:
    """From the first header. Raises Malformed where they contradict themselves."""
    if len(text) < 5:
        raise Malformed("The MSH segment ends before its encoding characters", expression="MSH-2")
    field = text[3]
    if field.isalnum() or field in "\r\n \t":
        raise Malformed("The MSH segment has no field separator after its name", expression="MSH-1")
    end = re.search(f"[\r\n{re.escape(field)}]", text[4:])
    marks = text[4 : 4 + end.start()] if end else text[4:]
    if not marks:
        raise Malformed("MSH-2 is empty: it must hold the encoding characters", expression="MSH-2")
    if len(marks) > 5 or len(set(marks)) != len(marks) or any(mark.isalnum() for mark in marks):
        raise Malformed("MSH-2 must hold up to five different encoding characters, such as ^~\\&", expression="MSH-2")
    marks = marks.ljust(5, "\0")
    component, repetition, escape, subcomponent, truncation = (mark if mark != "\0" else "" for mark in marks)
    return Separators(field, component, repetition or "~", escape, subcomponent, truncation)


@lru_cache(16)
def _breaks(field: str) -> re.Pattern[str]:
    # A line feed ends a segment only where another segment, a blank line or the end follows: senders wrap long text with it.
    return re.compile(rf"(\r\n?|\n(?=[A-Z][A-Z0-9]{{2}}(?:{re.escape(field)}|[\r\n]|\Z)|[\r\n]|\Z))")


def _lines(text: str, field: str) -> tuple[list[str], list[str]]:
    if "\n" in text:
        parts = _breaks(field).split(text)
        lines, ends = parts[0::2], parts[1::2]
    else:
        lines = text.split("\r")
        ends = ["\r"] * (len(lines) - 1)
    if lines[-1]:
        ends.append("")
    else:
        lines.pop()
    return lines, ends


def _fields(line: str, separator: str) -> list[str]:
    if line[:3] in _HEADERS and line[3:4] == separator:
        return [line[:3], separator, *line[4:].split(separator)]
    return line.split(separator)


def parse(raw: bytes) -> Message:
    """Read one message, in the character set that its byte order mark, MSH-18, or its bytes tell.

    Raises Malformed where the bytes hold no MSH segment or its encoding characters make no sense.
    """
    text, codec, charset, guessed = decode(raw)
    return Message(text, codec, charset, guessed)

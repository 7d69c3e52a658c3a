"""Acknowledgements: which kind a sender wants, and the message that says it.

Original mode answers once, after the message was mapped (AA, AE, AR). Enhanced mode answers once the bytes are durable (CA, CE, CR).
MSH-15 and MSH-16 decide: both empty means original. A sender's entry can override what its messages say.

An acknowledgement names places (`PID-7`), never values: it may be logged anywhere.
"""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from app import clock, ids
from app.fhir.numbers import whole_number
from app.intake.hl7v2.er7 import Message

Mode = Literal["auto", "original", "enhanced"]
Verdict = Literal["accept", "error", "reject"]
VERSIONS = ("2.1", "2.2", "2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.6", "2.7", "2.7.1", "2.8", "2.8.1", "2.8.2", "2.9")

# HL7 table 0357, as far as this server uses it
SEGMENT_SEQUENCE, REQUIRED_FIELD, DATA_TYPE, UNKNOWN_CODE = "100", "101", "102", "103"
UNSUPPORTED_EVENT, UNSUPPORTED_VERSION, UNKNOWN_KEY, INTERNAL = "201", "203", "204", "207"
_TEXTS = {
    "0": "Message accepted",
    SEGMENT_SEQUENCE: "Segment sequence error",
    REQUIRED_FIELD: "Required field missing",
    DATA_TYPE: "Data type error",
    UNKNOWN_CODE: "Table value not found",
    UNSUPPORTED_EVENT: "Unsupported event code",
    UNSUPPORTED_VERSION: "Unsupported version id",
    UNKNOWN_KEY: "Unknown key identifier",
    INTERNAL: "Application internal error",
}


class Problem(NamedTuple):
    """One thing that is wrong. `where` is a path such as `MSH-12` or `PID[1]-7`; `text` has no value of the message in it."""

    text: str
    where: str = ""
    code: str = INTERNAL
    severity: Literal["E", "W", "I"] = "E"


def enhanced(message: Message | None, mode: Mode = "auto") -> bool:
    """Whether the answer is an accept acknowledgement (CA, CE, CR)."""
    if mode != "auto" or message is None:
        return mode == "enhanced"
    return bool(message["MSH-15"] or message["MSH-16"])


def wanted(message: Message | None, verdict: Verdict) -> bool:
    """What MSH-15 says about this verdict in enhanced mode: AL always, NE never, ER and SU on failure and success."""
    condition = message["MSH-15"].upper() if message else ""
    return {"NE": False, "ER": verdict != "accept", "SU": verdict == "accept"}.get(condition, True)


def build(
    message: Message | None,
    verdict: Verdict,
    problems: Sequence[Problem] = (),
    *,
    mode: Mode = "auto",
    charset: str | None = None,
) -> bytes:
    """The acknowledgement's bytes, ending in CR, in the sender's separators and character set."""
    separators = message.separators if message else None
    field, component, repetition, escape, sub = separators[:5] if separators else ("|", "^", "~", "\\", "&")
    marks = component + repetition + escape + sub + (separators.truncation if separators else "")
    code = {"accept": "A", "error": "E", "reject": "R"}[verdict]
    code = ("C" if enhanced(message, mode) else "A") + code

    def raw(number: int) -> str:
        header = message.first("MSH") if message else None
        return header.raw(number) if header else ""

    def escaped(text: str) -> str:
        text = text.replace("\r", " ").replace("\n", " ")
        if not escape:
            return text
        text = text.replace(escape, f"{escape}E{escape}")
        for mark, letter in ((field, "F"), (component, "S"), (repetition, "R"), (sub, "T")):
            if mark:
                text = text.replace(mark, f"{escape}{letter}{escape}")
        return text

    version = raw(12) or "2.4"
    event = message["MSH-9.2"] if message else ""
    kind = (
        component.join(["ACK", event, "ACK"])
        if event and _at_least(version, (2, 4))
        else component.join(["ACK", event]).rstrip(component)
    )
    header = ["MSH", marks, raw(5), raw(6), raw(3), raw(4), clock.now().strftime("%Y%m%d%H%M%S+0000"), "", kind]
    header += [ids.new_id()[:20].upper(), raw(11) or "P", version]
    if raw(18):
        header += ["", "", "", "", "", raw(18)]
    segments = [field.join(header)]
    msa = ["MSA", code, raw(10)]
    modern = _at_least(version, (2, 5))
    if verdict == "accept" and not modern:
        problems = ()  # up to 2.4 an ERR segment means failure: a warning in it would make senders send again
    if problems and verdict != "accept":
        msa.append(escaped(problems[0].text[:80]))
    segments.append(field.join(msa))
    for problem in problems[:20]:
        segments.append(field.join(_modern(problem, component, escaped) if modern else _old(problem, component, sub or "&")))
    text = "\r".join(segments) + "\r"
    codec = charset or (message.charset if message else "utf-8")
    return text.encode(codec, "hl7v2" if codec == "cp1252" else "replace")


def _at_least(version: str, floor: tuple[int, int]) -> bool:
    major, minor = (whole_number(part) for part in [*version.split("^")[0].split("."), ""][:2])
    return major is not None and minor is not None and (major, minor) >= floor


def _location(where: str) -> list[str]:
    """ERL: segment, sequence, field, repetition, component."""
    segment, _, rest = where.partition("-")
    name, _, which = segment.partition("[")
    numbers = rest.split(".")
    field, _, repeat = numbers[0].partition("[")
    out = [
        name,
        which.rstrip("]") or "1",
        field,
        repeat.rstrip("]") or ("1" if field else ""),
        numbers[1] if len(numbers) > 1 else "",
    ]
    while out and not out[-1]:
        out.pop()
    return out


def _modern(problem: Problem, component: str, escaped: Callable[[str], str]) -> list[str]:
    """ERR from version 2.5 on."""
    location = component.join(_location(problem.where)) if problem.where else ""
    code = component.join([problem.code, _TEXTS.get(problem.code, ""), "HL70357"])
    return ["ERR", "", location, code, problem.severity, "", "", "", escaped(problem.text)]


def _old(problem: Problem, component: str, sub: str) -> list[str]:
    """ERR up to version 2.4: one field of location and code."""
    location = _location(problem.where) if problem.where else [""]
    parts = [*location[:3], *[""] * (3 - len(location[:3])), sub.join([problem.code, _TEXTS.get(problem.code, ""), "HL70357"])]
    return ["ERR", component.join(parts)]

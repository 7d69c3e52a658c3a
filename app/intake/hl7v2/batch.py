"""Batches: FHS, BHS … BTS, FTS around messages, in a file or in one frame."""

import re

from app.fhir.numbers import whole_number

MAX_LINES = 500_000  # more than that is no batch, and its lines would be gigabytes of objects


def split_batch(raw: bytes) -> tuple[list[bytes], list[str]]:
    """The messages of a batch (FHS, BHS … BTS, FTS) and sentences on counts that do not agree. A single message is a batch of one."""
    if raw.count(b"\r") + raw.count(b"\n") > MAX_LINES:
        return [raw], []
    if not re.match(rb"(?:\xef\xbb\xbf)?\s*(?:FHS|BHS)", raw) and len(re.findall(rb"(?:\A|[\r\n])MSH", raw[3:])) == 0:
        return [raw], []
    messages: list[bytes] = []
    problems: list[str] = []
    current: list[bytes] = []
    in_batch = 0
    for line in re.findall(rb"[^\r\n]*[\r\n]*", raw):
        name = line.lstrip(b"\xef\xbb\xbf")[:3]
        if name in (b"MSH", b"FHS", b"BHS", b"BTS", b"FTS"):
            if current:
                messages.append(b"".join(current))
                in_batch += 1
            current = [line] if name == b"MSH" else []
        elif current:
            current.append(line)
        if name == b"BHS":
            in_batch = 0
        if name == b"BTS":
            told = line[4:].split(line[3:4] or b"|")[0].strip()
            if told.isdigit() and whole_number(told.decode()) != in_batch:
                problems.append(f"BTS-1 says {told.decode()[:9]} messages, the batch has {in_batch}")
    if current:
        messages.append(b"".join(current))
    return messages, problems

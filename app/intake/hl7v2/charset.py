"""Which characters the bytes of a message are: byte order mark, MSH-18, UTF-8 if they are that, else Windows-1252.

Every choice can be undone: what was decoded here encodes to the same bytes (error handler `hl7v2`).
"""

import codecs

# MSH-18 as senders write it. "UNICODE" alone says nothing about the encoding, so it is tried as UTF-8 like an empty one.
CHARSETS = {
    "ASCII": "utf-8",
    "UNICODE UTF-8": "utf-8",
    "UTF-8": "utf-8",
    "UTF8": "utf-8",
    "UNICODE UTF-16": "utf-16",
    "8859/1": "iso8859-1",
    "ISO 8859-1": "iso8859-1",
    "8859/15": "iso8859-15",
    "8859/2": "iso8859-2",
    "WINDOWS-1252": "cp1252",
}


def _undefined(error: UnicodeError) -> tuple[str | bytes, int]:
    """The five bytes that Windows-1252 leaves undefined become the control characters of the same number, and back."""
    if isinstance(error, UnicodeDecodeError):
        return "".join(map(chr, error.object[error.start : error.end])), error.end
    if isinstance(error, UnicodeEncodeError):
        return bytes(min(ord(char), 255) for char in error.object[error.start : error.end]), error.end
    raise error


codecs.register_error("hl7v2", _undefined)


def decode(raw: bytes) -> tuple[str, str, str, bool]:
    """Text, codec that undoes it, character set for an answer, and whether the choice was a guess."""
    for mark, codec in ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")):
        if raw.startswith(mark):
            try:
                return raw.decode(codec), codec, codec, False
            except UnicodeDecodeError:
                break
    declared = CHARSETS.get(_declared(raw), "utf-8")
    if declared not in ("utf-8", "utf-16"):
        return raw.decode(declared, "hl7v2"), declared, declared, False
    try:
        return raw.decode("utf-8"), "utf-8", "utf-8", False
    except UnicodeDecodeError:
        return raw.decode("cp1252", "hl7v2"), "cp1252", "cp1252", True


def _declared(raw: bytes) -> str:
    """MSH-18, its first repetition, read from the bytes before the character set is known."""
    at = raw.find(b"MSH", 0, 64)
    if at < 0 or len(raw) < at + 8:
        return ""
    head = raw[at : at + 4096]
    ends = [end for end in (head.find(b"\r"), head.find(b"\n")) if end > 0]
    fields = head[: min(ends)] if ends else head
    parts = fields.split(head[3:4], 18)
    repetition = head[5:6] or b"~"
    return parts[17].split(repetition)[0].decode("ascii", "replace").strip().upper() if len(parts) > 17 else ""

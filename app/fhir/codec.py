"""The one JSON codec. Bytes become plain dicts with exact decimals, and go back without losing a digit.

What must stay true: nothing ambiguous gets in (duplicate keys, NaN, bad UTF-8, lone surrogates), depth is known before
anything recurses over the value, and whatever is refused is refused with its line and column.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal, DecimalException
from typing import Any, BinaryIO

import msgspec

from app.fhir.errors import Malformed

MAX_DEPTH = 100
MAX_LINE = 64 << 20
MAX_EXPONENT = 1000  # a decimal of 1E+999999999 is ten bytes that become a gigabyte in the first sum

_BOM = b"\xef\xbb\xbf"
_LAYOUT_BUDGET = 64 << 20
_NOT_MARKS = bytes(byte for byte in range(256) if byte not in b'[]{}"')
_ONE_KIND = bytes.maketrans(b"{}", b"[]")
_AT_BYTE = re.compile(r" ?\(byte (\d+)\)")


def _number(text: str) -> Decimal:
    value = Decimal(text)
    if abs(value.adjusted()) > MAX_EXPONENT:
        raise ValueError(f"the number {text[:40]} is too large or too small")
    return value


_decoder = msgspec.json.Decoder(float_hook=_number)
_encoder = msgspec.json.Encoder(decimal_format="number")


def decode(raw: bytes) -> dict[str, Any]:
    """The JSON object in `raw`: dict, list, str, int, Decimal, bool, None.

    Raises Malformed, with line and column where they are known. A byte order mark is passed over.
    """
    value = _decode(raw)
    if type(value) is not dict:
        raise Malformed(f"JSON must be one object, but this is {_kind(value)}.", line=1, column=1)
    return value


def decode_list(raw: bytes) -> list[Any]:
    """The same of a JSON array."""
    value = _decode(raw)
    if type(value) is not list:
        raise Malformed(f"JSON must be one array, but this is {_kind(value)}.", line=1, column=1)
    return value


def _decode(raw: bytes) -> Any:
    if raw.startswith(_BOM):
        raw = raw[3:]
    openings = raw.count(b"{") + raw.count(b"[")
    if openings > MAX_DEPTH and _is_too_deep(raw, openings):
        raise _too_deep()
    try:
        value = _decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise _malformed(raw, f"A number is out of range ({error}).") from error
    except msgspec.DecodeError as error:
        raise _malformed(raw, str(error)) from error
    except UnicodeDecodeError as error:
        raise _not_utf8(raw) from error
    except RecursionError as error:
        raise _too_deep() from error
    except (DecimalException, ValueError) as error:
        raise Malformed(f"JSON has a number that cannot be kept: {error}.") from error
    # Each string is two quotes, so a key that was lost to its double shows as missing quotes. An escaped quote could hide one.
    if raw.count(b'"') != _encoder.encode(value).count(b'"') or (b"\\" in raw and b"\\u0022" in raw):
        _refuse_duplicates(raw)
    return value


def encode(value: Any) -> bytes:
    """Compact JSON; Decimals as numbers with all their digits."""
    return _encoder.encode(value)


def decode_lines(stream: BinaryIO, max_line: int = MAX_LINE) -> Iterator[tuple[int, dict[str, Any] | Malformed]]:
    """NDJSON, one line in memory at a time: `(line number, resource or what is wrong with it)`. Blank lines are passed over."""
    for number, raw in lines(stream, max_line):
        try:
            if len(raw) > max_line:
                raise Malformed(f"The line is longer than {max_line} bytes.", line=number)
            yield number, decode_line(raw, number)
        except Malformed as error:
            yield number, error


def decode_line(raw: bytes, number: int) -> dict[str, Any]:
    """`decode` of one line of many: Malformed tells that line."""
    try:
        return decode(raw)
    except Malformed as error:
        raise Malformed(error.issues[0].diagnostics, line=number, column=error.issues[0].column) from None


def lines(stream: BinaryIO, max_line: int = MAX_LINE) -> Iterator[tuple[int, bytes]]:
    """Numbered lines that are not blank. Of a line that is too long only `max_line + 1` bytes are kept, the rest is passed over."""
    number = 0
    while raw := stream.readline(max_line + 1):
        number += 1
        rest = raw
        while len(rest) > max_line and not rest.endswith(b"\n"):
            rest = stream.readline(max_line + 1)
        if raw.strip():
            yield number, raw.rstrip(b"\r\n")


def depth(raw: bytes) -> int:
    """How deep arrays and objects nest in JSON text, without recursion and without trusting that it is JSON.

    Exact up to MAX_DEPTH; beyond that, and of brackets that do not match, only that it is at least so deep.
    """
    if b"\\" in raw:
        raw = raw.replace(b"\\\\", b"").replace(b'\\"', b"")
    # Two quotes side by side open and close nothing between them: without them few strings are left to cut out.
    brackets = raw.translate(_ONE_KIND, _NOT_MARKS).replace(b'""', b"")
    if b'"' in brackets:
        brackets = b"".join(brackets.split(b'"')[::2])
    levels = 0
    while levels <= MAX_DEPTH and len(outer := brackets.replace(b"[]", b"")) < len(brackets):
        brackets = outer
        levels += 1
    return levels + brackets.count(b"[")


def _is_too_deep(raw: bytes, openings: int) -> bool:
    # Laid out with a space for each level, depth is one search for a long indent: five times as fast as counting, but a deep text could
    # grow a thousandfold, so only where that much is bearable.
    if (openings + raw.count(b",")) * 1000 <= _LAYOUT_BUDGET:
        try:
            return b"\n" + b" " * MAX_DEPTH in msgspec.json.format(raw, indent=1)
        except msgspec.DecodeError:
            pass
        except RecursionError:
            return True
    return depth(raw) > MAX_DEPTH


def _too_deep() -> Malformed:
    return Malformed(f"JSON is nested more than {MAX_DEPTH} levels deep.")


def _kind(value: Any) -> str:
    return {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}.get(
        type(value), "a number"
    )


def _malformed(raw: bytes, message: str) -> Malformed:
    if "truncated" in message:
        # msgspec says "truncated" of a lone surrogate too; the standard library tells the two apart, and where.
        try:
            json.loads(raw)
        except json.JSONDecodeError as error:
            return Malformed(f"JSON is malformed: {error.msg}.", line=error.lineno, column=error.colno)
        except (ValueError, RecursionError):
            return Malformed("JSON is malformed.")
        return Malformed("JSON has half of a surrogate pair in a string; use the character itself or both halves.")
    at = _AT_BYTE.search(message)
    if at is None:
        return Malformed(message)
    line, column = _position(
        raw, int(at.group(1)) - message.startswith("JSON is malformed: trailing characters")
    )  # one too far there
    return Malformed(_AT_BYTE.sub("", message) + ".", line=line, column=column)


def _not_utf8(raw: bytes) -> Malformed:
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        line, column = _position(raw, error.start)
        return Malformed("JSON must be UTF-8, but has a byte sequence that is not.", line=line, column=column)
    return Malformed("JSON must be UTF-8, but an escape in a string is half of a surrogate pair.")


def _position(raw: bytes, at: int) -> tuple[int, int]:
    before = raw[:at]
    line_start = before.rfind(b"\n") + 1
    return before.count(b"\n") + 1, len(before[line_start:].decode("utf-8", "replace")) + 1


def _refuse_duplicates(raw: bytes) -> None:
    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        seen = dict(items)
        if len(seen) != len(items):
            raise _Duplicate(next(key for key, times in Counter(key for key, _ in items).items() if times > 1))
        return seen

    try:
        json.loads(raw, object_pairs_hook=pairs)
    except _Duplicate as error:
        key = str(error)
        places = [match.start() for match in re.finditer(re.escape(json.dumps(key).encode()) + rb"\s*:", raw)]
        line, column = _position(raw, places[1]) if len(places) == 2 else (None, None)
        raise Malformed(
            f"The key '{key[:64]}' appears twice in one object; keep one of them.", line=line, column=column
        ) from None


class _Duplicate(Exception):
    """A key that came twice."""

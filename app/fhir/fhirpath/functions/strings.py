"""Strings. Regular expressions run on RE2, so no pattern can take more than linear time; texts are bounded."""

import base64
import binascii
import html
import json
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import re2

from app.fhir.fhirpath.environment import MAX_TEXT, Environment
from app.fhir.fhirpath.errors import FHIRPathError
from app.fhir.fhirpath.functions.conversions import as_string
from app.fhir.fhirpath.functions.registry import function
from app.fhir.fhirpath.values import EMPTY, Items, singleton, system


def _text(items: Items, name: str) -> str | None:
    value = singleton(items, f"{name}()")
    if value is None:
        return None
    if type(value) is not str:
        text = getattr(value, "text", None)  # a date as it was written
        if text is None or name not in _TAKES_DATES:
            raise FHIRPathError(f"FHIRPath: {name}() takes a string")
        return str(text)
    return value


_JSON_ESCAPE = re.compile(r"(?:\\u[0-9A-Fa-f]{4})+|\\.", re.DOTALL)
_TAKES_DATES = frozenset(["startsWith", "endsWith", "contains", "matches", "substring", "length"])


def _bounded(text: str) -> Items:
    if len(text) > MAX_TEXT:
        raise FHIRPathError("FHIRPath: the text grows too long")
    return [text]


def _unary(name: str, operation: Callable[[str], Any]) -> None:
    @function(name)
    def run(items: Items, _env: Environment) -> Items:
        text = _text(items, name)
        return EMPTY if text is None else [operation(text)]


_unary("upper", str.upper)
_unary("lower", str.lower)
_unary("trim", str.strip)
_unary("length", len)


@function("toChars")
def to_chars(items: Items, _env: Environment) -> Items:
    return list(_text(items, "toChars") or "")


def _binary_test(name: str, operation: Callable[[str, str], bool]) -> None:
    @function(name, 1, test=True)
    def run(items: Items, _env: Environment, other: Items) -> bool | None:
        text, part = _text(items, name), _text(other, name)
        return None if text is None or part is None else operation(text, part)


_binary_test("startsWith", str.startswith)
_binary_test("endsWith", str.endswith)
_binary_test("contains", str.__contains__)


@function("indexOf", 1)
def index_of(items: Items, _env: Environment, other: Items) -> Items:
    text, part = _text(items, "indexOf"), _text(other, "indexOf")
    return EMPTY if text is None or part is None else [text.find(part)]


@function("lastIndexOf", 1)
def last_index_of(items: Items, _env: Environment, other: Items) -> Items:
    text, part = _text(items, "lastIndexOf"), _text(other, "lastIndexOf")
    return EMPTY if text is None or part is None else [text.rfind(part)]


@function("substring", 1, 2)
def substring(items: Items, _env: Environment, start: Items, length: Items = EMPTY) -> Items:
    text, begin, size = _text(items, "substring"), singleton(start, "substring()"), singleton(length, "substring()")
    if text is None or begin is None:
        return EMPTY
    if type(begin) is not int or (size is not None and type(size) is not int):
        raise FHIRPathError("FHIRPath: substring() takes integers")
    if not 0 <= begin < len(text):
        return EMPTY
    return [text[begin:] if size is None else text[begin : begin + max(size, 0)]]


@function("replace", 2)
def replace(items: Items, env: Environment, pattern: Items, substitution: Items) -> Items:
    text, old, new = _text(items, "replace"), _text(pattern, "replace"), _text(substitution, "replace")
    if text is None or old is None or new is None:
        return EMPTY
    if (text.count(old)) * len(new) + len(text) > MAX_TEXT:
        raise FHIRPathError("FHIRPath: the text grows too long")
    return [text.replace(old, new)]


@lru_cache(maxsize=500)
def _pattern(text: str, whole: bool) -> Any:
    options = re2.Options()
    options.dot_nl = True
    options.log_errors = False
    try:
        return re2.compile(f"^(?:{text})$" if whole else text, options)
    except re2.error as problem:
        raise FHIRPathError(f"FHIRPath: the regular expression does not compile: {problem}") from None


@function("matches", 1, test=True)
def matches(items: Items, _env: Environment, pattern: Items) -> bool | None:
    text, regex = _text(items, "matches"), _text(pattern, "matches")
    return None if text is None or regex is None else _pattern(regex, False).search(text) is not None


@function("matchesFull", 1, test=True)
def matches_full(items: Items, _env: Environment, pattern: Items) -> bool | None:
    text, regex = _text(items, "matchesFull"), _text(pattern, "matchesFull")
    return None if text is None or regex is None else _pattern(regex, True).search(text) is not None


@function("replaceMatches", 2)
def replace_matches(items: Items, _env: Environment, pattern: Items, substitution: Items) -> Items:
    text, regex, new = _text(items, "replaceMatches"), _text(pattern, "replaceMatches"), _text(substitution, "replaceMatches")
    if text is None or regex is None or new is None:
        return EMPTY
    if not regex:
        return [text]
    if (len(text) + 1) * (len(new) + 1) > MAX_TEXT:
        raise FHIRPathError("FHIRPath: the text grows too long")
    return _bounded(_pattern(regex, False).sub(_group_references(new), text))


def _group_references(text: str) -> str:
    r"""`$1` and `${name}` as RE2 writes them: `\1`, `\g<name>`."""
    return str(re2.sub(r"\$(?:\{(\w+)\}|(\d+))", lambda m: rf"\g<{m[1] or m[2]}>", text.replace("\\", "\\\\")))


@function("split", 1)
def split(items: Items, _env: Environment, separator: Items) -> Items:
    text, by = _text(items, "split"), _text(separator, "split")
    return EMPTY if text is None or by is None else text.split(by) if by else list(text)


@function("join", 0, 1)
def join(items: Items, _env: Environment, separator: Items = EMPTY) -> Items:
    texts = [as_string(system(item)) for item in items]
    return _bounded((_text(separator, "join") or "").join(text for text in texts if text is not None)) if items else EMPTY


def _base64(url_safe: bool) -> tuple[Callable[[str], str], Callable[[str], str]]:
    encode, decode = (base64.urlsafe_b64encode, base64.urlsafe_b64decode) if url_safe else (base64.b64encode, base64.b64decode)
    return lambda text: encode(text.encode()).decode(), lambda text: decode(text.encode()).decode()


_ENCODINGS: dict[str, tuple[Callable[[str], str], Callable[[str], str]]] = {
    "base64": _base64(False),
    "urlbase64": _base64(True),
    "hex": (lambda text: text.encode().hex(), lambda text: bytes.fromhex(text).decode()),
}


def _coded(items: Items, form: Items, name: str, place: int) -> Items:
    text, encoding = _text(items, name), _text(form, name)
    if text is None or encoding not in _ENCODINGS:
        return EMPTY
    try:
        return _bounded(_ENCODINGS[encoding][place](text))
    except (ValueError, binascii.Error):
        return EMPTY


@function("encode", 1)
def encode(items: Items, _env: Environment, form: Items) -> Items:
    return _coded(items, form, "encode", 0)


@function("decode", 1)
def decode(items: Items, _env: Environment, form: Items) -> Items:
    return _coded(items, form, "decode", 1)


@function("escape", 1)
def escape(items: Items, _env: Environment, form: Items) -> Items:
    text, target = _text(items, "escape"), _text(form, "escape")
    if text is None:
        return EMPTY
    return (
        [html.escape(text)] if target == "html" else [json.dumps(text, ensure_ascii=False)[1:-1]] if target == "json" else EMPTY
    )


@function("unescape", 1)
def unescape(items: Items, _env: Environment, form: Items) -> Items:
    text, target = _text(items, "unescape"), _text(form, "unescape")
    if text is None:
        return EMPTY
    if target == "html":
        return [html.unescape(text)]
    if target != "json":
        return EMPTY
    try:
        return [_JSON_ESCAPE.sub(lambda match: json.loads(f'"{match[0]}"'), text)]
    except ValueError:
        return EMPTY

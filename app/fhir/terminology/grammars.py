"""Systems whose codes are made by a grammar instead of a list: whether a code could be one. None where the grammar cannot tell."""

import re
from collections.abc import Callable, Mapping
from typing import Final

Grammar = Callable[[str], bool | None]

_NAME = r"[A-Za-z0-9!#$&^_.+-]+"
# RFC 6838; what follows a semicolon is free, and the short names are R4's own (CapabilityStatement.format): HL7's examples need both.
_mime = re.compile(rf"{_NAME}/(?:{_NAME}|\*)(?:\s*;.+)?|xml|json|ttl|none").fullmatch
_language = re.compile(r"(?:[A-Za-z]{2,8}|[ix])(?:-[A-Za-z0-9]{1,8})*").fullmatch  # RFC 5646
_currency = re.compile(r"[A-Z]{3}").fullmatch  # ISO 4217
_country = re.compile(r"[A-Z]{2,3}|[0-9]{3}").fullmatch  # ISO 3166-1
_unit = re.compile(r"[!-~]+").fullmatch  # UCUM: printable ASCII without blanks; the rest of its grammar is not judged here


def _matches(pattern: Callable[[str], object]) -> Grammar:
    return lambda code: pattern(code) is not None


def _possible(pattern: Callable[[str], object]) -> Grammar:
    return lambda code: None if pattern(code) is not None else False


GRAMMARS: Final[Mapping[str, Grammar]] = {
    "urn:ietf:bcp:13": _matches(_mime),
    "urn:ietf:bcp:47": _matches(_language),
    "urn:iso:std:iso:4217": _matches(_currency),
    "urn:iso:std:iso:3166": _matches(_country),
    "http://unitsofmeasure.org": _possible(_unit),
}

"""What a primitive value may look like in JSON: a quick test for each type, and a sentence for when it fails.

Stricter than the published patterns where those let through what the text of the standard refuses (30 February, base64
that does not decode, control characters), never looser.
"""

import binascii
import calendar
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

Test = Callable[[Any], bool]

MAX_STRING: Final = 1024 * 1024
_YEAR = r"(?!0000)[0-9]{4}"
_MONTH = r"(?:0[1-9]|1[0-2])"
_DAY = r"(?:0[1-9]|[12][0-9]|3[01])"
_EARLY_DAY = r"(?:0[1-9]|1[0-9]|2[0-8])"  # one that every month has
_TIME = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:(?:[0-5][0-9]|60)(?:\.[0-9]+)?"
_ZONE = r"(?:Z|[+-](?:(?:0[0-9]|1[0-3]):[0-5][0-9]|14:00))"

_date = re.compile(rf"{_YEAR}(?:-{_MONTH}(?:-{_DAY})?)?").fullmatch
_usual_date = re.compile(rf"{_YEAR}-{_MONTH}-{_EARLY_DAY}").fullmatch
_usual_instant = re.compile(rf"{_YEAR}-{_MONTH}-{_EARLY_DAY}T{_TIME}{_ZONE}").fullmatch
_instant = re.compile(rf"{_YEAR}-{_MONTH}-{_DAY}T{_TIME}{_ZONE}").fullmatch
_time = re.compile(_TIME).fullmatch
_id = re.compile(r"[A-Za-z0-9.-]{1,64}").fullmatch
_oid = re.compile(r"urn:oid:[0-2](?:\.(?:0|[1-9][0-9]*))+").fullmatch
_uuid = re.compile(r"urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}").fullmatch
_code = re.compile(r"\S+(?:\s\S+)*").fullmatch
_NO_XML = r"\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff"  # characters that XML cannot carry, so that all that is valid can be sent as XML
_odd = re.compile(rf"[{_NO_XML}]").search
_blank = re.compile(rf"[\s\x7f{_NO_XML}]").search

_SHORT = frozenset(["04", "06", "09", "11"])


def _real_day(text: str) -> bool:
    """Of a text that one of the patterns above has matched."""
    day, month = text[8:10], text[5:7]
    if month == "02" and day > "28":
        return day == "29" and calendar.isleap(int(text[:4]))
    return day < "31" or month not in _SHORT


def is_boolean(value: Any) -> bool:
    return value is True or value is False


def is_string(value: Any) -> bool:
    return type(value) is str and 0 < len(value) <= MAX_STRING and (value.isprintable() or _odd(value) is None)


def is_date(value: Any) -> bool:
    if type(value) is not str:
        return False
    return _usual_date(value) is not None or (_date(value) is not None and _real_day(value))


def is_date_time(value: Any) -> bool:
    if type(value) is not str or len(value) < 11:
        return is_date(value)
    return _usual_instant(value) is not None or (_instant(value) is not None and _real_day(value))


def is_instant(value: Any) -> bool:
    if type(value) is not str:
        return False
    return _usual_instant(value) is not None or (_instant(value) is not None and _real_day(value))


def is_time(value: Any) -> bool:
    return type(value) is str and _time(value) is not None


def is_decimal(value: Any) -> bool:
    return type(value) is int or (type(value) is Decimal and value.is_finite())


def is_integer(value: Any) -> bool:
    return type(value) is int and -(2**31) <= value < 2**31


def is_unsigned(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**31


def is_positive(value: Any) -> bool:
    return type(value) is int and 0 < value < 2**31


def is_id(value: Any) -> bool:
    return type(value) is str and _id(value) is not None


def is_code(value: Any) -> bool:
    return type(value) is str and (value.isalnum() or (_code(value) is not None and _odd(value) is None))


def is_uri(value: Any) -> bool:
    if type(value) is not str or not value:
        return False
    return (value.isprintable() and " " not in value) or _blank(value) is None


def is_oid(value: Any) -> bool:
    return type(value) is str and _oid(value) is not None


def is_uuid(value: Any) -> bool:
    return type(value) is str and _uuid(value) is not None


def is_base64(value: Any) -> bool:
    if type(value) is not str or not value:
        return False
    try:
        return bool(binascii.a2b_base64("".join(value.split()), strict_mode=True))
    except (binascii.Error, ValueError):
        return False


TESTS: Final[Mapping[str, Test]] = {
    "base64Binary": is_base64,
    "boolean": is_boolean,
    "canonical": is_uri,
    "code": is_code,
    "date": is_date,
    "dateTime": is_date_time,
    "decimal": is_decimal,
    "id": is_id,
    "instant": is_instant,
    "integer": is_integer,
    "markdown": is_string,
    "oid": is_oid,
    "positiveInt": is_positive,
    "string": is_string,
    "time": is_time,
    "unsignedInt": is_unsigned,
    "uri": is_uri,
    "url": is_uri,
    "uuid": is_uuid,
}

_NUMBERS = frozenset(["decimal", "integer", "unsignedInt", "positiveInt"])
_REPAIR: Final[Mapping[str, str]] = {
    "base64Binary": "must be base64 (RFC 4648, padded to groups of four)",
    "boolean": "must be true or false, without quotes",
    "canonical": "must be a URI without spaces, with |version if need be",
    "code": "must be a code: no leading, trailing or double spaces",
    "date": "must be a date that exists, as YYYY, YYYY-MM or YYYY-MM-DD",
    "dateTime": "must be a date that exists, as YYYY, YYYY-MM, YYYY-MM-DD or YYYY-MM-DDThh:mm:ss with Z or +hh:mm",
    "decimal": "must be a number, without quotes",
    "id": "must be 1 to 64 letters, digits, '-' and '.'",
    "instant": "must be a moment that exists, as YYYY-MM-DDThh:mm:ss with Z or +hh:mm",
    "integer": "must be a whole number from -2147483648 to 2147483647, without quotes and decimal point",
    "markdown": "must be text of 1 to 1,048,576 characters without control characters",
    "oid": "must be an OID such as urn:oid:2.16.840.1",
    "positiveInt": "must be a whole number from 1 to 2147483647, without quotes",
    "string": "must be text of 1 to 1,048,576 characters without control characters",
    "time": "must be a time as hh:mm:ss, without a zone",
    "unsignedInt": "must be a whole number from 0 to 2147483647, without quotes",
    "uri": "must be a URI without spaces",
    "url": "must be a URL without spaces",
    "uuid": "must be a UUID such as urn:uuid:c757873d-ec9a-4326-a141-556f43239520, in lower case",
}


def complaint(type_name: str, value: Any) -> str:
    """Why `value` is no `type_name`, and what would be one."""
    if value is None:
        return "null is not a value: leave the element out, or give it one."
    if value == "":
        return "The value is empty: leave the element out, or give it one."
    if isinstance(value, dict | list):
        return f"The value is {'an object' if isinstance(value, dict) else 'an array'}, but a {type_name} {_REPAIR[type_name]}."
    return f"{quoted(value)} is not a {type_name}: it {_REPAIR[type_name]}."


def quoted(value: Any) -> str:
    """The value, short and printable, for a sentence."""
    if isinstance(value, str):
        shown = value if len(value) <= 40 else value[:37] + "..."
        return "'" + "".join(each if each.isprintable() else "?" for each in shown) + "'"
    shown = {True: "true", False: "false"}.get(value, "") if isinstance(value, bool) else str(value)
    return shown if len(shown) <= 40 else shown[:37] + "..."

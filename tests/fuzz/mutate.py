"""Bytes from bytes: seeds spoilt in the ways that parsers dislike. Everything comes from the `Random` that is handed in."""

import json
from copy import deepcopy
from random import Random
from typing import Any

MAX_BYTES = 20_000
NASTY: list[Any] = [
    None,
    True,
    0,
    -1,
    2**63,
    1e300,
    "",
    " ",
    "\u0000",
    "\ud7ff",
    "#",
    "urn:uuid:x",
    [],
    {},
    [None],
    {"": ""},
    "9999-99-99",
]
TOKENS = {
    "json": [b"{", b"}", b"[", b"]", b'"', b":", b",", b"\\u0000", b"\\ud800", b"1e999", b"-0", b"null", b'"_', b"\xef\xbb\xbf", b"NaN"],
    "xml": [b"<", b">", b"/>", b"&#0;", b"&#x10ffff;", b"&amp;", b"<!--", b"-->", b"<![CDATA[", b"]]>", b"<?x ?>", b"xmlns=''", b" value='1'"],
    "fhirpath": [
        b"(", b")", b".", b"[0]", b"'", b"`", b"@2020-01", b"@T23:59", b"$this", b"%resource", b" is ", b" as ", b" | ", b" implies ",
        b".repeat(children())", b".descendants()", b".where(", b".select(", b".aggregate($total + 1, 0)", b".matches('(a+)+$')", b"1 year",
        b"4 'mg'", b" div 0", b".power(99999)", b".toQuantity('cm')", b".replaceMatches('', 'aa')", b".combine(%resource)", b"9" * 30,
        b".lowBoundary(28)", b".round(99)", b".substring(-1)", b"//", b"/*", b".defineVariable('a')", b".sort()", b"{}", b".ofType(Patient)",
    ],
    "query": [b"&", b"=", b"%", b"%2c", b",", b"|", b"$", b"\\", b":missing", b":of-type", b":not", b"_has:Observation:patient:code", b"ap",
              b"2020-02-30", b"9e99", b"..", b"_include=*", b"_sort=-", b"_count=-1", b":iterate", b"subject:Patient.name"],
    "units": [b".", b"/", b"(", b")", b"{", b"}", b"[", b"]", b"-99", b"10*", b"k", b"da", b"Cel", b"mm[Hg]", b"9" * 30, b"((((", b"'"],
    "posted": [b"&", b"=", b"%", b"%00", b"=true", b"=31%2F02%2F2024+09%3A30", b"=2024-03-31T01:30", b"=1e999", b"=-0", b"=%F0%9F%98%80", b"=NaN"],
    "er7": [b"\r", b"|", b"^", b"~", b"\\", b"&", b"\\X0D\\", b"\\F\\", b'""', b"MSH|", b"MSH", b"\x00", b"\x0b", b"\x1c\r", b"\xff", b"\\.br\\"],
}  # fmt: skip


def spoil(random: Random, seeds: list[bytes], vocabulary: list[bytes], is_json: bool) -> bytes:
    """One seed, spoilt between zero and eight times."""
    raw = random.choice(seeds)
    if is_json and random.random() < 0.6:
        raw = _spoil_tree(random, raw)
        if random.random() < 0.8:
            return raw[:MAX_BYTES]
    text = bytearray(raw)
    for _ in range(random.choice((0, 1, 1, 2, 3, 8))):
        at = random.randrange(len(text) + 1)
        end = min(len(text), at + random.choice((1, 1, 2, 8, 64)))
        match random.randrange(8):
            case 0:
                text[at:at] = random.choice(vocabulary)
            case 1:
                text[at:end] = random.choice(vocabulary)
            case 2:
                del text[at:end]
            case 3:
                text[at:at] = text[at:end] * random.choice((1, 2, 50))
            case 4:
                text[at:at] = random.choice(vocabulary) * random.choice((2, 50, 150, 1000))
            case 5:
                other = random.choice(seeds)
                cut = random.randrange(len(other) + 1)
                text[at:end] = other[cut : cut + random.choice((4, 32, 256))]
            case 6 if text:
                text[at % len(text)] = random.randrange(256)
            case _:
                text[at:at] = random.choice(
                    (b"\xc3\xa9", b"\xf0\x9f\x98\x80", b"\xed\xa0\x80", b"0", b"9" * 20, b"-", b"\n", b"\x00")
                )
    return bytes(text[:MAX_BYTES])


def _spoil_tree(random: Random, raw: bytes) -> bytes:
    """JSON that stays JSON: values exchanged, dropped, repeated, renamed, wrapped."""
    try:
        tree = json.loads(raw)
    except ValueError:
        return raw
    for _ in range(random.choice((1, 1, 2, 4))):
        places = list(_places(tree))
        if not places:
            break
        holder, key = random.choice(places)
        value = holder[key]
        match random.randrange(7):
            case 0:
                holder[key] = deepcopy(random.choice(NASTY))
            case 1:
                del holder[key]
            case 2 if isinstance(holder, list):
                holder.insert(key, json.loads(json.dumps(value)))
            case 3:
                other, name = random.choice(places)
                if name in other if isinstance(other, dict) else name < len(other):
                    holder[key] = json.loads(json.dumps(other[name]))
            case 4 if isinstance(holder, dict):
                holder[random.choice(("_" + key, key[1:], "extension", "id", "resourceType", "contained"))] = holder.pop(key)
            case 5:
                holder[key] = [value] if random.random() < 0.5 else {"extension": value}
            case _:
                if isinstance(value, str):
                    at = random.randrange(len(value) + 1)
                    holder[key] = (
                        value[:at]
                        + random.choice(("", "\u0000", "x" * 300, "é", "2020", "'", "<", "http://x|1"))
                        + value[at + 1 :]
                    )
                else:
                    holder[key] = deepcopy(random.choice(NASTY))
    return json.dumps(tree).encode()


def _places(tree: Any) -> Any:
    stack = [tree]
    while stack:
        one = stack.pop()
        keys = list(one) if isinstance(one, dict) else range(len(one)) if isinstance(one, list) else ()
        for key in keys:
            yield one, key
            stack.append(one[key])

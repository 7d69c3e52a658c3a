"""Index entries as arrays of a resource's document, under multikey indexes.

What must stay true: an element begins with eight characters that stand for one parameter of one type, then says in one character what
it is, then the value; a string answers a search by equality or by a range, so that an index bound is all that a search needs. Ranges (dates,
numbers) are small documents, since two bounds of one element cannot stand in one string.

| array | holds |
| --- | --- |
| `k` | tokens, references, and the mark that a parameter has a value at all |
| `s` | strings, URIs, display texts: folded text, a separator, the text as written |
| `d`, `q` | dates; numbers and quantities: `{p, l, h}` with unit |
| `c` | composites: `{p, c0: [...], c1: [...]}`, each component's entries with the same short names |
"""

from base64 import urlsafe_b64encode
from collections.abc import Mapping
from functools import lru_cache
from hashlib import blake2b
from typing import Any

from app.fhir.search import types as t
from app.store.meaning import LOGICAL, reference_forms

Document = dict[str, Any]

SEPARATOR = "\x01"
LAST = "\U0010ffff"
PREFIX = 9  # characters before the value: the parameter and what the element is

# Parameters whose least and greatest value a document keeps as a field of its own, so that an index has them in order.
SORTED = ("birthdate", "date", "family", "name", "given", "authored", "authored-on", "recorded-date", "onset-date", "period")


@lru_cache(maxsize=65536)
def hashed(text: str) -> str:
    """Eight characters of 48 bits, the same in every process and for ever; eight points for ""."""
    return urlsafe_b64encode(blake2b(text.encode(), digest_size=6).digest()).decode() if text else "........"


@lru_cache(maxsize=65536)
def param_key(type: str, param: str, part: str = "") -> str:
    """What stands for one parameter of one type; `part` for its `text` and `of-type` halves."""
    return hashed(f"{type}.{param}:{part}")


def present(key: str) -> str:
    """Says that the parameter has a value."""
    return f"{key}!"


def token_words(key: str, system: str, code: str) -> tuple[str, ...]:
    """By code, by system and code, by system."""
    name = hashed(system)
    return f"{key}={code}", f"{key}:{name}{code}", f"{key}/{name}"


def _reference_words(key: str, id: str, type: str, version: str) -> tuple[str, ...]:
    if type == LOGICAL:
        return f"{key}m{id}", f"{key}l{id}{SEPARATOR}{version}", f"{key}n{version}"
    if type:
        return f"{key}i{id}", f"{key}r{type}/{id}"
    return f"{key}u{id}", f"{key}v{id}{SEPARATOR}{version}"


def words_of(type: str, entries: t.Entries) -> Document:
    """The indexed fields of a resource of `type`: what a search may ask of it, and nothing that the entries did not say."""
    k: set[str] = set()
    s: set[str] = set()
    for param, system, code, text in entries.tokens:
        key = param_key(type, param)
        k.add(present(key))
        k.update(token_words(key, system, code))
        if text:
            s.add(f"{param_key(type, param, 'text')}={text}{SEPARATOR}")
    for param, system, code, value in entries.of_types:
        k.update(token_words(param_key(type, param, "of-type"), system, f"{code}|{value}"))
    for param, folded, exact in entries.strings:
        k.add(present(key := param_key(type, param)))
        s.add(f"{key}={folded}{SEPARATOR}{exact}")
    for param, uri in entries.uris:
        k.add(present(key := param_key(type, param)))
        s.add(f"{key}={uri}{SEPARATOR}")
    for reference in entries.references:
        key = param_key(type, reference.param)
        for form in reference_forms(reference):
            k.add(present(key))
            k.update(_reference_words(key, *form))
    dates = {(param_key(type, param), low, high) for param, low, high in entries.dates}
    numbers = {(param_key(type, one.param), one.low, one.high, "", "", "") for one in entries.numbers}
    numbers |= {(param_key(type, one.param), *one[1:3], hashed(one.system), one.code, one.unit) for one in entries.quantities}
    k.update(present(row[0]) for row in dates)
    k.update(present(row[0]) for row in numbers)
    composites = [_composite(type, composite, k) for composite in entries.composites]
    made: Document = {
        "k": sorted(k),
        "s": sorted(s),
        "d": [{"p": key, "l": low, "h": high} for key, low, high in sorted(dates)],
        "q": [dict(zip("plhycu", row, strict=True)) for row in sorted(numbers)],
        "c": composites,
    }
    return made | _extremes(entries)


def _composite(type: str, composite: t.Composite, k: set[str]) -> Document:
    key = param_key(type, composite.param)
    k.add(present(key))
    for entry in composite.components[0] if composite.components else ():
        if isinstance(entry, t.Token):
            k.update(token_words(key, entry.system, entry.code))  # so that the first component can lead
    return {"p": key} | {f"c{pos}": _elements(entries) for pos, entries in enumerate(composite.components)}


def _elements(component: tuple[t.Entry, ...]) -> list[Document]:
    made: list[Document] = []
    for entry in component:
        match entry:
            case t.Token():
                made.append({"c": entry.code, "y": hashed(entry.system)})
            case t.Quantity():
                made.append({"c": entry.code, "y": hashed(entry.system), "l": entry.low, "h": entry.high, "u": entry.unit})
            case t.Date() | t.Number():
                made.append({"l": entry.low, "h": entry.high})
            case t.String():
                made.append({"f": entry.folded, "e": entry.exact})
            case t.Uri():
                made.append({"f": entry.uri, "e": ""})
            case t.Reference():
                made.extend({"i": id, "t": type, "v": version} for id, type, version in reference_forms(entry))
            case t.OfType() | t.Composite():
                continue  # no R4 composite has them
    return made


def _extremes(entries: t.Entries) -> Document:
    low: Document = {}
    high: Document = {}
    for param, first, last in [
        *((one.param, one.low, one.low) for one in entries.dates),
        *((one.param, one.folded, one.folded) for one in entries.strings),
    ]:
        if param in SORTED:
            low[param] = min(low.get(param, first), first)
            high[param] = max(high.get(param, last), last)
    return {"lo": low, "hi": high}


def referenced(document: Mapping[str, Any], keys: set[str]) -> list[str]:
    """`Type/id` of what the document refers to by the parameters `keys`, in the index's order."""
    return [word[PREFIX:] for word in document.get("k", ()) if word[8] == "r" and word[:8] in keys]

"""One value of a search as a condition on an element of an index array (R4, search prefixes and modifiers).

`words` gives the strings that answer by equality; `element` a condition on a small document (a range, a component of a composite). Dates are
half-open ranges, numbers closed ones.
"""

import re
from collections.abc import Sequence
from typing import Any

from app.fhir.errors import NotSupported
from app.fhir.search import types as t
from app.store.meaning import LOGICAL, inside
from app.store.mongo.words import LAST, SEPARATOR, Document, hashed, param_key, present

NEGATIVE = ("not", "not-in")
NOTHING: Document = {"_id": {"$in": []}}
BASE = hashed(t.IN_BASE_UNITS)


def all_of(pieces: Sequence[Document]) -> Document:
    """Every one of `pieces`."""
    pieces = [piece for piece in pieces if piece]
    return pieces[0] if len(pieces) == 1 else {"$and": list(pieces)} if pieces else {}


def any_of(pieces: Sequence[Document]) -> Document:
    """At least one of `pieces`."""
    return pieces[0] if len(pieces) == 1 else {"$or": list(pieces)} if pieces else NOTHING


def one_of(values: Sequence[Any]) -> Any:
    """A value, or `$in`."""
    return values[0] if len(values) == 1 else {"$in": list(values)}


def keys(types: Sequence[str], param: t.Param, part: str = "") -> list[str]:
    """The keys of one parameter on several types."""
    return [param_key(type, code, part) for type in types for code in param.codes(type)]


def condition(match: t.Match, types: Sequence[str]) -> Document:
    """What a resource's document must say for `match` to hold."""
    if match.param.kind == "special":
        raise NotSupported("This parameter cannot be searched by value.")
    if match.param.kind == "composite":
        return any_of([_composite(match.param, value, types) for value in match.values])
    equal: list[str] = []
    others: list[Document] = []
    for value in match.values:
        _one(match, value, types, equal, others)
    found = any_of([*([{"k": one_of(equal)}] if equal else []), *others])
    return {"$nor": [found]} if match.modifier in NEGATIVE else found


def _one(match: t.Match, value: t.Value, types: Sequence[str], equal: list[str], others: list[Document]) -> None:
    param, modifier = match.param, match.modifier
    match value:
        case t.TokenValue() if modifier == "text":
            others.extend(_starts(key, value.code or "") for key in keys(types, param, "text"))
        case t.TokenValue():
            equal.extend(_token(key, value, modifier) for key in keys(types, param, (modifier == "of-type" and "of-type") or ""))
        case t.StringValue():
            part = "text" if modifier == "text" else ""
            others.extend(_string(key, value, modifier) for key in keys(types, param, part))
        case t.UriValue():
            others.extend(_uri(key, value.uri, modifier) for key in keys(types, param))
        case t.ReferenceValue():
            for key in keys(types, param):
                _reference(key, value, equal, others)
        case t.DateValue() | t.NumberValue() | t.QuantityValue():
            array = "d" if isinstance(value, t.DateValue) else "q"
            range_ = {"p": one_of(keys(types, param)), **element(param, value)}
            others.append({array: {"$elemMatch": range_}})
        case _:
            raise NotSupported(f"The parameter '{param.code}' cannot be searched like this.")


def _token(key: str, value: t.TokenValue, modifier: str | None) -> str:
    if modifier in ("above", "below"):
        raise NotSupported(f"The modifier ':{modifier}' is not supported on tokens.")
    code = f"{value.code}|{value.value}" if modifier == "of-type" else value.code
    if code is None:
        return present(key) if value.system is None else f"{key}/{hashed(value.system)}"
    return f"{key}={code}" if value.system is None else f"{key}:{hashed(value.system)}{code}"


def _between(array: str, low: str) -> Document:
    return {array: {"$elemMatch": {"$gte": low, "$lt": low + LAST}}}


def _starts(key: str, text: str) -> Document:
    return _between("s", f"{key}={text}")


def _string(key: str, value: t.StringValue, modifier: str | None) -> Document:
    if modifier == "exact":
        return {"s": f"{key}={value.folded}{SEPARATOR}{value.exact}"}
    if modifier != "contains":
        return _starts(key, value.folded)
    wanted = inside(value)
    if "\0" in wanted:
        return NOTHING
    holding = f"^{re.escape(key)}=[^{SEPARATOR}]*{re.escape(wanted)}"
    return {"s": {"$elemMatch": {"$gte": f"{key}=", "$lt": f"{key}={LAST}", "$regex": holding}}}


def _uri(key: str, uri: str, modifier: str | None) -> Document:
    if modifier == "below":
        return any_of([{"s": f"{key}={uri}{SEPARATOR}"}, _starts(key, uri.rstrip("/") + "/")])
    forms = ancestors(uri) if modifier == "above" else [uri]
    return {"s": one_of([f"{key}={form}{SEPARATOR}" for form in forms])}


def ancestors(uri: str) -> list[str]:
    """The URI and every URI that it lies below."""
    ends = [index for index, char in enumerate(uri) if char == "/"]
    return [uri, *(form for end in ends for form in (uri[:end], uri[: end + 1]))]


def _reference(key: str, value: t.ReferenceValue, equal: list[str], others: list[Document]) -> None:
    if value.id is not None:
        equal.append(f"{key}r{value.type}/{value.id}" if value.type else f"{key}i{value.id}")
    elif value.url is not None:
        equal.append(f"{key}v{value.url}{SEPARATOR}{value.version}" if value.version else f"{key}u{value.url}")
    elif value.value is not None:
        equal.append(f"{key}m{value.value}" if value.system is None else f"{key}l{value.value}{SEPARATOR}{value.system}")
    elif value.system is not None:
        equal.append(f"{key}n{value.system}")
    else:
        others.append(_between("k", f"{key}n"))


def _composite(param: t.Param, value: t.Value, types: Sequence[str]) -> Document:
    if not isinstance(value, t.CompositeValue) or len(value.components) != len(param.components):
        raise NotSupported(f"The composite parameter '{param.code}' takes {len(param.components)} values joined by '$'.")
    wanted = keys(types, param)
    pieces: Document = {"p": one_of(wanted)}
    for pos, (component, one) in enumerate(zip(param.components, value.components, strict=True)):
        pieces[f"c{pos}"] = {"$elemMatch": element(component, one)}
    first = value.components[0]
    lead = [_token(key, first, None) if isinstance(first, t.TokenValue) else present(key) for key in wanted]
    return {"k": one_of(lead), "c": {"$elemMatch": pieces}}


# ---- on a small document


def element(param: t.Param, value: t.Value) -> Document:
    """What an element of `d`, `q` or of a composite's component must say."""
    match value:
        case t.DateValue():
            return date_range("l", "h", value)
        case t.NumberValue():
            return _number(value)
        case t.QuantityValue():
            return all_of([_number(value), *_unit(value)])
        case t.TokenValue():
            made: Document = {} if value.code is None else {"c": value.code}
            # An element must be there even where nothing is asked of it.
            return made | ({} if value.system is None else {"y": hashed(value.system)}) or {"c": {"$exists": True}}
        case t.StringValue():
            return {"f": {"$gte": value.folded, "$lt": value.folded + LAST}}
        case t.UriValue():
            return {"f": value.uri}
        case t.ReferenceValue():
            return _reference_element(value)
    raise NotSupported(f"The parameter '{param.code}' cannot be searched like this.")


def _reference_element(value: t.ReferenceValue) -> Document:
    if value.id is not None:
        return {"i": value.id, "t": value.type or {"$nin": ["", LOGICAL]}}
    if value.url is not None:
        return {"i": value.url, "t": ""} | ({"v": value.version} if value.version else {})
    made: Document = {"t": LOGICAL}
    return (
        made | ({"i": value.value} if value.value is not None else {}) | ({"v": value.system} if value.system is not None else {})
    )


def date_range(low: str, high: str, value: t.DateValue, span: int = 0) -> Document:
    """Half-open ranges. `span`: where only `low` is kept, `high` is the same field and this much more."""
    first, last = value.low, value.high
    match value.prefix:
        case "eq":
            return {"$and": [{low: {"$gte": first}}, {low: {"$lt": last}}, {high: {"$lte": last - span}}]}
        case "ne":
            return {"$or": [{low: {"$lt": first}}, {high: {"$gt": last - span}}]}
        case "gt":
            return {high: {"$gt": last - span}}
        case "lt":
            return {low: {"$lt": first}}
        case "ge":
            return {"$and": [{high: {"$gt": first - span}}, {"$or": [{high: {"$gt": last - span}}, {low: {"$gte": first}}]}]}
        case "le":
            return {"$and": [{low: {"$lt": last}}, {"$or": [{low: {"$lt": first}}, {high: {"$lte": last - span}}]}]}
        case "sa":
            return {low: {"$gte": last}}
        case "eb":
            return {high: {"$lte": first - span}}
        case "ap":
            return {"$and": [{low: {"$lt": last}}, {high: {"$gt": first - span}}]}


def _number(value: t.NumberValue | t.QuantityValue) -> Document:
    first, last = value.low, value.high
    match value.prefix:
        case "eq":
            return {"$and": [{"l": {"$gte": first}}, {"l": {"$lte": last}}, {"h": {"$lte": last}}]}
        case "ne":
            return {"$or": [{"l": {"$lt": first}}, {"h": {"$gt": last}}]}
        case "gt":
            return {"h": {"$gt": last}}
        case "lt":
            return {"l": {"$lt": first}}
        case "ge":
            return {"$and": [{"h": {"$gte": first}}, {"$or": [{"h": {"$gt": last}}, {"l": {"$gte": first}}]}]}
        case "le":
            return {"$and": [{"l": {"$lte": last}}, {"$or": [{"l": {"$lt": first}}, {"h": {"$lte": last}}]}]}
        case "sa":
            return {"l": {"$gt": last}}
        case "eb":
            return {"h": {"$lt": first}}
        case "ap":
            return {"$and": [{"l": {"$lte": last}}, {"h": {"$gte": first}}]}


def _unit(value: t.QuantityValue) -> list[Document]:
    if value.code is not None and value.system is not None:
        return [{"c": value.code, "y": hashed(value.system)}]
    if value.system is not None:
        return [{"y": hashed(value.system)}]
    as_written: Document = {"y": {"$ne": BASE}}
    return [as_written] if value.code is None else [as_written, {"$or": [{"c": value.code}, {"u": value.code}]}]

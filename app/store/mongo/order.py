"""`_sort` and the order of pages.

Three ways. Without `_sort` the order is that of first storing, which indexes have. By one of the `SORTED` parameters, `_lastUpdated` or `_id` an index
has the order too. By anything else the least (or greatest) value is worked out from the index arrays, and MongoDB keeps no more than a page while
it sorts. What must stay true: a missing value comes last either way, ties are broken by id and then type; a period
stands where it begins.
"""

from collections.abc import Sequence
from typing import Any

from app.fhir.errors import BadRequest
from app.fhir.search import types as t
from app.store.mongo.conditions import BASE, all_of, any_of, keys
from app.store.mongo.words import PREFIX, SEPARATOR, SORTED, Document

Order = list[tuple[str, int]]


def indexed_field(plan: t.Plan, types: Sequence[str]) -> str | None:
    """The field whose index has the order that `plan` asks for, where there is one."""
    if len(plan.sort) != 1 or len(types) != 1:
        return None
    (key,) = plan.sort
    if key.param.code == "_lastUpdated":
        return "u"
    codes = key.param.codes(types[0])
    if len(codes) == 1 and codes[0] in SORTED and key.param.kind in ("date", "string"):
        return f"{'hi' if key.descending else 'lo'}.{codes[0]}"
    return None


def after_unsorted(last: list[Any] | None) -> Document:
    """What comes after `[name, n]` in the order of first storing."""
    if last is None:
        return {}
    name, n = last
    return {"$and": [{"n": {"$gte": n}}, {"$or": [{"n": {"$gt": n}}, {"_id": {"$gt": name}}]}]}


def after_indexed(field: str, descending: bool, last: list[Any] | None) -> Document:
    """What comes after `[name, value]` among those that have a value."""
    if last is None:
        return {field: {"$exists": True}}
    name, value = last
    word = "$lt" if descending else "$gt"
    return {
        "$and": [
            {field: {"$exists": True}},
            {field: {f"{word}e": value}},
            {"$or": [{field: {word: value}}, {"_id": {"$gt": name}}]},
        ]
    }


def after_missing(field: str, last: list[Any] | None) -> Document:
    """What comes after `[name, None]` among those that have no value."""
    return {field: {"$exists": False}} | ({"_id": {"$gt": last[0]}} if last is not None else {})


def sorted_pipeline(plan: t.Plan, types: Sequence[str], last: list[Any] | None, limit: int) -> list[Document]:
    """At most `limit`, from matching documents to `{_id, k0, k1, …}` in order, after `[name, k0, k1, …]`."""
    fields: Document = {"i": {"$arrayElemAt": [{"$split": ["$_id", "/"]}, 1]}}
    fields |= {f"k{number}": _value(key, types) for number, key in enumerate(plan.sort)}
    missing: Document = {f"m{number}": {"$cond": [{"$eq": [f"$k{number}", None]}, 1, 0]} for number in range(len(plan.sort))}
    order: dict[str, int] = {}
    for number, key in enumerate(plan.sort):
        order |= {f"m{number}": 1, f"k{number}": -1 if key.descending else 1}
    stages: list[Document] = [{"$project": fields}, {"$set": missing}]
    if last is not None:
        stages.append({"$match": _after(plan.sort, last)})
    return [*stages, {"$sort": order | {"i": 1, "_id": 1}}, {"$limit": limit}]


def _value(key: t.SortKey, types: Sequence[str]) -> Document:
    """What a resource is sorted by: its least value, or its greatest when descending; null where it has none."""
    word = "$max" if key.descending else "$min"
    code, kind = key.param.code, key.param.kind
    if code == "_lastUpdated":
        return {word: "$u"}
    if code == "_id":
        return {"$arrayElemAt": [{"$split": ["$_id", "/"]}, 1]}
    wanted = keys(types, key.param)
    if kind in ("date", "number", "quantity"):
        array = "$d" if kind == "date" else "$q"
        as_written = [{"$ne": ["$$this.y", BASE]}] if kind == "quantity" else []
        mine: Document = {"$filter": {"input": array, "cond": {"$and": [{"$in": ["$$this.p", wanted]}, *as_written]}}}
        return {word: {"$map": {"input": mine, "in": "$$this.l"}}}
    marks = {"token": "=", "reference": "ium", "string": "=", "uri": "="}.get(kind)
    if marks is None:
        raise BadRequest(f"Sorting by '{code}' has no meaning.")
    prefixes = [f"{one}{mark}" for one in wanted for mark in marks]
    array = "$s" if kind in ("string", "uri") else "$k"
    mine = {"$filter": {"input": array, "cond": {"$in": [_part("$$this", 0, PREFIX), prefixes]}}}
    value: Document = _part("$$this", PREFIX, -1)
    if array == "$s":
        value = {"$arrayElemAt": [{"$split": [value, SEPARATOR]}, 0]}
    return {word: {"$map": {"input": mine, "in": value}}}


def _part(text: str, start: int, length: int) -> Document:
    # A word begins with ASCII, so bytes never cut a character; in bytes it costs no decoding.
    return {"$substrBytes": [text, start, length]} if length < 0 else {"$substrCP": [text, start, length]}


def _after(sort: Sequence[t.SortKey], last: list[Any]) -> Document:
    """Strictly after the row `[name, k0, k1, …]`."""
    name, *values = last
    id = name.partition("/")[2]
    equal: list[Document] = []
    ways: list[Document] = []
    for number, (key, value) in enumerate(zip(sort, values, strict=True)):
        if value is not None:
            beyond: list[Document] = [{f"k{number}": {"$lt" if key.descending else "$gt": value}}, {f"m{number}": 1}]
            ways.append(all_of([*equal, any_of(beyond)]))
        equal.append({f"k{number}": value, f"m{number}": 1 if value is None else 0})
    ways.append(all_of([*equal, {"$or": [{"i": {"$gt": id}}, {"i": id, "_id": {"$gt": name}}]}]))
    return any_of(ways)

"""A MongoDB store with as many children as wanted, made of children who came in through the front doors.

The store of a played simulation (`csor demo`) is copied to MongoDB, and then each child's documents (resources, versions, records, with their index
entries) are cloned with ids, NHS numbers, hospital numbers and addresses of their own, all as long as before: so the bytes of a document
stay a document, and a hundred thousand children take minutes. What is not varied: names (twenty of each), dates, codes, free text.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import bson
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient
from pymongo.collection import Collection

from app.demo.nation import demonstration_nhs_numbers
from app.ids import new_id

SHARED = ("Organization", "Library", "Measure", "StructureDefinition", "CodeSystem", "Questionnaire")
TOKEN = re.compile(rb"(?<![0-9a-z])[0-9a-z]{26}(?![0-9a-z])|Z[A-Z]{2}[0-9]{6}|999[0-9]{7}|parent-[0-9]{5}")
BATCH = 6_000

Document = dict[str, Any]


@dataclass(slots=True)
class _Part:
    """One document: what is made anew each time, and where the rest of it lies in the child's bytes."""

    collection: str
    head: Document
    start: int
    end: int


@dataclass(slots=True)
class _Child:
    """All documents of one child, and the places in them that are the child's own."""

    parts: list[_Part]
    body: bytes
    places: list[tuple[int, bytes]]
    tokens: frozenset[bytes]


@dataclass(slots=True)
class _Count:
    """How far the store's own numbers have come."""

    order: int
    seq: int


def grow(database: str, children: int, whole: int, say: Callable[[str], None]) -> int:
    """Clone the children in the database at that URL until there are so many; how many there are then. Secondary indexes are to be gone.

    Up to `whole` children come with their versions and records, the others with their resources alone.
    """
    with MongoClient[Document](database) as client:
        db = client.get_default_database()
        seeds = _children(db)
        there = db.resource.count_documents({"_id": {"$regex": "^Patient/"}})
        each = there / len(seeds)  # some were registered twice, and merged
        count = _Count(
            order=max(int(one["o"]) for one in db.version.find({}, {"o": 1}).sort("o", -1).limit(1)),
            seq=int((db.setting.find_one({"_id": "feed"}) or {"seq": 0})["seq"]),
        )
        taken = frozenset().union(*(child.tokens for child in seeds))
        numbers = (number for number in demonstration_nhs_numbers() if number.encode() not in taken)
        serial = 100_000
        waiting: dict[str, list[RawBSONDocument]] = defaultdict(list)
        round_ = 0
        while there < children:
            round_ += 1
            for child in seeds:
                serial += 1
                fresh = _fresh(child.tokens, serial, numbers)
                for name, document in _clone(child, fresh, round_, count, with_history=there < whole):
                    waiting[name].append(document)
                there += each
                if there >= children:
                    break
            _flush(db, waiting, BATCH)
            say(f"{int(there):,} children")
        _flush(db, waiting, 0)
        db.setting.update_one({"_id": "feed"}, {"$set": {"seq": count.seq}})
        return int(db.resource.count_documents({"_id": {"$regex": "^Patient/"}}))


def _flush(db: Any, waiting: dict[str, list[RawBSONDocument]], most: int) -> None:
    for name, documents in waiting.items():
        if len(documents) > most:
            collection: Collection[Any] = db[name]
            for start in range(0, len(documents), BATCH):
                collection.insert_many(documents[start : start + BATCH], ordered=False)
            waiting[name] = []


def _fresh(tokens: frozenset[bytes], serial: int, numbers: Iterator[str]) -> Mapping[bytes, bytes]:
    """New tokens for old ones, of the same length."""
    fresh = {}
    for token in tokens:
        if len(token) == 26:
            fresh[token] = new_id().encode()
        elif token.startswith(b"Z"):
            fresh[token] = token[:3] + b"%06d" % serial
        elif token.startswith(b"999"):
            fresh[token] = next(numbers).encode()
        else:
            fresh[token] = b"parent-%05d" % (serial % 100_000)
    return fresh


def _clone(
    child: _Child, fresh: Mapping[bytes, bytes], round_: int, count: "_Count", *, with_history: bool
) -> Iterator[tuple[str, RawBSONDocument]]:
    body = bytearray(child.body)
    for place, token in child.places:
        body[place : place + len(token)] = fresh[token]
    orders: dict[str, tuple[int, int]] = {}  # of the first and the last version
    for part in child.parts:  # versions first, in their order
        if part.collection == "record" and not with_history:
            continue
        name = TOKEN.sub(lambda found: fresh.get(found[0], found[0]), part.head["_id"].encode()).decode()
        head = part.head | {"_id": name}
        if part.collection == "version":
            reference = name.rpartition("/")[0]
            count.order += 1
            orders[reference] = orders.get(reference, (count.order, 0))[0], count.order
            if not with_history:
                continue
            count.seq += 1
            head |= {"r": reference, "o": count.order, "seq": count.seq}
        elif part.collection == "resource":
            head |= dict(zip("no", orders[name], strict=True))
        elif name == part.head["_id"]:
            head["_id"] = f"{name}-{round_}"
        inner = bson.encode(head)[4:-1] + bytes(body[part.start : part.end])
        yield part.collection, RawBSONDocument((len(inner) + 5).to_bytes(4, "little") + inner + b"\0")


# ---- taking the children apart


def _children(db: Any) -> list[_Child]:
    """The documents of each child, from what refers to what."""
    resources = list(db.resource.find())
    own = {one["_id"].partition("/")[2].encode() for one in resources if one["_id"].partition("/")[0] not in SHARED}
    group = _Groups()
    for one in resources:
        id = one["_id"].partition("/")[2].encode()
        if id in own:
            for token in _tokens(one["raw"]):
                if token in own or len(token) != 26:
                    group.join(id, token)
    documents: dict[bytes, list[tuple[str, Document]]] = defaultdict(list)
    for name in ("version", "resource"):
        for one in db[name].find():
            id = one["_id"].split("/")[1].encode()
            if id in own:
                documents[group.of(id)].append((name, one))
    for one in db.record.find():
        text = b" ".join((one["_id"].encode(), one["tag"].encode(), one["body"], one["raw"] or b""))
        known = [group.of(token) for token in _tokens(text) if token in group and group.of(token) in documents]
        if known:
            documents[known[0]].append(("record", one))
    return [
        _child(sorted(several, key=_place))
        for several in documents.values()
        if any(d["_id"].startswith("Patient/") for _, d in several)
    ]


def _child(documents: list[tuple[str, Document]]) -> _Child:
    heads = {"version": ("_id", "r", "v", "o", "seq"), "resource": ("_id", "v", "o", "n"), "record": ("_id",)}
    parts, body = [], bytearray()
    for name, one in documents:
        rest = bson.encode({key: value for key, value in one.items() if key not in heads[name]})[4:-1]
        parts.append(_Part(name, {key: one[key] for key in heads[name] if key in one}, len(body), len(body) + len(rest)))
        body += rest
    tokens = {one["_id"].split("/")[1].encode() for name, one in documents if name == "resource"}
    tokens |= {token for name, one in documents if name == "record" for token in _tokens(one["_id"].encode()) if len(token) == 26}
    told = b" ".join(one["raw"] for _, one in documents if one["_id"].startswith("Patient/"))
    tokens |= {token for token in _tokens(told) if len(token) != 26}
    places = [(found.start(), token) for token in tokens for found in re.finditer(re.escape(token), bytes(body))]
    return _Child(parts, bytes(body), places, frozenset(tokens))


def _place(part: tuple[str, Document]) -> tuple[bool, int]:
    return part[0] != "version", int(part[1].get("o", 0))


def _tokens(text: bytes) -> set[bytes]:
    return {found[0] for found in TOKEN.finditer(text)}


class _Groups:
    """What belongs together, directly or by way of others."""

    def __init__(self) -> None:
        self._above: dict[bytes, bytes] = {}

    def __contains__(self, one: bytes) -> bool:
        return one in self._above

    def of(self, one: bytes) -> bytes:
        """What stands for the group of `one`."""
        self._above.setdefault(one, one)
        while self._above[one] != one:
            self._above[one] = self._above[self._above[one]]
            one = self._above[one]
        return one

    def join(self, one: bytes, other: bytes) -> None:
        self._above[self.of(one)] = self.of(other)

"""What every store makes ready before it takes a lock or begins a transaction: a Put's bytes, and what to index of it."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from app.fhir.search.types import Entries
from app.store.protocol import Indexing, Put, Write
from app.store.rules import body_of, name_of, patients_of

Index = TypeVar("Index")  # entries in the store's own form
IndexOf = Callable[[str, Entries], Index]

MANY = 8  # writes that are prepared in another thread


@dataclass(slots=True)
class Prepared(Generic[Index]):
    """A Put made ready: bytes without head, and what to index."""

    put: Put
    type: str
    id: str
    body: bytes
    index: Index
    patients: frozenset[str]
    indexed: str  # by what; see `Change`


async def prepared(writes: Sequence[Write], indexing: Indexing, index_of: IndexOf[Index]) -> list[Write | Prepared[Index]]:
    """The expensive part of a commit. Raises Invalid where a type or id is missing."""
    if len(writes) > MANY:
        return await asyncio.to_thread(_all, writes, indexing, index_of)
    return _all(writes, indexing, index_of)


def _all(writes: Sequence[Write], indexing: Indexing, index_of: IndexOf[Index]) -> list[Write | Prepared[Index]]:
    return [_one(write, indexing, index_of) if isinstance(write, Put) else write for write in writes]


def _one(put: Put, indexing: Indexing, index_of: IndexOf[Index]) -> Prepared[Index]:
    type, id = name_of(put.resource)
    entries = indexing.extract(put.resource)
    return Prepared(put, type, id, body_of(put.resource), index_of(type, entries), patients_of(entries), indexing.mark)

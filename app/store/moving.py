"""Moving a whole store into another: versions with their numbers and exact bytes, owner marks, records with their revisions.

What must stay true: a copy that was interrupted goes on where it was (the target's own feed says where); nothing is called done that was not read
back and compared; a target that holds something else is left alone. A copy of a running store is that store at one moment: records and feed
position come from one snapshot, and every version that such a record may rest on comes along. Owner marks have no versions: they are those that the
source had when that resource was compared, at that moment or later. No more is in hand or in one transaction than a page, of `PAGE` things and about `BYTES`.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Literal, NamedTuple, Protocol

import msgspec

from app.fhir.errors import Conflict
from app.security.access import SYSTEM
from app.store.definitions import index_by_own
from app.store.protocol import DeleteRecord, PutRecord, Record, Store

PAGE = 500
BYTES = 8_000_000  # MongoDB bears no transaction of hundreds of megabytes
MARK = ("copy", "under-way")


class Version(NamedTuple):
    """One version as it moves. `owners` are those that its resource has now."""

    seq: int
    type: str
    id: str
    version: int
    updated: int
    action: Literal["create", "update", "delete"]
    raw: bytes
    owners: frozenset[str]


class Movable(Store, Protocol):
    """What a store must do besides, so that it can be moved."""

    async def versions(self, after: int, limit: int = PAGE) -> list[Version]:
        """Versions numbered above `after`, in order; fewer where they come to more than `BYTES`."""

    async def adopt(self, versions: Sequence[Version]) -> None:
        """Take versions with their numbers, all or none. Raises Conflict unless the first follows the last that is there."""

    async def adopt_owners(self, owners: Mapping[tuple[str, str], frozenset[str]]) -> None:
        """Give these resources, by type and id, just these owner marks."""

    def moment(self) -> AsyncIterator[tuple[int, list[Record]]]:
        """All records in pages, of one snapshot, each page with the feed's number that goes with it. One page at least."""

    async def adopt_records(self, records: Sequence[Record]) -> None:
        """Take records with revision and time, replacing what has their keys."""


@dataclass(slots=True)
class Digest:
    """A sum over things in any order, so that two stores can be compared without holding either."""

    number: int = 0
    total: int = field(default=0)

    def add(self, *parts: object) -> None:
        """One more thing."""
        text = msgspec.msgpack.encode(parts)
        self.total = (self.total + int.from_bytes(blake2b(text, digest_size=16).digest())) % (1 << 128)
        self.number += 1


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was moved, and what differs afterwards (nothing, if all is well)."""

    versions: int
    records: int
    differences: tuple[str, ...]


Progress = Callable[[str, int, int], None]  # what, done, of how many


async def copy(source: Movable, target: Movable, progress: Progress = lambda what, done, total: None) -> Outcome:
    """Move everything from `source` to `target`, or go on with it; then compare. Raises Conflict for a target that holds something else."""
    await _begin(source, target)
    head, records = await _copy_records(source, target, progress)
    after = await target.feed_head()
    while after < head:
        page = await source.versions(after, min(PAGE, head - after))
        if not page:
            raise Conflict(f"The feed of the source ends at {after}, though it said {head}: run `csor check` there.")
        await target.adopt(page)
        after = page[-1].seq
        progress("versions", after, head)
    await index_by_own(target)
    differences = await _compare(source, target, head, records, progress)
    if not differences:
        await target.commit(SYSTEM, [DeleteRecord(*MARK)])
    return Outcome(head, records.number, tuple(differences))


async def is_half(store: Store) -> bool:
    """Whether a copy into it was begun and is not finished. Who wrote to it now would keep the copy from going on."""
    return await store.get_record(SYSTEM, *MARK) is not None


async def _begin(source: Movable, target: Movable) -> None:
    head = await target.feed_head()
    mark = await target.get_record(SYSTEM, *MARK)
    if mark is None:
        if head or [page async for _, page in target.moment() if page]:
            raise Conflict("The target holds something already, and not a copy that was interrupted: choose an empty one.")
        await target.commit(SYSTEM, [PutRecord(Record(*MARK))])
    elif head:
        (mine,), theirs = await target.versions(head - 1, 1), await source.versions(head - 1, 1)
        if not theirs or theirs[0][:7] != mine[:7]:
            raise Conflict("The target holds an interrupted copy of another store: choose an empty one.")


async def _copy_records(source: Movable, target: Movable, progress: Progress) -> tuple[int, Digest]:
    stale = [(one.kind, one.key) async for _, page in target.moment() for one in page if (one.kind, one.key) != MARK]
    for start in range(0, len(stale), PAGE):
        await target.commit(SYSTEM, [DeleteRecord(*name) for name in stale[start : start + PAGE]])
    head, digest = 0, Digest()
    async for number, page in source.moment():
        head = number
        wanted = [one for one in page if (one.kind, one.key) != MARK]
        await target.adopt_records(wanted)
        for one in wanted:
            _add(digest, one)
        progress("records", digest.number, 0)
    return head, digest


def _add(digest: Digest, one: Record) -> None:
    digest.add(one.kind, one.key, one.body, one.raw, one.state, one.tag, one.due, one.owner, one.revision, one.updated)


async def _compare(source: Movable, target: Movable, head: int, records: Digest, progress: Progress) -> list[str]:
    found: list[str] = []
    after = 0
    while after < head:
        mine = await source.versions(after, min(PAGE, head - after))
        theirs = await target.versions(after, len(mine))
        owners = {(one.type, one.id): one.owners for one in mine}  # a resource's marks are those read last
        if stale := {name: owners[name] for other in theirs if owners.get(name := other[1:3], other.owners) != other.owners}:
            await target.adopt_owners(stale)
            theirs = await target.versions(after, len(mine))
        for one, other in zip(mine, theirs, strict=False):
            if one[:7] != other[:7]:
                found.append(f"{one.type}/{one.id} version {one.version} (number {one.seq}) differs.")
            elif owners[one.type, one.id] != other.owners:
                found.append(f"The owner marks of {one.type}/{one.id} version {one.version} differ.")
        if len(mine) != len(theirs) or not mine:
            found.append(f"After number {after} the source has {len(mine)} versions, the target {len(theirs)}.")
            break
        after = mine[-1].seq
        progress("compared", after, head)
    if await target.feed_head() != head:
        found.append(f"The target's feed ends at {await target.feed_head()} instead of {head}.")
    there = Digest()
    async for _, kept in target.moment():
        for record in kept:
            if (record.kind, record.key) != MARK:
                _add(there, record)
    if there != records:
        found.append(f"{records.number} records were read and {there.number} are there, or some differ.")
    if await source.feed_head() == head and await source.counts(SYSTEM) != await target.counts(SYSTEM):
        found.append("The numbers of resources by type differ.")
    return found

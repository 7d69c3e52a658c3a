"""The store contract. SQLite and MongoDB both keep it; `tests/contract/` holds them to it.

Invariants:

- A call that returned from `commit` is durable, whole, and visible to every later call of any process.
- Every committed version has a number in the change feed; numbers rise and readers see no gaps that later fill.
- `Access` filters below everything: read, search (with chains, includes and totals), history and feed alike. What a caller
  may not see does not exist: `NotFound`, never `Forbidden`.
- The bytes of a version never change, and are the bytes that a read returns.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal, Protocol

import msgspec

from app.fhir.errors import Conflict, PreconditionFailed
from app.fhir.search.parameters import SearchParameters
from app.fhir.search.types import Entries, Plan
from app.security.access import Access

_decoder = msgspec.json.Decoder(float_hook=Decimal)


class VersionConflict(PreconditionFailed):
    """`if_version` did not hold."""


class GuardFailed(Conflict):
    """A search that the caller relied on has another answer now. Search again and retry."""


class RecordConflict(Conflict):
    """`if_revision` did not hold."""


class Stored(msgspec.Struct, frozen=True):
    """One version of one resource. `raw` is its JSON with id and meta; empty for a deletion. Times in microseconds UTC.

    A struct, since every read makes one and a frozen dataclass takes ten times as long to make.
    """

    type: str
    id: str
    version: int
    updated: int
    raw: bytes
    owners: frozenset[str]
    deleted: bool = False
    action: Literal["create", "update", "delete"] = "create"

    @property
    def resource(self) -> dict[str, Any]:
        """Decoded anew at each call; numbers with a point are Decimal."""
        decoded: dict[str, Any] = _decoder.decode(self.raw)
        return decoded

    @property
    def reference(self) -> str:
        """`Type/id`."""
        return f"{self.type}/{self.id}"


@dataclass(slots=True)
class Put:
    """Create or replace. The store sets `meta.versionId` and `meta.lastUpdated`, and indexes.

    `if_version`: None any; 0 must not exist (a deleted one does not); n must be the current version.
    `owners`: None means the caller's stamp, joined with what the resource already carries, and for a caller without hospitals with what its
    Patient carries.
    `unchanged_ok`: where the content equals the current version's (meta apart), keep that version and return it.
    """

    resource: dict[str, Any]
    if_version: int | None = None
    owners: frozenset[str] | None = None
    unchanged_ok: bool = False


@dataclass(slots=True)
class Delete:
    """Delete; history stays. Deleting what is not there or is deleted already returns no version and is no error."""

    type: str
    id: str
    if_version: int | None = None


@dataclass(slots=True)
class Share:
    """Add owner marks to a resource without a new version (a child is treated at a second hospital). Only `system`."""

    type: str
    id: str
    owners: frozenset[str]


@dataclass(slots=True)
class Record:
    """A small operational document: a raw message, an outbox letter, a link, a token, a draft, a cursor, a fact.

    `body` is JSON (see `data`), `raw` bytes that must stay as they came. `state` and `tag` are equality indexes within a kind,
    `due` a time (microseconds) that `find_records` can bound. `owner` is "" for the server alone, else a hospital's ODS code.
    """

    kind: str
    key: str
    body: bytes = b"{}"
    raw: bytes | None = None
    state: str = ""
    tag: str = ""
    due: int | None = None
    owner: str = ""
    revision: int = 0
    updated: int = 0

    @property
    def data(self) -> Any:
        """`body`, decoded."""
        return _decoder.decode(self.body)


@dataclass(slots=True)
class PutRecord:
    """`if_revision`: None any; 0 must not exist; n must be the current revision."""

    record: Record
    if_revision: int | None = None


@dataclass(slots=True)
class DeleteRecord:
    kind: str
    key: str
    if_revision: int | None = None


Write = Put | Delete | Share | PutRecord | DeleteRecord


@dataclass(frozen=True, slots=True)
class Guard:
    """The commit holds only if `plan` still matches exactly `expects` (`Type/id`), judged inside the transaction.

    This makes conditional create, update and reference safe: search, decide, commit with the guard, on `GuardFailed` start over.
    """

    plan: Plan
    expects: frozenset[str] = frozenset()


# Called for a resource that is about to be stored (create, update, each entry of a transaction), with its id set, and with what the same
# transaction stores, by `Type/id`. What it returns is committed together with the resource; what it raises refuses the resource.
Hook = Callable[[Access, dict[str, Any], Mapping[str, dict[str, Any]]], Awaitable[Sequence[Write | Guard]]]


@dataclass(frozen=True, slots=True)
class Found:
    """One page. `cursor` continues it; None at the end. `total` only where asked for."""

    matches: list[Stored] = field(default_factory=list)
    included: list[Stored] = field(default_factory=list)
    total: int | None = None
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """One committed version, in the order of the feed."""

    seq: int
    type: str
    id: str
    version: int
    action: Literal["create", "update", "delete"]
    at: int
    indexed: str = ""  # the mark of the `Indexing` by which its writer indexed it


@dataclass(frozen=True, slots=True)
class Indexing:
    """By what a store indexes, and which search parameters it therefore answers. `app.store.definitions` keeps it current."""

    extract: Callable[[Mapping[str, Any]], Entries]
    parameters: SearchParameters
    mark: str = ""  # names the parameters by which it indexes besides R4's; empty where there are none


class Store(Protocol):
    """All times in microseconds UTC; all errors of `app.fhir.errors`."""

    url: str
    indexing: Indexing  # from `open` on

    async def open(self, *, create: bool = True) -> None:
        """Open or make the store, migrate it, refuse a newer schema. Without `create` raises NotFound where there is none, and leaves no trace."""

    async def close(self) -> None:
        """Finish what is under way and close."""

    # ---- resources

    async def read(self, access: Access, type: str, id: str) -> Stored:
        """The current version. Raises NotFound, Gone."""

    async def vread(self, access: Access, type: str, id: str, version: int) -> Stored:
        """A given version. Raises NotFound; Gone if that version is a deletion."""

    async def read_many(self, access: Access, references: Sequence[str]) -> list[Stored]:
        """The current versions of those `Type/id` that exist, may be seen, and are not deleted, in the order asked."""

    async def history(
        self,
        access: Access,
        type: str | None = None,
        id: str | None = None,
        *,
        since: int | None = None,
        count: int = 50,
        cursor: str | None = None,
    ) -> Found:
        """Versions, newest first, deletions included. Instance history of what never was raises NotFound."""

    async def search(self, access: Access, plan: Plan) -> Found:
        """One page of a search."""

    async def commit(self, access: Access, writes: Sequence[Write], guards: Sequence[Guard] = ()) -> list[Stored | None]:
        """All or nothing, durable on return. One result for each Put and Delete (None for others and for empty deletions)."""

    # ---- change feed

    async def feed(self, after: int, limit: int = 500) -> list[Change]:
        """Changes numbered above `after`, in order, without gaps."""

    async def feed_head(self) -> int:
        """The number of the last change; 0 in an empty store."""

    async def marker(self, types: Sequence[str]) -> tuple[int, ...]:
        """A number for each of `types` that moves with every commit of one. Cheap while there are few versions of the type."""

    async def wait_for_change(self, after: int, timeout: float) -> bool:
        """Wake when the feed grows beyond `after`, or after `timeout` seconds."""

    # ---- records

    async def get_record(self, access: Access, kind: str, key: str) -> Record | None: ...

    async def find_records(
        self,
        access: Access,
        kind: str,
        *,
        state: str | None = None,
        tag: str | None = None,
        due_before: int | None = None,
        owner: str | None = None,
        after: str | None = None,
        limit: int = 100,
        descending: bool = False,
    ) -> list[Record]:
        """In the order of keys (so choose keys that sort by time); `after` is exclusive, `due_before` inclusive."""

    async def count_records(self, access: Access, kind: str, *, state: str | None = None, tag: str | None = None) -> int: ...

    # ---- upkeep

    def scan(self, access: Access, types: Sequence[str] = ()) -> AsyncIterator[Stored]:
        """Every current resource of `types` (all if empty), streamed, in no promised order."""

    async def counts(self, access: Access) -> dict[str, int]:
        """Current resources by type."""

    async def reindex(self, types: Sequence[str] = ()) -> int:
        """Make index entries anew from the resources, and what else `check` finds that can be made again; the number done."""

    async def reindex_only(self, references: Sequence[str]) -> None:
        """The same for these `Type/id`; what is not there or deleted is left out."""

    async def check(self) -> list[str]:
        """Sentences on whatever does not agree (index entries, versions, owner marks, feed, references within the store); empty is good."""

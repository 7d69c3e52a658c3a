"""transaction: all entries or none, in one commit (R4 3.1.0.11).

Invariants: nothing is stored unless every entry can be; a reference to another entry's `fullUrl` never survives; conditions are judged by
the store inside the commit, so a race makes the whole be decided again, not half of it; a refused entry keeps its own error and its place.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.api.conditional import find, settle
from app.api.context import Context
from app.api.entries import ORDER, Entry, check_write, read_entries
from app.api.negotiate import OneOf, Wanted, chosen, version_wanted
from app.api.patch import change_in, changed, permit
from app.api.write import checked_id, checked_type, expected, joined
from app.fhir.definitions import r4
from app.fhir.errors import BadRequest, FHIRError, Gone, Invalid, NotFound, PreconditionFailed
from app.fhir.references import places, rewrite
from app.ids import new_id
from app.security.access import Access
from app.security.scopes import require
from app.store.protocol import Delete, Guard, GuardFailed, Put, Stored, VersionConflict, Write

_VERBS = {"POST": "c", "PUT": "u", "PATCH": "u", "DELETE": "d"}
_LOCAL = ("urn:uuid:", "urn:oid:")


@dataclass(slots=True)
class Outcome:
    """What one entry came to."""

    status: int
    stored: Stored | None = None


@dataclass(slots=True)
class _Decided:
    """One attempt: what to write, what must hold, and which result belongs to which entry."""

    writes: list[Write] = field(default_factory=list)
    guards: list[Guard] = field(default_factory=list)
    place: dict[int, int] = field(default_factory=dict)  # entry index -> index in writes
    matched: dict[int, Stored] = field(default_factory=dict)  # conditional creates that found one
    identity: dict[int, str] = field(default_factory=dict)  # entry index -> Type/id
    mapping: dict[str, str] = field(default_factory=dict)  # fullUrl -> Type/id
    found: dict[int, Stored | None] = field(default_factory=dict)  # what a condition matched
    patched: dict[int, int] = field(default_factory=dict)  # entry index -> the version that was patched


async def transact(context: Context, access: Access, again: Callable[[], dict[str, Any]], base: str) -> dict[int, Outcome]:
    """Commits the writing entries of a transaction that has been validated; results by entry index.

    `again` gives the bundle afresh for each attempt, since references are rewritten in place. Raises whatever an entry raises.
    """

    async def attempt() -> dict[int, Outcome]:
        every = read_entries(again(), base)
        entries = [entry for entry in every if entry.method in _VERBS]
        entries.sort(key=lambda entry: ORDER.index(entry.method))
        for entry in entries:
            check_write(entry)
            require(access, entry.type, _VERBS[entry.method])
        decided = _Decided()
        await _identify(context, access, entries, decided, base)
        _check_reads(every, decided)
        await _patch(context, access, entries, decided)
        await _resolve(context, access, entries, decided, base)
        await _collect(context, access, entries, decided)
        try:
            results = await context.store.commit(access, decided.writes, decided.guards)
        except VersionConflict as error:
            raise await _stale(context, access, entries, decided, error) from error
        return _outcomes(entries, decided, results)

    return await settle(attempt)


async def _identify(context: Context, access: Access, entries: Sequence[Entry], decided: _Decided, base: str) -> None:
    """Which resource each entry is about; fills `identity`, `mapping`, `found`."""
    conditions: set[tuple[str, str]] = set()
    for entry in entries:
        try:
            if entry.condition is not None:
                if (entry.type, entry.condition) in conditions:
                    raise BadRequest("Two entries have the same condition: a transaction may touch a resource once.")
                conditions.add((entry.type, entry.condition))
                require(access, entry.type, "s")
                match, guard = await find(context.store, access, entry.type, entry.condition, base)
                decided.guards.append(guard)
                decided.found[entry.index] = match
            _name(entry, decided)
        except FHIRError as error:
            raise entry.located(error) from error
    seen: dict[str, Entry] = {}
    for entry in entries:
        identity = decided.identity.get(entry.index)
        if identity is None:
            continue
        if identity in seen and not (entry.method == seen[identity].method == "POST"):
            raise BadRequest(
                f"Entries {seen[identity].index} and {entry.index} are about the same resource: a transaction may touch it once.",
                expression=f"{entry.at}.request",
            )
        seen[identity] = entry


def _check_reads(entries: Sequence[Entry], decided: _Decided) -> None:
    """Raises Gone where one entry reads what another deletes."""
    deleted = {decided.identity.get(entry.index) for entry in entries if entry.method == "DELETE"}
    for entry in entries:
        if entry.method not in _VERBS and f"{entry.type}/{entry.id}" in deleted and "/_history" not in entry.path:
            raise entry.located(Gone(f"Another entry deletes {entry.type}/{entry.id}."))


def _name(entry: Entry, decided: _Decided) -> None:
    match = decided.found.get(entry.index)
    resource = entry.resource or {}
    if entry.method not in ("DELETE", "PATCH"):
        checked_type(resource, entry.type)
    if entry.id:
        id = entry.id if entry.method == "DELETE" else checked_id(entry.id)
        if entry.method == "PUT" and resource.get("id") != id:
            raise BadRequest(f"The URL says {entry.type}/{id}, but the resource has another id or none.", expression="id")
    elif match is not None:
        id = match.id
        if entry.method == "PUT" and resource.get("id", id) != id:
            raise BadRequest("The condition matches a resource with another id than the body.", expression="id")
    elif entry.method == "DELETE":
        return
    elif entry.method == "PATCH":
        raise NotFound(f"Nothing matches the condition, so there is no {entry.type} to patch.")
    else:
        id = checked_id(resource["id"]) if entry.method == "PUT" and "id" in resource else new_id()
    decided.identity[entry.index] = f"{entry.type}/{id}"
    if (
        entry.full_url
        and decided.mapping.setdefault(entry.full_url, decided.identity[entry.index]) != decided.identity[entry.index]
    ):
        raise BadRequest("Two entries have the same fullUrl.")


async def _patch(context: Context, access: Access, entries: Sequence[Entry], decided: _Decided) -> None:
    """Puts in the place of each patch the resource that it leaves."""
    for entry in entries:
        if entry.method != "PATCH" or entry.resource is None:
            continue
        try:
            permit(access, entry.type)
            stored = await context.store.read(access, entry.type, decided.identity[entry.index].partition("/")[2])
            entry.resource = changed(stored, change_in(entry.resource))
            decided.patched[entry.index] = stored.version
        except FHIRError as error:
            raise entry.located(error) from error


async def _resolve(context: Context, access: Access, entries: Sequence[Entry], decided: _Decided, base: str) -> None:
    """Rewrites references between entries, and conditional ones (`Practitioner?identifier=...`), to `Type/id`."""
    resolved: dict[str, str] = {}
    for entry in entries:
        if entry.resource is None or (entry.method == "POST" and decided.found.get(entry.index)):
            continue
        try:
            linked = False
            for holder, key, value, kind in places(entry.resource):
                new = decided.mapping.get(value)
                if new is not None:
                    holder[key] = new
                elif kind == "xhtml":
                    linked = linked or "href" in value or "src" in value
                elif kind == "reference" and "?" in value and value.partition("?")[0] in r4().resources:
                    if value not in resolved:
                        resolved[value] = await _matched(context, access, value, decided, base)
                    holder[key] = resolved[value]
                elif "#" in value or (kind == "reference" and value.startswith(_LOCAL)):
                    holder[key] = _fragment(value, decided.mapping, kind)
            if linked:
                rewrite(entry.resource, decided.mapping)
        except FHIRError as error:
            raise entry.located(error) from error


async def _matched(context: Context, access: Access, reference: str, decided: _Decided, base: str) -> str:
    type, _, query = reference.partition("?")
    match, guard = await find(context.store, access, type, query, base)
    if match is None:
        raise PreconditionFailed(f"The reference to a {type} by a condition matches nothing.")
    decided.guards.append(guard)
    return match.reference


def _fragment(value: str, mapping: dict[str, str], kind: str) -> str:
    """`fullUrl#part`; whatever else is local to a bundle and known to no entry would dangle for ever."""
    whole, mark, part = value.partition("#")
    if mark and whole in mapping:
        return f"{mapping[whole]}#{part}"
    if kind == "reference" and value.startswith(_LOCAL):
        raise Invalid(f"The reference {value[:60]} is to no entry of this transaction.")
    return value


async def _collect(context: Context, access: Access, entries: Sequence[Entry], decided: _Decided) -> None:
    """The writes, in R4's order, and what the hooks add."""
    for entry in entries:
        match = decided.found.get(entry.index)
        identity = decided.identity.get(entry.index)
        try:
            if_version = await _if_version(context, access, entry, decided)
            if entry.method == "DELETE":
                if identity is not None:
                    decided.place[entry.index] = len(decided.writes)
                    decided.writes.append(Delete(entry.type, identity.partition("/")[2], if_version))
                continue
            if entry.method == "POST" and match is not None:
                decided.matched[entry.index] = match
                continue
            assert entry.resource is not None and identity is not None
            entry.resource["id"] = identity.partition("/")[2]
            new = entry.method == "POST" or (entry.condition is not None and match is None)
            if new and entry.method == "PUT":
                require(access, entry.type, "c")
            decided.place[entry.index] = len(decided.writes)
            version = 0 if new else decided.patched.get(entry.index) if if_version is None else if_version
            decided.writes.append(Put(entry.resource, version, unchanged_ok=not new))
        except FHIRError as error:
            raise entry.located(error) from error
    await _join(context, access, entries, decided)


async def _if_version(context: Context, access: Access, entry: Entry, decided: _Decided) -> int | None:
    """As `Put.if_version`. Raises PreconditionFailed where it can be told already that it does not hold."""
    wanted = _wanted(entry)
    if wanted and entry.condition is not None and decided.found[entry.index] is None:
        raise PreconditionFailed("ifMatch names a version, but nothing matches the condition.")
    if not isinstance(wanted, OneOf):
        return wanted
    if entry.index in decided.patched:
        return chosen(wanted, decided.patched[entry.index])
    return await expected(context, access, decided.identity[entry.index], wanted)


def _wanted(entry: Entry) -> Wanted:
    if entry.method == "POST":
        return None
    if_match, if_none_match = (str(said) if (said := entry.request.get(name)) else None for name in ("ifMatch", "ifNoneMatch"))
    return version_wanted(if_match, if_none_match if entry.method == "PUT" else None, ("ifMatch", "ifNoneMatch"))


async def _join(context: Context, access: Access, entries: Sequence[Entry], decided: _Decided) -> None:
    """What the hooks want beside each resource; they see what the transaction stores, whatever the order of its entries."""
    stored = {
        decided.identity[entry.index]: (entry, entry.resource)
        for entry in entries
        if entry.index in decided.place and entry.method != "DELETE" and entry.resource is not None
    }
    beside = {name: resource for name, (_, resource) in stored.items()}
    extra: list[Write] = []
    for entry, resource in stored.values():
        try:
            writes, guards = await joined(context, access, resource, beside)
        except FHIRError as error:
            raise entry.located(error) from error
        extra += writes
        decided.guards += guards
    decided.writes += extra


async def _stale(
    context: Context, access: Access, entries: Sequence[Entry], decided: _Decided, error: VersionConflict
) -> FHIRError:
    """The same error at the entry whose If-Match does not hold; with none to blame, what a hook or a patch read was overtaken: decide again."""
    chose = False
    for entry in entries:
        wanted = _wanted(entry)
        chose = chose or isinstance(wanted, OneOf)
        if not isinstance(wanted, int) or entry.index not in decided.identity:
            continue
        current = await context.store.read_many(access, [decided.identity[entry.index]])
        if (current[0].version if current else 0) != wanted:
            return entry.located(error)
    return GuardFailed("Others were faster.") if context.hooks or decided.patched or chose else error


def _outcomes(entries: Sequence[Entry], decided: _Decided, results: Sequence[Stored | None]) -> dict[int, Outcome]:
    outcomes = {}
    for entry in entries:
        place = decided.place.get(entry.index)
        if entry.method == "DELETE":
            outcomes[entry.index] = Outcome(204, results[place] if place is not None else None)
        elif place is None:
            outcomes[entry.index] = Outcome(200, decided.matched[entry.index])
        else:
            stored = results[place]
            assert stored is not None
            outcomes[entry.index] = Outcome(201 if stored.action == "create" else 200, stored)
    return outcomes

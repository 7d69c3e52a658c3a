"""create, update, delete and their conditional forms, without HTTP: the REST routes, batches and the loader call these."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from app.api.conditional import find, settle
from app.api.context import Context
from app.api.negotiate import OneOf, Wanted, chosen
from app.fhir.errors import BadRequest, Invalid, NotFound, PreconditionFailed
from app.fhir.validation import check
from app.ids import new_id
from app.registry.identity import valid_nhs_number
from app.security.access import Access
from app.security.scopes import require
from app.store.protocol import Delete, Guard, GuardFailed, Put, Stored, VersionConflict, Write

_ID = re.compile(r"[A-Za-z0-9.-]{1,64}")


@dataclass(frozen=True, slots=True)
class Done:
    """What a write came to. `status` is 200 or 201; `stored` is what is there now."""

    stored: Stored
    status: int


def checked_id(id: Any, where: str = "id") -> str:
    """An id that FHIR allows and that is no NHS number: ids land in logs and URLs. Raises BadRequest."""
    if not isinstance(id, str) or not _ID.fullmatch(id):
        raise BadRequest("An id has 1 to 64 characters: letters, digits, '-' and '.'.", expression=where)
    if valid_nhs_number(id):
        raise BadRequest(
            "This id is a valid NHS number. Ids show in URLs and logs: choose one that says nothing of the person.",
            expression=where,
        )
    return id


def checked_type(resource: dict[str, Any], type: str) -> None:
    """Raises Invalid where the body is of another type than the URL."""
    if resource.get("resourceType") != type:
        found = str(resource.get("resourceType"))[:60]
        raise Invalid(f"The URL is for {type}, but the body's resourceType is {found}.", expression="resourceType")


async def expected(context: Context, access: Access, reference: str, wanted: Wanted) -> int | None:
    """As `Put.if_version`, once what is there now has been judged, where that has to be. Raises PreconditionFailed."""
    if wanted is None or (isinstance(wanted, int) and wanted):
        return wanted
    there = await context.store.read_many(access, [reference])
    if isinstance(wanted, OneOf):
        return chosen(wanted, there[0].version if there else None)
    if there:
        raise PreconditionFailed(f"{reference} is there already.")
    return wanted


async def joined(
    context: Context, access: Access, resource: dict[str, Any], beside: Mapping[str, dict[str, Any]] = MappingProxyType({})
) -> tuple[list[Write], list[Guard]]:
    """What the hooks want committed together with `resource`. `beside`: what the same transaction stores, by `Type/id`."""
    writes: list[Write] = []
    guards: list[Guard] = []
    for hook in context.hooks.get(resource["resourceType"], ()):
        for item in await hook(access, resource, beside):
            if isinstance(item, Guard):
                guards.append(item)
            else:
                writes.append(item)
    return writes, guards


async def put(context: Context, access: Access, write: Put, guards: list[Guard]) -> Done:
    """One resource, with what the hooks want beside it."""
    writes, more = await joined(context, access, write.resource)
    try:
        results = await context.store.commit(access, [write, *writes], [*guards, *more])
    except VersionConflict as error:
        if writes and not write.if_version:  # no version that the caller named: a hook's own read was overtaken, so decide again
            raise GuardFailed("Others were faster.") from error
        raise
    stored = results[0]
    assert stored is not None
    return Done(stored, 201 if stored.action == "create" else 200)


async def create(
    context: Context,
    access: Access,
    type: str,
    resource: dict[str, Any],
    *,
    if_none_exist: str | None = None,
    base: str | None = None,
) -> Done:
    """A new resource under a new id; with `if_none_exist`, or the one that matches (status 200)."""
    require(access, type, "c")
    checked_type(resource, type)
    check(resource)

    async def attempt() -> Done:
        guards = []
        if if_none_exist is not None:
            require(access, type, "s")
            match, guard = await find(context.store, access, type, if_none_exist, base)
            if match is not None:
                return Done(match, 200)
            guards.append(guard)
        return await put(context, access, Put({**resource, "id": new_id()}, if_version=0), guards)

    return await settle(attempt)


async def update(
    context: Context, access: Access, type: str, id: str, resource: dict[str, Any], *, if_version: Wanted = None
) -> Done:
    """The resource under this id from now on, whether it was there or not. The same content again makes no new version."""
    require(access, type, "u")
    checked_type(resource, type)
    checked_id(id, f"{type}.id")
    if resource.get("id") != id:
        told = f"has the id '{str(resource['id'])[:64]}'" if "id" in resource else "has no id"
        raise BadRequest(f"The URL says {type}/{id}, but the body {told}.", expression=f"{type}.id")
    check(resource)

    async def attempt() -> Done:
        version = await expected(context, access, f"{type}/{id}", if_version)
        return await put(context, access, Put(resource, if_version=version, unchanged_ok=True), [])

    return await settle(attempt, if_version)


async def update_where(
    context: Context,
    access: Access,
    type: str,
    query: str,
    resource: dict[str, Any],
    *,
    if_version: Wanted = None,
    base: str | None = None,
) -> Done:
    """Conditional update: none matches, create; one, update it; more, MultipleMatches."""
    require(access, type, "u")
    require(access, type, "s")
    checked_type(resource, type)
    if "id" in resource:
        checked_id(resource["id"], f"{type}.id")
    check(resource)

    async def attempt() -> Done:
        match, guard = await find(context.store, access, type, query, base)
        if match is None:
            require(access, type, "c")
            if if_version:
                raise PreconditionFailed("If-Match names a version, but nothing matches the condition.")
            new = resource if "id" in resource else {**resource, "id": new_id()}
            return await put(context, access, Put(new, if_version=0), [guard])
        if if_version == 0:
            raise PreconditionFailed(f"The condition matches {match.reference}: it is there already.")
        if resource.get("id", match.id) != match.id:
            raise BadRequest(f"The condition matches {match.reference}, but the body has another id.", expression=f"{type}.id")
        version = chosen(if_version, match.version)
        return await put(context, access, Put({**resource, "id": match.id}, if_version=version, unchanged_ok=True), [guard])

    return await settle(attempt, if_version)


async def delete(context: Context, access: Access, type: str, id: str, *, if_version: Wanted = None) -> Stored | None:
    """The version that marks the deletion; None if there was nothing to delete that the caller could see."""
    require(access, type, "d")

    async def attempt() -> Stored | None:
        version = await expected(context, access, f"{type}/{id}", if_version)
        try:
            [stored] = await context.store.commit(access, [Delete(type, id, version)])
        except NotFound:
            return None  # another hospital's and never there must look alike
        return stored

    return await settle(attempt, if_version)


async def delete_where(
    context: Context, access: Access, type: str, query: str, *, if_version: Wanted = None, base: str | None = None
) -> Stored | None:
    """Conditional delete of one at most."""
    require(access, type, "d")
    require(access, type, "s")

    async def attempt() -> Stored | None:
        match, guard = await find(context.store, access, type, query, base)
        if match is None:
            if if_version is not None:
                raise PreconditionFailed("If-Match names a version, but nothing matches the condition.")
            return None
        version = chosen(if_version, match.version)
        [stored] = await context.store.commit(access, [Delete(type, match.id, version)], [guard])
        return stored

    return await settle(attempt, if_version)

"""PATCH without HTTP: read, change, validate, write under the version that was read; started over while others are faster.

Invariants: what is stored was validated whole; a patch never changes what a resource is or its id; whoever patches may also read, since a
patch can ask what is there (`test`, `where`).
"""

import base64
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from app.api.conditional import find, settle
from app.api.context import Context
from app.api.negotiate import Wanted, chosen, sent
from app.api.write import Done, put
from app.fhir import codec, xml
from app.fhir.errors import BadRequest, NotFound, UnsupportedMedia
from app.fhir.patch import PatchError, fhirpath_patch, json_patch, read_json_patch, xml_patch
from app.fhir.validation import check
from app.security.access import Access
from app.security.scopes import require
from app.store.protocol import Guard, GuardFailed, Put, Stored, VersionConflict

JSON_PATCH, XML_PATCH = "application/json-patch+json", "application/xml-patch+xml"
FORMATS = (JSON_PATCH, XML_PATCH, "application/fhir+json", "application/fhir+xml")
Change = Callable[[dict[str, Any]], dict[str, Any]]


def change_of(media: str, raw: bytes) -> Change:
    """What a body of that media type does to a resource. Raises Malformed, BadRequest, UnsupportedMedia."""
    kind = media.partition(";")[0].strip().lower()
    if not raw.strip():
        raise BadRequest("The body is empty: a patch was expected.")
    if kind == JSON_PATCH:
        return partial(json_patch, operations=read_json_patch(raw))
    if kind == XML_PATCH:
        return partial(xml_patch, diff=raw)
    try:
        format = sent(media)
    except UnsupportedMedia as error:
        raise UnsupportedMedia(f"{error} A patch is one of {', '.join(FORMATS)}.") from error
    return partial(fhirpath_patch, parameters=(codec.decode if format == "json" else xml.decode)(raw))


def change_in(resource: Mapping[str, Any]) -> Change:
    """The same of an entry in a Bundle: a Parameters, or a Binary that holds the other two."""
    if resource.get("resourceType") != "Binary":
        return partial(fhirpath_patch, parameters=resource)
    media = str(resource.get("contentType"))
    if media.partition(";")[0].strip().lower() not in (JSON_PATCH, XML_PATCH):
        raise UnsupportedMedia(
            f"A Binary that patches has the contentType {JSON_PATCH} or {XML_PATCH}.", expression="contentType"
        )
    try:
        raw = base64.b64decode(str(resource.get("data", "")), validate=True)
    except ValueError:
        raise BadRequest("The data of the Binary is not base64.", expression="data") from None
    return change_of(media, raw)


def changed(stored: Stored, change: Change) -> dict[str, Any]:
    """The resource as the patch leaves it. Raises Invalid where that is not valid, PatchError where it is another resource."""
    resource = change(stored.resource)
    if resource.get("resourceType") != stored.type or resource.get("id") != stored.id:
        raise PatchError("A patch may not change the type or the id of a resource.", expression=f"{stored.type}.id")
    check(resource)
    return resource


def permit(access: Access, type: str) -> None:
    """Raises Forbidden where the caller may not patch."""
    require(access, type, "u")
    require(access, type, "r")


async def _store(
    context: Context, access: Access, stored: Stored, change: Change, if_version: Wanted, guards: list[Guard]
) -> Done:
    named = chosen(if_version, stored.version)
    version = stored.version if named is None else named
    try:
        return await put(context, access, Put(changed(stored, change), if_version=version, unchanged_ok=True), guards)
    except VersionConflict as error:
        if not isinstance(if_version, int):
            raise GuardFailed("Others were faster.") from error
        raise


async def patch(context: Context, access: Access, type: str, id: str, change: Change, *, if_version: Wanted = None) -> Done:
    """The resource under this id, changed. What changes nothing makes no new version."""
    permit(access, type)

    async def attempt() -> Done:
        return await _store(context, access, await context.store.read(access, type, id), change, if_version, [])

    return await settle(attempt)


async def patch_where(
    context: Context,
    access: Access,
    type: str,
    query: str,
    change: Change,
    *,
    if_version: Wanted = None,
    base: str | None = None,
) -> Done:
    """Conditional patch: exactly one must match."""
    permit(access, type)
    require(access, type, "s")

    async def attempt() -> Done:
        match, guard = await find(context.store, access, type, query, base)
        if match is None:
            raise NotFound(f"Nothing matches the condition, so there is no {type} to patch.")
        return await _store(context, access, match, change, if_version, [guard])

    return await settle(attempt)

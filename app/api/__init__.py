"""The FHIR R4 REST facade: HTTP in, stored bytes out.

`routes(context)` is the whole of it. Every URL pattern is one `Endpoint` with its handlers by method and its policy; the handlers are
short and lie in files named after the interaction. What an interaction does, without HTTP, is in `write.py` and `transaction.py`.

Hot routes come first and are plain Starlette routes.
"""

from dataclasses import replace
from typing import Any

from starlette.convertors import Convertor, register_url_convertor
from starlette.routing import BaseRoute, Route

from app.api import create_update, health, read, search
from app.api.bundle import Bundles
from app.api.capability import Metadata
from app.api.context import Context
from app.api.endpoint import Call, Endpoint
from app.api.entries import Entry
from app.api.inprocess import request
from app.api.negotiate import http_date
from app.api.operate import operate
from app.api.own_operations import own_operations
from app.api.respond import Reply
from app.api.write import checked_id
from app.fhir.errors import NotFound

__all__ = ["Context", "routes"]


class _Id(Convertor[str]):
    """A FHIR id in a path; names that begin with `_` or `$` are none."""

    regex = r"[A-Za-z0-9.-]{1,64}"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("fhirid", _Id())


def routes(context: Context) -> list[BaseRoute]:
    """All routes of the facade, the most used first."""
    context = replace(context, operations=[*own_operations(context.store, context.packages), *context.operations])
    found: list[BaseRoute] = []

    def at(path: str, policy: Any = "signed-in", **handlers: Any) -> None:
        found.append(Route(f"/fhir{path}", Endpoint(context, handlers, policy)))

    async def dispatch(call: Call, entry: Entry) -> Reply:
        return await _dispatch(found, call, entry)

    bundles, metadata = Bundles(dispatch), Metadata()
    at("/{type}/{id:fhirid}", GET=read.read, PUT=create_update.put, PATCH=create_update.patch_one, DELETE=create_update.remove)
    at(
        "/metadata",
        policy="open",
        GET=metadata.get,
    )
    at("/_history", GET=read.system_history)
    at("/_search", POST=search.search_system)
    at("/${operation}", GET=operate, POST=operate)
    at(
        "/{type:fhirid}",
        GET=search.search_type,
        POST=create_update.post,
        PUT=create_update.put_where,
        PATCH=create_update.patch_one_where,
        DELETE=create_update.remove_where,
    )
    at("/{type}/_search", POST=search.search_type)
    at("/{type}/_history", GET=read.type_history)
    at("/{type}/${operation}", GET=operate, POST=operate)
    at("/{type}/{id:fhirid}/_history/{version}", GET=read.vread)
    at("/{type}/{id:fhirid}/_history", GET=read.instance_history)
    at("/{type}/{id:fhirid}/${operation}", GET=operate, POST=operate)
    at("/{type}/{id:fhirid}/{other:fhirid}/_search", POST=search.search_compartment)
    at("/{type}/{id:fhirid}/{other:fhirid}", GET=search.search_compartment)
    for root in ("", "/"):
        at(root, GET=search.search_system, POST=bundles.post)
    at("/{path:path}", policy="open", **dict.fromkeys(("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"), nothing))
    found.append(Route("/health", Endpoint(context, {"GET": health.health}, "open")))
    found.append(Route("/health/ready", Endpoint(context, {"GET": health.ready}, "open")))
    found.append(Route("/health/detail", Endpoint(context, {"GET": health.detail}, "national")))
    return found


async def nothing(call: Call) -> Reply:
    """Every other URL below the base."""
    parts = call.path["path"].split("/")
    if len(parts) == 2 and call.scope["method"] == "PUT":
        checked_id(parts[1], "id")
    raise NotFound("There is nothing at this URL. What there is stands in the CapabilityStatement at /fhir/metadata.")


async def _dispatch(table: list[BaseRoute], call: Call, entry: Entry) -> Reply:
    """An entry of a bundle as a request of its own, with the caller's identity."""
    said, condition = entry.request, entry.condition if entry.method == "POST" else None
    told = {
        b"if-match": said.get("ifMatch"),
        b"if-none-match": said.get("ifNoneMatch"),
        b"if-none-exist": condition,
        b"if-modified-since": http_date(read.instant(str(said["ifModifiedSince"]))) if "ifModifiedSince" in said else None,
    }
    headers = [(name, str(value).encode()) for name, value in told.items() if value is not None]
    headers += [(name, value) for name, value in call.scope["headers"] if name in (b"host", b"prefer")]
    resource = entry.resource
    body = None if resource is None else lambda: resource
    scheme = call.scope.get("scheme", "http")
    return await request(
        table, call.access, entry.method, entry.path, query=entry.query, headers=headers, body=body, scheme=scheme
    )

"""A request without a socket: entries of a batch, and the loader, go through the very routes that callers use."""

from collections.abc import Callable, Sequence
from typing import Any

from starlette.routing import BaseRoute, Match, Route
from starlette.types import Message

from app.api.endpoint import ENTRY_ACCESS, ENTRY_BODY, Endpoint
from app.api.respond import Reply
from app.fhir.errors import NotFound
from app.security.access import Access

Headers = Sequence[tuple[bytes, bytes]]


async def _no_bytes() -> Message:
    return {"type": "http.request", "body": b""}


async def request(
    table: Sequence[BaseRoute],
    access: Access,
    method: str,
    path: str,
    *,
    query: str = "",
    headers: Headers = (),
    body: Callable[[], dict[str, Any]] | None = None,
    scheme: str = "http",
) -> Reply:
    """`path` is below the FHIR base, without a slash at its start; `body` gives the resource, decoded afresh at each call."""
    scope: dict[str, Any] = {
        "type": "http",
        "http_version": "1.1",
        "scheme": scheme,
        "method": method,
        "path": f"/fhir/{path}" if path else "/fhir",
        "root_path": "",
        "query_string": query.encode(),
        "headers": list(headers),
        ENTRY_ACCESS: access,
    }
    if body is not None:
        scope[ENTRY_BODY] = body
    for route in table:
        match, child = route.matches(scope)
        if match is Match.FULL and isinstance(route, Route) and isinstance(route.app, Endpoint):
            scope.update(child)
            return await route.app.reply(scope, _no_bytes)
    raise NotFound("There is nothing at this URL.")

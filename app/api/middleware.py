"""What wraps every request: headers that harden, a cap on forms, a log line without personal data. Plain ASGI, a few microseconds.

A log line has the route's pattern, never the path or the query: both can carry an identifier. Below `debug` only answers of 5xx and
those over a second are logged.
"""

import time
from functools import lru_cache
from ipaddress import ip_address
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.context import Context
from app.fhir.errors import TooLarge
from app.logs import logger

FORM_BYTES = 2 * 1024 * 1024
SLOW_SECONDS = 1.0
STATUS = "csor.status"  # where a FHIR reply notes its status in the scope, which spares a wrapper around `send`
_HEADERS = [(b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer"), (b"x-frame-options", b"DENY")]


class Shield:
    """See the module."""

    def __init__(self, app: ASGIApp, context: Context, verbose: bool = False) -> None:
        self._app, self._sandbox, self._verbose = app, context.sandbox, verbose
        self._https = context.base_url.startswith("https:")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._sandbox and not _from_here(next((value for name, value in scope["headers"] if name == b"host"), b"")):
            return await _refuse(send, b"This sandbox answers to localhost alone.")
        if self._https:  # a proxy ends TLS: our cookies must stay in it all the same
            scope["scheme"] = "https"
        start = time.perf_counter()
        try:
            if scope["path"].startswith("/fhir"):  # a facade's replies are hardened already, and its bodies capped
                await self._app(scope, receive, send)
            else:
                await self._app(scope, _capped(receive), _hardened(scope, send))
        finally:
            elapsed, status = time.perf_counter() - start, scope.get(STATUS, 0)
            if self._verbose or status >= 500 or elapsed > SLOW_SECONDS:
                route: Any = scope.get("route")
                logger().info(
                    "request",
                    method=scope["method"],
                    route=getattr(route, "path", ""),
                    status=status,
                    ms=round(elapsed * 1000, 1),
                )


def _hardened(scope: Scope, send: Send) -> Send:
    """A page that sets one of the headers itself keeps its own."""

    async def harder(message: Message) -> None:
        if message["type"] == "http.response.start":
            scope[STATUS] = message["status"]
            headers = list(message.get("headers", ()))
            present = {name.lower() for name, _ in headers}
            message["headers"] = headers + [(name, value) for name, value in _HEADERS if name not in present]
        await send(message)

    return harder


def _capped(receive: Receive) -> Receive:
    """Pages take forms, and forms are small."""
    size = 0

    async def counted() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > FORM_BYTES:
            raise TooLarge("That is more than a form of this site can hold.")
        return message

    return counted


@lru_cache(maxsize=256)
def _from_here(host: bytes) -> bool:
    """Whether the Host header names this machine: a page elsewhere must not reach a sandbox under a name of its own (DNS rebinding)."""
    text = host.decode("latin-1")
    name = text[1:].partition("]")[0] if text.startswith("[") else text.partition(":")[0]
    if name in ("localhost", "", "testserver"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


async def _refuse(send: Send, text: bytes) -> None:
    await send({"type": "http.response.start", "status": 421, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": text})

"""Answers: stored bytes as they are, or brought to XML, indented or cut down only where the caller asks."""

from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.types import Receive, Scope, Send

from app.api.negotiate import JSON, XML, Format, etag, http_date
from app.fhir import codec, xml
from app.store.protocol import Stored

Headers = list[tuple[bytes, bytes]]
_HARD = [(b"x-content-type-options", b"nosniff"), (b"cache-control", b"private, no-cache")]


class Reply:
    """A whole answer in one piece. To HEAD it sends the headers alone."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, body: bytes = b"", headers: Headers | None = None) -> None:
        self.status, self.body, self.headers = status, body, headers or []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["csor.status"] = self.status
        headers = [*self.headers, *_HARD]
        if self.status not in (204, 304):
            headers.append((b"content-length", b"%d" % len(self.body)))
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else self.body})


_TYPES = {"json": (b"content-type", JSON.encode()), "xml": (b"content-type", XML.encode())}


def represent(status: int, raw: bytes, format: Format, *, pretty: bool = False, headers: Headers | None = None) -> Reply:
    """`raw` is the JSON of a resource."""
    if format == "xml":
        raw = xml.encode(codec.decode(raw))
    elif pretty:
        raw = msgspec.json.format(raw, indent=2)
    return Reply(status, raw, [_TYPES[format], *(headers or [])])


def represent_value(status: int, value: Mapping[str, Any], format: Format, **more: Any) -> Reply:
    """The same for a resource that is not bytes yet."""
    return represent(status, codec.encode(value), format, **more)


def version_headers(stored: Stored) -> Headers:
    """ETag and Last-Modified."""
    return [(b"etag", etag(stored.version).encode()), (b"last-modified", http_date(stored.updated).encode())]


def location(base: str, stored: Stored) -> str:
    """The URL of this version."""
    return f"{base}/{stored.type}/{stored.id}/_history/{stored.version}"

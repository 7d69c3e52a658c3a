"""Style sheets, from memory: compressed once, named by their content so that a browser asks once and never again.

`url("nhsuk.css")` gives the address to put into a page. Nothing is read from outside this package.
"""

import gzip
import hashlib
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from app.fhir.errors import NotFound

_FOLDER = Path(__file__).parent / "static"
_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}


class Asset(NamedTuple):
    body: bytes
    compressed: bytes
    digest: str
    media_type: str


@cache
def asset(name: str) -> Asset:
    """The asset called `name`. Raises NotFound, also for what is not of a kind that is served."""
    path = _FOLDER / name
    if path.suffix not in _TYPES or path.parent != _FOLDER or not path.is_file():
        raise NotFound(f"There is no asset called {name}.")
    body = path.read_bytes()
    return Asset(body, gzip.compress(body, 9, mtime=0), hashlib.sha256(body).hexdigest()[:12], _TYPES[path.suffix])


def url(name: str) -> str:
    """The address of an asset; it changes with the content."""
    return f"/static/{asset(name).digest}/{name}"


def accepts_gzip(request: Request) -> bool:
    """Whether the caller takes compressed bodies."""
    return "gzip" in request.headers.get("accept-encoding", "")


async def _serve(request: Request) -> Response:
    try:
        found = asset(request.path_params["name"])
    except NotFound:
        return Response("Not found", 404, media_type="text/plain")
    current = request.path_params["digest"] == found.digest
    headers = {
        "cache-control": "public, max-age=31536000, immutable" if current else "no-cache",
        "etag": f'"{found.digest}"',
        "vary": "accept-encoding",
        "x-content-type-options": "nosniff",
    }
    if request.headers.get("if-none-match") == headers["etag"]:
        return Response(status_code=304, headers=headers)
    if accepts_gzip(request):
        return Response(found.compressed, headers=headers | {"content-encoding": "gzip"}, media_type=found.media_type)
    return Response(found.body, headers=headers, media_type=found.media_type)


def routes(_context: Any) -> list[BaseRoute]:
    """The one route of the assets."""
    return [Route("/static/{digest}/{name}", _serve, name="static")]

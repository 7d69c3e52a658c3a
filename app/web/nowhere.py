"""Every address that no page has: a page that says so, and that leads on."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from app.fhir.errors import NotFound
from app.web.pages import page


def routes(context: Any) -> list[BaseRoute]:
    """Must come last. Open to everybody."""
    return [Route("/{path:path}", page(_nothing, context, signed_in=False), methods=["GET"])]


async def _nothing(_request: Request) -> Response:
    raise NotFound("There is no page at this address. If you typed it, check it; or begin at the start page.")

"""The start page: what this is, and the door for each kind of reader."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from app.web.pages import page, render


def routes(context: Any) -> list[BaseRoute]:
    """Open to everybody."""
    return [Route("/", page(_show, context, signed_in=False), methods=["GET"])]


async def _show(request: Request) -> Response:
    return render(request, "start.html")

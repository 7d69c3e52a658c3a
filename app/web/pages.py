"""How a page is made: templates in, bytes out, errors as sentences.

Every value is escaped and a value that is missing is an error. `page` wraps a handler so that whatever goes wrong reaches the reader as a page
with a sentence and the right status, never as a stack trace, and so that a reader who has not signed in is asked to.
"""

import gzip
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from app.fhir.errors import FHIRError, Unauthenticated
from app.logs import logger
from app.security.access import Access
from app.web import assets, csrf

POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; script-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_environment = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.globals["asset"] = assets.url
Handler = Callable[[Request], Awaitable[Response]]


def render(request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """`template` (below `templates/`) with `values`, compressed where the browser takes it, never cached, framed or scripted from outside.

    Templates also see `request`, `form_token()` for forms, `asset(name)` and `access` (None where nobody is signed in).
    """
    values.setdefault("access", getattr(request.state, "access", None))
    html = _environment.get_template(template).render(request=request, form_token=lambda: csrf.token(request), **values)
    body = html.encode()
    headers = {
        "cache-control": "no-store",
        "content-security-policy": POLICY,
        "referrer-policy": "same-origin",
        "x-content-type-options": "nosniff",
        "vary": "accept-encoding",
    }
    if assets.accepts_gzip(request) and len(body) > 1_000:
        body = gzip.compress(body, 6)
        headers["content-encoding"] = "gzip"
    response = HTMLResponse(body, status, headers)
    csrf.keep(request, response)
    return response


def page(handler: Handler, context: Any = None, *, signed_in: bool = True) -> Handler:
    """Wrap a page's handler: `request.state.access` is set, errors become pages. With `signed_in`, strangers are sent to sign in."""

    async def wrapped(request: Request) -> Response:
        request.state.access = None
        try:
            if context is not None:
                found = context.access(request)
                request.state.access = await found if isawaitable(found) else found
            if signed_in and request.state.access is None:
                raise Unauthenticated("Sign in to see this page.")
            return await handler(request)
        except Unauthenticated:
            back = request.url.path + (f"?{request.url.query}" if request.url.query else "") if request.method == "GET" else "/"
            return RedirectResponse(f"/sign-in?next={quote(back)}", 303)
        except FHIRError as error:
            return render(request, "error.html", status=error.status, sentences=[issue.diagnostics for issue in error.issues])
        except Exception as error:
            logger().error("page-failed", exc_type=type(error).__name__, where=handler.__qualname__, method=request.method)
            return render(
                request, "error.html", status=500, sentences=["Something went wrong on our side. Nothing that you saved is lost."]
            )

    return wrapped


def access_of(request: Request) -> Access:
    """Who asks, inside a handler that `page` wrapped."""
    access: Access = request.state.access
    return access

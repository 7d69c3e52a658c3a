"""Signing in and out: a password makes a session whose secret lies in a cookie that no script can read.

What must stay true: an unknown name, a wrong password and a locked account get the same answer; after signing in a reader goes on only to a path of
this site; signing out takes a form of ours, so no other page can do it.
"""

import re
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from app.security.access import Access
from app.security.identity import LOCK_SECONDS, SESSION_COOKIE, TRIES
from app.web import csrf
from app.web.pages import page, render

_OWN_PATH = re.compile(r"/(?![/\\])[!-~]*")  # a browser reads // and /\ as another host; control characters and blanks never come
_REFUSED = "The user name or the password is not right."
_LOCKED = f"After {TRIES} wrong tries in a row an account is locked for {LOCK_SECONDS // 60} minutes."


def routes(context: Any) -> list[BaseRoute]:
    """Open to everybody."""
    pages = SignIn(context)
    return [
        Route("/sign-in", page(pages.show, context, signed_in=False), methods=["GET"]),
        Route("/sign-in", page(pages.enter, context, signed_in=False), methods=["POST"]),
        Route("/sign-out", page(pages.leave, context, signed_in=False), methods=["POST"]),
    ]


def own_path(wanted: str) -> str:
    """`wanted` if it is a path of this site, else the start page."""
    return wanted if _OWN_PATH.fullmatch(wanted) and not wanted.startswith(("/sign-in", "/sign-out")) else "/"


def home(access: Access) -> str:
    """Where a reader goes who asked for no page."""
    return "/hospital" if access.role in ("hospital", "national") else "/"


class SignIn:
    """The handlers."""

    def __init__(self, context: Any) -> None:
        self._context = context

    async def show(self, request: Request) -> Response:
        """The form; whoever is signed in goes on at once."""
        access: Access | None = request.state.access
        back = own_path(request.query_params.get("next", "/"))
        if access is not None:
            return RedirectResponse(back if back != "/" else home(access), 303)
        return _form(request, back)

    async def enter(self, request: Request) -> Response:
        """One try."""
        form = await request.form(max_files=0, max_fields=10)
        csrf.check(request, str(form.get(csrf.FIELD, "")))
        name, password = (str(form.get(field, "")) for field in ("username", "password"))
        back = own_path(str(form.get("next", "/")))
        token = await self._context.identities.sign_in(name, password) if name and password else None
        if token is None:
            sentences = [_REFUSED, _LOCKED] if name and password else ["Write your user name and your password."]
            return _form(request, back, name[:200], sentences)
        access = await self._context.identities.access_for_session(token)
        response = RedirectResponse(back if back != "/" or access is None else home(access), 303, {"cache-control": "no-store"})
        secure = self._context.base(request.scope).startswith("https:")
        response.set_cookie(SESSION_COOKIE, token, httponly=True, samesite="lax", secure=secure, path="/")
        return response

    async def leave(self, request: Request) -> Response:
        """The session ends on the server too."""
        form = await request.form(max_files=0, max_fields=10)
        csrf.check(request, str(form.get(csrf.FIELD, "")))
        if token := request.cookies.get(SESSION_COOKIE):
            await self._context.identities.sign_out(token)
        response = RedirectResponse("/", 303, {"cache-control": "no-store", "clear-site-data": '"cache"'})
        response.delete_cookie(SESSION_COOKIE, path="/")
        return response


def _form(request: Request, back: str, name: str = "", problems: list[str] | None = None) -> Response:
    return render(request, "sign_in.html", status=422 if problems else 200, back=back, name=name, problems=problems or [])

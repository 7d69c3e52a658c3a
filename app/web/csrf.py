"""Proof that a form post comes from a page that we made for this browser.

A random secret lies in a cookie that no script can read; each form carries a token made of a fresh nonce and the nonce's HMAC under
the secret, so the page's bytes differ each time and compressing them tells nothing of the secret.
"""

import hashlib
import hmac
import secrets

from starlette.requests import Request
from starlette.responses import Response

from app.fhir.errors import Forbidden

COOKIE = "csor_form"
FIELD = "form_token"


def _mac(secret: str, nonce: str) -> str:
    return hmac.new(secret.encode(), nonce.encode(), hashlib.sha256).hexdigest()


def token(request: Request) -> str:
    """A token for a form on the page that answers `request`."""
    secret = request.cookies.get(COOKIE) or getattr(request.state, "form_secret", "")
    if not secret:
        secret = request.state.form_secret = secrets.token_urlsafe(24)
    nonce = secrets.token_urlsafe(9)
    return f"{nonce}.{_mac(secret, nonce)}"


def keep(request: Request, response: Response) -> None:
    """Give the browser the secret, where `token` had to make one."""
    if secret := getattr(request.state, "form_secret", ""):
        response.set_cookie(COOKIE, secret, httponly=True, samesite="lax", secure=request.url.scheme == "https", path="/")


def check(request: Request, sent: str) -> None:
    """Raises Forbidden unless `sent` is a token that this browser was given."""
    nonce, _, mac = sent.partition(".")
    secret = request.cookies.get(COOKIE, "")
    if not secret or not hmac.compare_digest(_mac(secret, nonce), mac):
        raise Forbidden(
            "This form was not sent from a page that we gave you, or your browser has lost our cookie. Open the page again."
        )

"""What every route is given: the store, who is known, and what other rooms hand in. Made once at start by `app.main`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from starlette.requests import Request
from starlette.types import Scope

from app.fhir.operations import Operation
from app.security.access import SANDBOX, Access
from app.security.identity import SESSION_COOKIE, Identities
from app.store.protocol import Hook, Store


@dataclass(frozen=True, slots=True)
class Context:
    """`base_url` without a slash at its end, "" to take it from each request. `max_body` in bytes, `body_seconds` for one request's body."""

    store: Store
    identities: Identities
    sandbox: bool = False
    base_url: str = ""
    max_body: int = 50 * 1024 * 1024
    body_seconds: float = 60.0
    hooks: Mapping[str, Sequence[Hook]] = field(default_factory=dict)
    operations: Sequence[Operation] = ()
    packages: Sequence[Path] = ()  # FHIR packages whose profiles $validate knows

    def base(self, scope: Scope) -> str:
        """The server's root as the caller sees it: `https://host`."""
        if self.base_url:
            return self.base_url
        host = next((value for name, value in scope["headers"] if name == b"host"), b"localhost")
        return f"{scope.get('scheme', 'http')}://{host.decode('latin-1')}"

    async def access(self, request: Request) -> Access | None:
        """Who asks: a bearer token, or else the session cookie of a signed-in user; None if nobody is known. A wrong token is nobody."""
        header = request.headers.get("authorization")
        if self.sandbox or header is not None:
            return await self.bearer(header or "")
        cookie = request.cookies.get(SESSION_COOKIE)
        return await self.identities.access_for_session(cookie) if cookie else None

    async def bearer(self, authorization: str) -> Access | None:
        """Who sends this Authorization header; in a sandbox its administrator, whatever it says."""
        if self.sandbox:
            return SANDBOX
        kind, _, token = authorization.partition(" ")
        return await self.identities.access_for_token(token.strip()) if kind.lower() == "bearer" else None

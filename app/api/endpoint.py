"""The way into every FHIR route: method, format, identity, then the handler, then an answer; every error becomes an OperationOutcome.

Invariants: who asks is settled before the first byte of a body is read; a body never takes more memory than `max_body`; its depth is
measured before it is parsed; nothing that a caller sent reaches a log.
"""

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Literal
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from app.api.context import Context
from app.api.negotiate import Format, Prefer, prefer, sent, wanted
from app.api.respond import Reply, represent_value
from app.fhir import codec, xml
from app.fhir.errors import (
    BadRequest,
    FHIRError,
    Forbidden,
    MethodNotAllowed,
    TooLarge,
    Unauthenticated,
    Unavailable,
    UnsupportedMedia,
)
from app.fhir.numbers import whole_number
from app.logs import logger
from app.security.access import PUBLIC, Access

Policy = Literal["open", "signed-in", "national"]
Pairs = list[tuple[str, str]]

# Set in the scope of an entry of a batch, which is a request of its own within one that was let in. A caller cannot set them.
ENTRY_BODY, ENTRY_ACCESS = "csor.body", "csor.access"


class BodyTimeout(FHIRError):
    """The body did not come in time."""

    status, code = 408, "timeout"


class Call:
    """One request on its way: what it asks, by whom, of what."""

    __slots__ = ("_headers", "_pairs", "_receive", "access", "context", "form", "scope")

    def __init__(self, context: Context, scope: Scope, receive: Receive) -> None:
        self.context, self.scope = context, scope
        self._receive = receive
        self.access: Access = PUBLIC
        self.form: Pairs | None = None
        self._pairs: Pairs | None = None
        self._headers: dict[bytes, bytes] = dict(scope["headers"])

    @property
    def path(self) -> Mapping[str, str]:
        """The parts of the path that the route names."""
        parameters: Mapping[str, str] = self.scope["path_params"]
        return parameters

    @property
    def request(self) -> Request:
        """As Starlette has it."""
        return Request(self.scope, self._receive)

    def header(self, name: str) -> str | None:
        """One header, or None; `name` in lower case."""
        value = self._headers.get(name.encode())
        return None if value is None else _text(value)

    @property
    def query(self) -> str:
        """The query string as it came."""
        return _text(self.scope["query_string"])

    @property
    def pairs(self) -> Pairs:
        """The query string, in order, repeats kept."""
        if self._pairs is None:
            self._pairs = query_pairs(self.query)
        return self._pairs

    def option(self, name: str) -> str | None:
        """The first value of a query parameter, or of a field of the form of a search."""
        if not self.scope["query_string"] and not self.form:
            return None
        pairs = self.pairs if self.form is None else [*self.pairs, *self.form]
        return next((value for key, value in pairs if key == name), None)

    @property
    def format(self) -> Format:
        """What to answer in."""
        return wanted(self.header("accept") or "", self.option("_format"))

    @property
    def pretty(self) -> bool:
        """`_pretty=true`."""
        return self.option("_pretty") == "true"

    @property
    def prefer(self) -> Prefer:
        """What the caller would rather have back."""
        return prefer(self.header("prefer") or "")

    @property
    def base(self) -> str:
        """The FHIR base URL as the caller addresses it."""
        return f"{self.context.base(self.scope)}/fhir"

    async def body(self) -> bytes:
        """The whole body. Raises TooLarge, BodyTimeout, UnsupportedMedia."""
        most = self.context.max_body
        declared = self.header("content-length")
        if declared is not None and (whole_number(declared, 18) or 0) > most:
            raise TooLarge(f"The body has {declared} bytes; this server takes at most {most} in one request.")
        chunks: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self.context.body_seconds):
                more = True
                while more:
                    message = await self._receive()
                    if message["type"] == "http.disconnect":
                        raise ClientDisconnect
                    chunk, more = message.get("body", b""), message.get("more_body", False)
                    size += len(chunk)
                    if size > most:
                        raise TooLarge(f"The body is over {most} bytes, the most that this server takes in one request.")
                    chunks.append(chunk)
        except TimeoutError:
            raise BodyTimeout(f"The body did not arrive within {self.context.body_seconds:g} seconds.") from None
        return self._plain(b"".join(chunks))

    def _plain(self, raw: bytes) -> bytes:
        encoding = (self.header("content-encoding") or "identity").strip().lower()
        if encoding == "identity":
            return raw
        if encoding != "gzip":
            raise UnsupportedMedia(f"This server does not read Content-Encoding: {encoding[:40]}. Send it plain or gzip.")
        inflate = zlib.decompressobj(31)
        try:
            plain = inflate.decompress(raw, self.context.max_body)
        except zlib.error:
            raise BadRequest("The body says gzip, but is not.") from None
        if inflate.unconsumed_tail:
            raise TooLarge(
                f"The body unpacks to over {self.context.max_body} bytes, the most that this server takes in one request."
            )
        if not inflate.eof:
            raise BadRequest("The gzip body breaks off before its end.")
        if inflate.unused_data:
            raise BadRequest("The gzip body goes on after its end: send all of it as one member.")
        return plain

    async def resource(self) -> dict[str, Any]:
        """The body as a resource. Raises Malformed, UnsupportedMedia and whatever `body` raises."""
        return (await self.reader())()

    async def reader(self) -> Callable[[], dict[str, Any]]:
        """The body as a function that decodes it, anew at each call."""
        given: Callable[[], dict[str, Any]] | None = self.scope.get(ENTRY_BODY)
        if given is not None:
            return given
        format = sent(self.header("content-type") or "")
        raw = await self.body()
        if not raw.strip():
            raise BadRequest("The body is empty: a FHIR resource was expected.")
        return partial(codec.decode if format == "json" else xml.decode, raw)


Handler = Callable[[Call], Awaitable[Reply]]


def _text(raw: bytes) -> str:
    """As UTF-8, which a condition in a header is in as much as one in a Bundle; else as HTTP's own Latin-1."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def query_pairs(text: str) -> Pairs:
    """A query string as pairs. Raises BadRequest where it is not one."""
    if not text:
        return []
    try:
        return parse_qsl(text, keep_blank_values=True, max_num_fields=500, errors="strict")
    except (ValueError, UnicodeDecodeError):
        raise BadRequest("The query string is not UTF-8, or has more than 500 parameters.") from None


def unexpected(error: Exception, method: str) -> FHIRError:
    """Logs an error of ours by its kind and place alone; what the caller is told of it."""
    where = error.__traceback__
    while where is not None and where.tb_next is not None:
        where = where.tb_next
    spot = f"{where.tb_frame.f_globals.get('__name__')}:{where.tb_lineno}" if where else ""
    logger().error("request-failed", exc_type=type(error).__name__, method=method, where=spot)
    return FHIRError("Something unexpected went wrong here. It has been logged.")


class Endpoint:
    """The handlers of one URL pattern, by method. `policy` says who may come in at all; a test holds every route to its policy."""

    def __init__(self, context: Context, handlers: Mapping[str, Handler], policy: Policy = "signed-in") -> None:
        self.context, self.handlers, self.policy = context, dict(handlers), policy
        if "GET" in self.handlers:
            self.handlers["HEAD"] = self.handlers["GET"]
        self.allow = ", ".join(sorted(self.handlers)).encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            reply = await self.reply(scope, receive)
        except ClientDisconnect:
            return
        await reply(scope, receive, send)

    async def reply(self, scope: Scope, receive: Receive) -> Reply:
        """The answer, not yet sent."""
        call = Call(self.context, scope, receive)
        handler = self.handlers.get(scope["method"])
        try:
            if self.policy != "open":
                await self._admit(call)
            if handler is None:
                raise MethodNotAllowed(f"{scope['method']} does not exist here. What does: {self.allow.decode()}.")
            return await handler(call)
        except FHIRError as error:
            return self._problem(call, error)
        except ClientDisconnect:
            raise
        except Exception as error:
            return self._problem(call, unexpected(error, scope["method"]))

    async def _admit(self, call: Call) -> None:
        if ENTRY_ACCESS in call.scope:
            call.access = call.scope[ENTRY_ACCESS]
            return
        authorization = call.header("authorization")
        access = await (self.context.access(call.request) if authorization is None else self.context.bearer(authorization))
        if access is None:
            raise Unauthenticated("Sign in first: send an API token as 'Authorization: Bearer csor_...'.")
        if access.role in ("parent", "public"):
            raise Forbidden("This identity has no part in the FHIR interface.")
        if self.policy == "national" and not access.everything:
            raise Forbidden("Only a national identity may see this.")
        # a browser sends the cookie by itself, so a cookie alone must not change anything
        if call.scope["method"] not in ("GET", "HEAD") and not self.context.sandbox and call.header("authorization") is None:
            raise Unauthenticated("A session cookie reads only. Send an API token to change something.")
        call.access = access

    def _problem(self, call: Call, error: FHIRError) -> Reply:
        try:
            format = call.format
        except FHIRError:
            format = "json"
        headers = []
        if isinstance(error, Unauthenticated):
            headers.append((b"www-authenticate", b'Bearer realm="csor"'))
        if isinstance(error, MethodNotAllowed):
            headers.append((b"allow", self.allow))
        if isinstance(error, Unavailable):
            headers.append((b"retry-after", b"1"))
        return represent_value(error.status, error.outcome(), format, headers=headers)

"""Searchsets and histories, joined from stored bytes: no resource is parsed to be sent."""

from collections.abc import Iterable, Sequence
from urllib.parse import quote, urlencode

import msgspec

from app import clock
from app.api.negotiate import etag
from app.store.protocol import Stored

_encode = msgspec.json.encode
Link = tuple[str, str]


def url(base: str, path: str, pairs: Iterable[tuple[str, str]]) -> str:
    """`base/path?pairs`, encoded, with FHIR's own separators left readable."""
    query = urlencode(list(pairs), quote_via=quote, safe=":,|$*/")
    whole = f"{base}/{path}" if path else base
    return f"{whole}?{query}" if query else whole


def searchset(
    base: str,
    matches: Sequence[Stored],
    included: Sequence[Stored],
    links: Sequence[Link],
    *,
    total: int | None = None,
    outcome: bytes | None = None,
    only_total: bool = False,
) -> bytes:
    """A searchset Bundle. `outcome` is the JSON of an OperationOutcome about the search itself."""
    root = _encode(base)[1:-1]
    entries: list[bytes] = []
    if not only_total:
        for mode, found in ((b"match", matches), (b"include", included)):
            for stored in found:
                name = stored.reference.encode()
                entries.append(
                    b'{"fullUrl":"%b/%b","resource":%b,"search":{"mode":"%b"}}' % (root, name, stored.raw, mode),
                )
    if outcome is not None:
        entries.append(b'{"resource":%b,"search":{"mode":"outcome"}}' % outcome)
    return _bundle(b"searchset", links, entries, total)


def history(base: str, versions: Sequence[Stored], links: Sequence[Link], *, total: int | None = None) -> bytes:
    """A history Bundle: newest first, deletions as entries without a resource."""
    root = _encode(base)[1:-1]
    entries = []
    for stored in versions:
        name = stored.reference.encode()
        method, status, at = b"PUT", b"200", clock.instant(stored.updated).encode()
        if stored.deleted:
            method, status = b"DELETE", b"204"
        elif stored.action == "create":
            method, status = (b"POST", b"201") if stored.version == 1 else (b"PUT", b"201")
        target = stored.type.encode() if method == b"POST" else name
        resource = b"" if stored.deleted else b'"resource":%b,' % stored.raw
        entries.append(
            b'{"fullUrl":"%b/%b",%b"request":{"method":"%b","url":"%b"},"response":{"status":"%b","etag":%b,"lastModified":"%b"}}'
            % (root, name, resource, method, target, status, _encode(etag(stored.version)), at)
        )
    return _bundle(b"history", links, entries, total)


def _bundle(kind: bytes, links: Sequence[Link], entries: Sequence[bytes], total: int | None) -> bytes:
    told = _encode([{"relation": relation, "url": target} for relation, target in links])
    return b'{"resourceType":"Bundle","type":"%b","timestamp":"%b"%b%b%b}' % (
        kind,
        clock.instant(clock.micros()).encode(),
        b"" if total is None else b',"total":%d' % total,
        b',"link":' + told if links else b"",
        b',"entry":[' + b",".join(entries) + b"]" if entries else b"",
    )

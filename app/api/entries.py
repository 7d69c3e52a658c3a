"""The entries of a batch or transaction, read once into values that say what each wants."""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

from app import clock
from app.api.negotiate import etag
from app.api.types import known
from app.fhir.errors import BadRequest, FHIRError, Invalid, Issue, NotFound
from app.store.protocol import Stored

WRITES = ("DELETE", "POST", "PUT", "PATCH")
ORDER = (*WRITES, "GET", "HEAD")  # R4, 3.1.0.11.2
MOST = 20_000
_OF_THE_WHOLE = ("_format", "_pretty")  # the Bundle is answered in one format


@dataclass(slots=True)
class Entry:
    """`path` is relative to the base, without query; `id` "" where the URL has none; `query` without what is settled for the Bundle."""

    index: int
    method: str
    path: str
    query: str
    type: str
    id: str
    resource: dict[str, Any] | None
    full_url: str
    request: Mapping[str, Any]

    @property
    def at(self) -> str:
        """Its FHIRPath location."""
        return f"Bundle.entry[{self.index}]"

    @property
    def condition(self) -> str | None:
        """The search that decides what it is about: of a conditional create, update, patch or delete."""
        if self.method == "POST":
            exists = self.request.get("ifNoneExist")
            return None if exists is None else str(exists).partition("?")[2] or str(exists)
        return self.query if self.method in ("PUT", "PATCH", "DELETE") and not self.id else None

    def located(self, error: FHIRError) -> FHIRError:
        """The same error, of the same kind, placed at this entry."""
        issues = [
            Issue(i.severity, i.code, i.diagnostics, f"{self.at}.resource.{i.expression}" if i.expression else self.at)
            for i in error.issues
        ]
        moved = type(error).__new__(type(error))
        FHIRError.__init__(moved, issues=issues)
        return moved


def read_entries(bundle: Mapping[str, Any], base: str) -> list[Entry]:
    """In the order of the bundle. Raises BadRequest with the location of the entry, Invalid where the bundle has no list of them."""
    return [read_entry(index, entry, base) for index, entry in enumerate(raw_entries(bundle))]


def raw_entries(bundle: Mapping[str, Any]) -> list[Any]:
    """The entries as they came. Raises Invalid where that is no list, BadRequest where they are too many."""
    raw = bundle.get("entry") or []
    if not isinstance(raw, list):
        raise Invalid("Bundle.entry must be an array.", expression="Bundle.entry")
    if len(raw) > MOST:
        raise BadRequest(
            f"The bundle has {len(raw)} entries; this server takes at most {MOST} at once.", expression="Bundle.entry"
        )
    return raw


def read_entry(index: int, entry: Any, base: str) -> Entry:
    """One entry. Raises Invalid or BadRequest with its location."""
    at = f"Bundle.entry[{index}]"
    if not isinstance(entry, Mapping):
        raise Invalid("An entry must be an object.", expression=at)
    request = entry.get("request")
    if not isinstance(request, Mapping) or "method" not in request or "url" not in request:
        raise BadRequest("An entry of a batch or transaction needs request.method and request.url.", expression=f"{at}.request")
    method, url = str(request["method"]), str(request["url"])
    if method not in ORDER:
        raise BadRequest(f"'{method[:20]}' is not a method of an entry.", expression=f"{at}.request.method")
    url = url.removeprefix(base).lstrip("/")
    if "://" in url.partition("?")[0]:
        raise BadRequest("request.url leads to another server: make it relative to this one.", expression=f"{at}.request.url")
    path, _, query = url.partition("?")
    query = "&".join(pair for pair in query.split("&") if unquote(pair.partition("=")[0]) not in _OF_THE_WHOLE)
    parts = [unquote(part) for part in path.split("/")]
    if method in ("POST", "PUT", "PATCH") and parts[-1] != "_search" and not isinstance(entry.get("resource"), dict):
        raise BadRequest(f"A {method} needs a resource.", expression=f"{at}.resource")
    return Entry(
        index=index,
        method=method,
        path=path,
        query=query,
        type=parts[0],
        id=parts[1] if len(parts) > 1 else "",
        resource=entry.get("resource"),
        full_url=str(entry.get("fullUrl") or ""),
        request=request,
    )


def check_write(entry: Entry) -> None:
    """Raises BadRequest where a write of a transaction is not to a type or an instance."""
    try:
        known(entry.type)
    except NotFound as error:
        raise BadRequest(str(error), expression=f"{entry.at}.request.url") from None
    shape = entry.path.count("/")
    if shape > 1 or (entry.method == "POST" and shape) or entry.id.startswith(("_", "$")):
        raise BadRequest(
            f"{entry.method} {entry.path[:80]} is not an interaction that a transaction has.",
            expression=f"{entry.at}.request.url",
        )
    if entry.method != "POST" and not entry.id and not entry.query:
        raise BadRequest(f"{entry.method} needs an id or a condition.", expression=f"{entry.at}.request.url")


def status_line(status: int) -> str:
    """`201 Created`."""
    return f"{status} {HTTPStatus(status).phrase}"


def answered(status: int, stored: Stored | None, base: str, *, resource: dict[str, Any] | None = None) -> dict[str, Any]:
    """The response entry of a write."""
    response: dict[str, Any] = {"status": status_line(status)}
    if stored is not None:
        if not stored.deleted:
            response["location"] = f"{base}/{stored.reference}/_history/{stored.version}"
        response |= {"etag": etag(stored.version), "lastModified": clock.instant(stored.updated)}
    entry: dict[str, Any] = {}
    if stored is not None and not stored.deleted:
        entry["fullUrl"] = f"{base}/{stored.reference}"
    if resource is not None:
        entry["resource"] = resource
    return entry | {"response": response}

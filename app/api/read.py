"""read, vread and the three histories."""

from app.api import bundles
from app.api.endpoint import Call
from app.api.negotiate import not_modified
from app.api.respond import Reply, represent, version_headers
from app.api.subset import options, subset
from app.api.types import known
from app.fhir.errors import BadRequest, NotFound
from app.fhir.numbers import whole_number
from app.fhir.search.query import parse
from app.security.scopes import permits, require
from app.store.protocol import Found, Stored


async def read(call: Call) -> Reply:
    """The current version, 304 where the caller has it."""
    type = known(call.path["type"])
    require(call.access, type, "r")
    parts = _parts(call)  # before the store is asked: what is wrong with a request is wrong of what is not there yet
    stored = await call.context.store.read(call.access, type, call.path["id"])
    if not_modified(stored.version, stored.updated, call.header("if-none-match"), call.header("if-modified-since")):
        return Reply(304, headers=version_headers(stored))
    return _resource(call, stored, parts)


async def vread(call: Call) -> Reply:
    """One version."""
    type, version = known(call.path["type"]), call.path["version"]
    require(call.access, type, "r")
    number = whole_number(version, 18)
    if number is None:
        raise NotFound(f"There is no version {version[:40]} of {type}/{call.path['id'][:64]}.")
    return _resource(call, await call.context.store.vread(call.access, type, call.path["id"], number), _parts(call))


def _parts(call: Call) -> tuple[str, tuple[str, ...]] | None:
    return options(call.option("_summary"), call.option("_elements")) if call.scope["query_string"] else None


def _resource(call: Call, stored: Stored, parts: tuple[str, tuple[str, ...]] | None) -> Reply:
    raw = subset(stored.raw, *parts) if parts else stored.raw
    return represent(200, raw, call.format, pretty=call.pretty, headers=version_headers(stored))


async def instance_history(call: Call) -> Reply:
    """All versions of one resource."""
    type, id = known(call.path["type"]), call.path["id"]
    require(call.access, type, "r")
    return await _history(call, f"{type}/{id}/_history", type, id)


async def type_history(call: Call) -> Reply:
    """All versions of all resources of a type."""
    type = known(call.path["type"])
    require(call.access, type, "s")
    return await _history(call, f"{type}/_history", type)


async def system_history(call: Call) -> Reply:
    """All versions of everything that the caller may see."""
    require(call.access, "*", "s")
    return await _history(call, "_history")


async def _history(call: Call, path: str, type: str | None = None, id: str | None = None) -> Reply:
    count, since = _number(call.option("_count"), 50), call.option("_since")
    if call.option("_at") is not None:
        raise BadRequest("_at is not built: use _since, or read one version.")
    found: Found = await call.context.store.history(
        call.access, type, id, since=instant(since) if since else None, count=count, cursor=call.option("_cursor")
    )
    kept = [(key, value) for key, value in call.pairs if key in ("_count", "_since", "_format", "_pretty")]
    links = [("self", bundles.url(call.base, path, kept))]
    if found.cursor:
        links.append(("next", bundles.url(call.base, path, [*kept, ("_cursor", found.cursor)])))
    versions = [stored for stored in found.matches if permits(call.access, stored.type, "r")]
    return represent(200, bundles.history(call.base, versions, links, total=found.total), call.format, pretty=call.pretty)


def _number(text: str | None, default: int) -> int:
    if text is None:
        return default
    number = whole_number(text)
    if number is None:
        raise BadRequest(f"_count={text[:40]}: a whole number was expected.")
    return max(1, min(number, 1000))


def instant(text: str) -> int:
    """Microseconds, by the same reading of dates that search has."""
    clause = parse("Patient", [("_lastUpdated", f"ge{text}")], strict=True).where[0]
    return int(clause.values[0].low)  # type: ignore[union-attr]

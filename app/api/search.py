"""search: at type and system, in compartments, by GET and by POST."""

from dataclasses import replace
from urllib.parse import parse_qsl

import msgspec

from app.api import bundles
from app.api.endpoint import Call, Pairs
from app.api.narrow import narrow
from app.api.respond import Reply, represent
from app.api.subset import subset
from app.api.types import known, served
from app.fhir import codec
from app.fhir.definitions import r4
from app.fhir.errors import BadRequest, Issue, NotFound, UnsupportedMedia, operation_outcome
from app.fhir.search.query import parse, self_params
from app.fhir.search.types import AnyOf, Clause, Ids, Plan
from app.security.access import Access
from app.security.scopes import permits
from app.store.protocol import Found, Store, Stored

_PASSED_ON = ("_format", "_pretty")


async def search_type(call: Call) -> Reply:
    """`[base]/Patient?...` and `[base]/Patient/_search`."""
    type = known(call.path["type"])
    return await _search(call, [type], type)


async def search_system(call: Call) -> Reply:
    """`[base]?_type=...`."""
    pairs = await _pairs(call)
    asked = [name.strip() for key, value in pairs if key == "_type" for name in value.split(",") if name.strip()]
    types = [known(type) for type in asked] or served()
    return await _search(call, types, "")


async def search_compartment(call: Call) -> Reply:
    """`[base]/Patient/1/Observation?...`."""
    type = known(call.path["other"])
    owner, id = known(call.path["type"]), call.path["id"]
    inside = in_compartment(owner, id, type)
    if permits(call.access, owner, "r"):  # to others an owner that is there and one that is not must look alike
        await call.context.store.read(call.access, owner, id)  # a compartment that the caller may not see does not exist
    return await _search(call, [type], f"{owner}/{id}/{type}", inside)


def in_compartment(owner: str, id: str, type: str) -> Clause:
    """The clause that holds for `type` in the compartment of `owner/id`. Raises NotFound, BadRequest."""
    params = r4().compartments.get(owner, {}).get(type)
    if params is None and owner != type:
        raise NotFound(f"{owner} has no compartment with {type} in it.")
    clauses: list[Clause] = [Ids((id,))] if owner == type else []
    for code in params or ():
        if code in ("{def}", ""):
            continue
        clauses += parse(type, [(code, f"{owner}/{id}")], strict=True).where
    return AnyOf(tuple(clauses))


async def _pairs(call: Call) -> Pairs:
    """The query string, and for POST the form."""
    if call.scope["method"] != "POST":
        return call.pairs
    kind = (call.header("content-type") or "").split(";")[0].strip().lower()
    if kind not in ("application/x-www-form-urlencoded", ""):
        raise UnsupportedMedia("_search takes a form: application/x-www-form-urlencoded.")
    if call.form is None:
        try:
            call.form = parse_qsl((await call.body()).decode(), keep_blank_values=True, max_num_fields=500, errors="strict")
        except (ValueError, UnicodeDecodeError):
            raise BadRequest("The form is not UTF-8, or has more than 500 fields.") from None
    return [*call.pairs, *call.form]


async def _search(call: Call, types: list[str], path: str, inside: Clause | None = None) -> Reply:
    pairs = await _pairs(call)
    plan = parse(types, pairs, base_url=call.base, strict=call.prefer.strict, parameters=call.context.store.indexing.parameters)
    if inside is not None:
        plan = replace(plan, where=(inside, *plan.where))
    raw = await run(call.context.store, call.access, plan, call.base, path, [p for p in pairs if p[0] in _PASSED_ON])
    return represent(200, raw, call.format, pretty=call.pretty)


async def run(store: Store, access: Access, plan: Plan, base: str, path: str, passed: Pairs) -> bytes:
    """One page of a search as the JSON of a searchset."""
    found: Found = await store.search(access, narrow(access, plan))
    mine = [*self_params(plan), *passed]
    links = [("self", bundles.url(base, path, mine))]
    if found.cursor and plan.summary != "count":
        links.append(("next", bundles.url(base, path, [*(p for p in mine if p[0] != "_cursor"), ("_cursor", found.cursor)])))
    return bundles.searchset(
        base,
        [_cut(stored, plan) for stored in found.matches],
        [_cut(stored, plan) for stored in found.included if permits(access, stored.type, "r")],
        links,
        total=found.total,
        outcome=_ignored(plan),
        only_total=plan.summary == "count",
    )


def _cut(stored: Stored, plan: Plan) -> Stored:
    if plan.summary == "false" and not plan.elements:
        return stored
    return msgspec.structs.replace(stored, raw=subset(stored.raw, plan.summary, plan.elements))


def _ignored(plan: Plan) -> bytes | None:
    if not plan.ignored:
        return None
    issues = [
        Issue("warning", "not-supported", f"The parameter '{name[:80]}' was not understood and was passed over.")
        for name in plan.ignored
    ]
    return codec.encode(operation_outcome(issues))

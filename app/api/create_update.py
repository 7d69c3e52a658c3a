"""create, update, patch and delete as routes: headers in, headers out."""

from app.api.endpoint import ENTRY_BODY, Call
from app.api.negotiate import Wanted, version_of, version_wanted
from app.api.patch import Change, change_in, change_of, patch, patch_where
from app.api.respond import Reply, location, represent, represent_value, version_headers
from app.api.types import known
from app.api.write import Done, create, delete, delete_where, update, update_where
from app.fhir.errors import BadRequest, Issue, operation_outcome


def _if_match(call: Call) -> Wanted:
    header = call.header("if-match")
    return None if header is None else version_of(header, "If-Match")


def _wanted(call: Call) -> Wanted:
    return version_wanted(call.header("if-match"), call.header("if-none-match"), ("If-Match", "If-None-Match"))


def written(call: Call, done: Done) -> Reply:
    """The answer to a write, as the caller prefers it."""
    headers = version_headers(done.stored)
    headers.append((b"location", location(call.base, done.stored).encode()))
    want = call.prefer.result
    if want == "minimal":
        return Reply(done.status, headers=headers)
    if want == "OperationOutcome":
        told = f"{done.stored.reference} is stored as version {done.stored.version}."
        return represent_value(
            done.status, operation_outcome([Issue("information", "informational", told)]), call.format, headers=headers
        )
    return represent(done.status, done.stored.raw, call.format, pretty=call.pretty, headers=headers)


async def post(call: Call) -> Reply:
    """create, conditional with If-None-Exist."""
    type = known(call.path["type"])
    resource = await call.resource()
    done = await create(call.context, call.access, type, resource, if_none_exist=call.header("if-none-exist"), base=call.base)
    return written(call, done)


async def put(call: Call) -> Reply:
    """update, of what is there or not."""
    type = known(call.path["type"])
    resource = await call.resource()
    return written(call, await update(call.context, call.access, type, call.path["id"], resource, if_version=_wanted(call)))


async def put_where(call: Call) -> Reply:
    """Conditional update."""
    type = known(call.path["type"])
    resource = await call.resource()
    query = _condition(call)
    done = await update_where(call.context, call.access, type, query, resource, if_version=_wanted(call), base=call.base)
    return written(call, done)


async def patch_one(call: Call) -> Reply:
    """patch, in any of its three forms."""
    type = known(call.path["type"])
    change = await _change(call)
    return written(call, await patch(call.context, call.access, type, call.path["id"], change, if_version=_if_match(call)))


async def patch_one_where(call: Call) -> Reply:
    """Conditional patch."""
    type = known(call.path["type"])
    change = await _change(call)
    query = _condition(call)
    done = await patch_where(call.context, call.access, type, query, change, if_version=_if_match(call), base=call.base)
    return written(call, done)


async def _change(call: Call) -> Change:
    entry = call.scope.get(ENTRY_BODY)
    return change_in(entry()) if entry is not None else change_of(call.header("content-type") or "", await call.body())


async def remove(call: Call) -> Reply:
    """delete: 204, also where there was nothing."""
    stored = await delete(call.context, call.access, known(call.path["type"]), call.path["id"], if_version=_if_match(call))
    return Reply(204, headers=version_headers(stored)[:1] if stored else [])


async def remove_where(call: Call) -> Reply:
    """Conditional delete of one at most."""
    type = known(call.path["type"])
    await delete_where(call.context, call.access, type, _condition(call), if_version=_if_match(call), base=call.base)
    return Reply(204)


def _condition(call: Call) -> str:
    query = call.query
    if not query:
        raise BadRequest(
            "A conditional interaction needs search criteria after '?'; without an id there is nothing else to go by."
        )
    return query

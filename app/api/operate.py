"""`$name` at system, type and instance level: each call is found, read and checked by its OperationDefinition."""

from app.api.endpoint import ENTRY_BODY, Call
from app.api.respond import Reply, represent, represent_value
from app.api.types import known
from app.fhir.errors import MethodNotAllowed, NotFound
from app.fhir.operations import Level, Operation, OperationRequest
from app.security.scopes import require


def _found(call: Call, level: Level, type: str | None) -> Operation:
    name = call.path["operation"]
    for operation in call.context.operations:
        if operation.name == name and operation.answers(level, type):
            return operation
    place = {"system": "at this level", "type": f"on {type}", "instance": f"on one {type}"}[level]
    raise NotFound(f"There is no operation ${name[:60]} {place}.")


async def operate(call: Call) -> Reply:
    """GET or POST; the level is told by what the path has."""
    type = known(call.path["type"]) if "type" in call.path else None
    id = call.path.get("id")
    level: Level = "instance" if id else "type" if type else "system"
    operation = _found(call, level, type)
    require(call.access, type or "*", "r" if id else "s")
    if call.scope["method"] == "POST":
        if operation.affects_state:
            require(call.access, type or "*", "u")
        if await _has_body(call):
            parameters = operation.from_body(await call.resource(), call.pairs)
        else:
            parameters = operation.from_query(call.pairs)
    else:
        if operation.affects_state:
            raise MethodNotAllowed(f"${operation.name} changes something, so it takes POST only.")
        parameters = operation.from_query(call.pairs)
    request = OperationRequest(level, type, id, call.scope["method"], call.base, parameters)
    result = await operation.handler(call.access, request)
    if isinstance(result, bytes):
        return represent(200, result, call.format, pretty=call.pretty)
    return represent_value(200, result, call.format, pretty=call.pretty)


async def _has_body(call: Call) -> bool:
    length = call.header("content-length")
    return ENTRY_BODY in call.scope or length not in (None, "0") or call.header("transfer-encoding") is not None

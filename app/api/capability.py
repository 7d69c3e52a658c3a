"""`/metadata`: the CapabilityStatement, made from what is really there (types, search parameters, operations, security)."""

from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from typing import Any

from app.api.endpoint import Call
from app.api.patch import FORMATS
from app.api.respond import Reply, represent
from app.api.types import served
from app.fhir import codec
from app.fhir.definitions import SearchParameter, r4
from app.fhir.errors import BadRequest
from app.fhir.operations import Operation
from app.fhir.search.parameters import SearchParameters

_PUBLISHED = "2026-11-23"
_INTERACTIONS = ("read", "vread", "update", "patch", "delete", "history-instance", "history-type", "create", "search-type")
_SANDBOX = "SANDBOX: nobody signs in, whoever asks is a national administrator, and it listens on this machine alone. Put no real child's data in it."
_SECURED = (
    "API tokens as 'Authorization: Bearer csor_...'. A hospital or vendor sees the children of its own hospitals; "
    "SMART v2 scopes (system/Type.cruds) narrow what a client may do."
)
# Codes that search parsing itself knows and R4 lists for no type
_GENERAL = (
    ("_id", "token"),
    ("_lastUpdated", "date"),
    ("_tag", "token"),
    ("_profile", "uri"),
    ("_security", "token"),
    ("_source", "uri"),
)


@cache
def _by_type() -> dict[str, list[dict[str, str]]]:
    params: dict[str, dict[str, dict[str, str]]] = {type: {} for type in served()}
    for parameter in r4().search_parameters:
        for base in parameter.base:
            if base in params and parameter.expression and parameter.type != "special":
                params[base].setdefault(parameter.code, _told(parameter))
    general = [{"name": code, "type": kind} for code, kind in _GENERAL]
    return {type: [*general, *sorted(found.values(), key=lambda p: p["name"])] for type, found in params.items()}


@cache
def _revincludes() -> dict[str, list[str]]:
    found: dict[str, set[str]] = {}
    for parameter in r4().search_parameters:
        if parameter.type == "reference":
            for target in parameter.targets:
                found.setdefault(target, set()).update(f"{base}:{parameter.code}" for base in parameter.base)
    return {target: sorted(names) for target, names in found.items()}


def _operation(operation: Operation) -> dict[str, Any]:
    canonical = operation.definition.get("url") or f"http://hl7.org/fhir/OperationDefinition/{operation.name}"
    return {"name": operation.name, "definition": canonical}


def _told(parameter: SearchParameter) -> dict[str, str]:
    return {"name": parameter.code, "definition": parameter.url, "type": parameter.type}


def _resource(type: str, operations: Sequence[Operation], own: Sequence[SearchParameter]) -> dict[str, Any]:
    params = [*_by_type()[type], *(_told(each) for each in own if {type, "Resource", "DomainResource"}.intersection(each.base))]
    mine = [_operation(o) for o in operations if o.answers("type", type) or o.answers("instance", type)]
    references = [f"{type}:{p['name']}" for p in params if p["type"] == "reference"]
    return {
        "type": type,
        "profile": f"http://hl7.org/fhir/StructureDefinition/{type}",
        "interaction": [{"code": code} for code in _INTERACTIONS],
        "versioning": "versioned-update",
        "readHistory": True,
        "updateCreate": True,
        "conditionalCreate": True,
        "conditionalRead": "full-support",
        "conditionalUpdate": True,
        "conditionalDelete": "single",
        "referencePolicy": ["literal", "logical"],
        **({"searchInclude": ["*", *references]} if references else {}),
        **({"searchRevInclude": revincludes} if (revincludes := _revincludes().get(type)) else {}),
        "searchParam": params,
        **({"operation": mine} if mine else {}),
    }


def statement(
    base: str, operations: Sequence[Operation], own: Sequence[SearchParameter] = (), *, sandbox: bool
) -> dict[str, Any]:
    """The resource. `own`: search parameters that the site added."""
    systemwide = [_operation(o) for o in operations if "system" in o.levels]
    security: dict[str, Any] = {"cors": False, "description": _SANDBOX if sandbox else _SECURED}
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": _PUBLISHED,
        "kind": "instance",
        "software": {"name": "CSOR", "version": version("csor")},
        "implementation": {"description": _SANDBOX if sandbox else "Children's Surgery Outcome Reporting", "url": base},
        "fhirVersion": "4.0.1",
        "patchFormat": list(FORMATS),
        "format": ["application/fhir+json", "application/fhir+xml", "json", "xml"],
        "rest": [
            {
                "mode": "server",
                "security": security,
                "resource": [_resource(type, operations, own) for type in served()],
                "interaction": [{"code": code} for code in ("transaction", "batch", "history-system", "search-system")],
                "searchParam": [{"name": code, "type": kind} for code, kind in _GENERAL],
                **({"operation": systemwide} if systemwide else {}),
                "compartment": [
                    f"http://hl7.org/fhir/CompartmentDefinition/{name.lower()}" for name in sorted(r4().compartments)
                ],
            }
        ],
    }


class Metadata:
    """The route. The statement is made once for each base URL that it is asked under, and again when the site's search parameters change."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, SearchParameters], bytes] = {}

    async def get(self, call: Call) -> Reply:
        """`mode=full` is the only mode."""
        if (mode := call.option("mode")) not in (None, "full"):
            raise BadRequest(f"mode={mode[:30] if mode else ''}: this server has the full CapabilityStatement only.")
        parameters = call.context.store.indexing.parameters
        raw = self._made.get((call.base, parameters))
        if raw is None:
            if len(self._made) > 100:
                self._made.clear()
            raw = codec.encode(statement(call.base, call.context.operations, parameters.own, sandbox=call.context.sandbox))
            self._made[call.base, parameters] = raw
        return represent(200, raw, call.format, pretty=call.pretty)

"""The facade's own operations: `$validate` and Patient `$everything`, as the standard defines them."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from app.api import bundles
from app.api.search import in_compartment
from app.api.types import known
from app.content import PROFILES, TERMINOLOGY
from app.fhir.definitions import r4
from app.fhir.errors import BadRequest, Issue, operation_outcome
from app.fhir.numbers import whole_number
from app.fhir.operations import Operation, OperationRequest
from app.fhir.packages import load
from app.fhir.search.query import parse
from app.fhir.search.types import Plan
from app.fhir.validation import Validator
from app.security.access import Access
from app.security.scopes import permits
from app.store.definitions import stored_by_nation
from app.store.protocol import Store, Stored

PAGE = 1000
_DEFINING = ("StructureDefinition", "ValueSet", "CodeSystem")
_REFERENCE = re.compile(
    rb'"reference":"((?:Practitioner|PractitionerRole|Organization|Location|Medication|Device|Substance|Questionnaire)/[A-Za-z0-9.-]{1,64})"'
)


def standard(url: str) -> dict[str, Any]:
    """The OperationDefinition that R4 publishes at `url`, from the table."""
    found = next(each for each in r4().operations if each.url == url)
    return {
        "resourceType": "OperationDefinition",
        "url": found.url,
        "version": "4.0.1",
        "name": found.code.title().replace("-", ""),
        "status": "active",
        "kind": "operation",
        "code": found.code,
        "affectsState": found.affects_state,
        "system": found.system,
        "type": found.type,
        "instance": found.instance,
        "resource": list(found.resources),
        "parameter": [
            {"name": p.name, "use": p.use, "min": p.min, "max": "*" if p.max is None else str(p.max)}
            | ({"type": p.type} if p.type else {})
            for p in found.parameters
        ],
    }


def own_operations(store: Store, packages: Sequence[Path] = ()) -> list[Operation]:
    """Both. `packages` are loaded now, so that one that cannot be loaded stops the start. Raises what loading raises."""

    loaded = [load(each) for each in packages]
    # It judges one at a time; callers who wait must not hold the threads of others.
    own_thread = ThreadPoolExecutor(1, "validate")
    made: tuple[tuple[int, ...], Validator] | None = None

    def make(of_site: Sequence[Mapping[str, Any]]) -> Validator:
        profiles = [each for each in of_site if each["resourceType"] == "StructureDefinition"]
        terms = [each for each in of_site if each["resourceType"] != "StructureDefinition"]
        return Validator(profiles, [PROFILES, TERMINOLOGY, *loaded], terms)

    async def validator() -> Validator:
        nonlocal made
        now = await store.marker(_DEFINING)
        if made is None or made[0] != now:
            of_site = [stored.resource for stored in await stored_by_nation(store, _DEFINING)]
            made = now, await asyncio.get_running_loop().run_in_executor(own_thread, make, of_site)
        return made[1]

    async def validate(_access: Access, request: OperationRequest) -> Mapping[str, Any]:
        return await _validate(validator, own_thread, request)

    async def everything(access: Access, request: OperationRequest) -> bytes:
        return await _everything(store, access, request)

    definition = standard("http://hl7.org/fhir/OperationDefinition/Patient-everything") | {"type": False}
    definition["parameter"] = [*definition["parameter"], {"name": "_cursor", "use": "in", "min": 0, "max": "1", "type": "string"}]
    return [
        Operation(standard("http://hl7.org/fhir/OperationDefinition/Resource-validate"), validate),
        Operation(definition, everything),
    ]


async def _validate(
    validator: Callable[[], Awaitable[Validator]], thread: Executor, request: OperationRequest
) -> Mapping[str, Any]:
    """By R4, the profiles and terminology that are shipped, the packages of the site, and what it stored of these kinds.

    Always 200: the outcome tells. Without a resource there is nothing to judge.
    """
    resource = request.value("resource")
    if resource is None:
        if request.value("mode") == "delete":
            return operation_outcome([Issue("information", "informational", "It can be deleted.")])
        raise BadRequest("$validate needs a resource.", expression="Parameters.parameter")
    if not isinstance(resource, dict) or resource.get("resourceType") != (request.type or resource.get("resourceType")):
        return operation_outcome([Issue("error", "invalid", f"This is not a {request.type}.", "resourceType")])
    profiles = [str(each) for each in request.values("profile")]
    judge = (await validator()).validate
    issues = await asyncio.get_running_loop().run_in_executor(thread, judge, resource, profiles)
    if not any(issue.severity in ("error", "fatal") for issue in issues):
        issues = [Issue("information", "informational", "Valid: no error was found."), *issues]
    return operation_outcome(issues)


async def _everything(store: Store, access: Access, request: OperationRequest) -> bytes:
    """The patient, then the compartment type by type, then what those refer to; `next` continues it."""
    assert request.id is not None
    wanted = [known(t.strip()) for value in request.values("_type") for t in str(value).split(",") if t.strip()]
    types = [
        t for t in sorted(r4().compartments["Patient"]) if t in (wanted or (t,)) and t != "Patient" and permits(access, t, "s")
    ]
    count = min(request.value("_count") or PAGE, PAGE)
    if count < 0:
        raise BadRequest(f"_count={count}: it cannot be less than 0.", expression="Parameters.parameter")
    position, _, cursor = str(request.value("_cursor") or "0.").partition(".")
    index = whole_number(position)
    if index is None:
        raise BadRequest("This _cursor is not one that this server gave.")
    found: list[Stored] = []
    patient = await store.read(access, "Patient", request.id)
    if index == 0 and not cursor and (not wanted or "Patient" in wanted):
        found.append(patient)
    following = ""
    while index < len(types):
        room = count - len(found)
        page = await store.search(access, _plan(types[index], request, room or 1, cursor or None))
        if not room and page.matches:  # full, and there is more
            following = f"{index}.{cursor}"
            break
        found += page.matches
        cursor = page.cursor or ""
        if not cursor:
            index += 1
    names = dict.fromkeys(name.decode() for stored in found for name in _REFERENCE.findall(stored.raw))
    related = [s for s in await store.read_many(access, list(names)) if permits(access, s.type, "r")]
    path = f"Patient/{request.id}/$everything"
    kept = [("_type", ",".join(wanted))] if wanted else []
    kept += [(name, str(request.value(name))) for name in ("_since", "start", "end", "_count") if request.value(name) is not None]
    links = [("self", bundles.url(request.base, path, kept))]
    if following:
        links.append(("next", bundles.url(request.base, path, [*kept, ("_cursor", following)])))
    return bundles.searchset(request.base, found, [] if wanted else related, links)


def _plan(type: str, request: OperationRequest, count: int, cursor: str | None) -> Plan:
    pairs: list[tuple[str, str]] = []
    if since := request.value("_since"):
        pairs.append(("_lastUpdated", f"ge{since}"))
    dated = any(each.code == "date" and type in each.base for each in r4().search_parameters)
    for name, prefix in (("start", "ge"), ("end", "le")):
        if dated and request.value(name):
            pairs.append(("date", f"{prefix}{request.value(name)}"))
    plan = parse(type, pairs, strict=True)
    return replace(plan, where=(in_compartment("Patient", request.id or "", type), *plan.where), count=count, cursor=cursor)

"""Conditional interactions without races: search, decide, commit with a guard on the search, and start over if the guard fell.

The store judges guards inside the transaction, so that of many that race to create "the one with this identifier" one does.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

from app.api.endpoint import query_pairs
from app.api.narrow import narrow
from app.api.negotiate import OneOf, Wanted
from app.fhir.errors import BadRequest, Conflict, MultipleMatches
from app.fhir.search.query import parse
from app.security.access import Access
from app.store.protocol import Guard, GuardFailed, Store, Stored, VersionConflict

ATTEMPTS = 25
Result = TypeVar("Result")


async def find(store: Store, access: Access, type: str, query: str, base: str | None = None) -> tuple[Stored | None, Guard]:
    """The one match of `query`, or None, and the guard that it stays so. Raises BadRequest, MultipleMatches."""
    plan = parse(type, query_pairs(query.removeprefix("?")), base_url=base, strict=True, parameters=store.indexing.parameters)
    if not plan.where:
        raise BadRequest(f"The condition '{type}?{query[:100]}' has no search criteria, and so would match everything.")
    plan = replace(
        narrow(access, plan), count=2, sort=(), includes=(), revincludes=(), total="none", summary="false", elements=()
    )
    found = (await store.search(access, plan)).matches
    if len(found) > 1:
        raise MultipleMatches(f"The condition on {type} matches more than one resource: it must match one at most.")
    return (found[0] if found else None), Guard(plan, frozenset(stored.reference for stored in found))


async def settle(attempt: Callable[[], Awaitable[Result]], wanted: Wanted = None) -> Result:
    """Calls `attempt` until its guards hold, and the version that it chose where `wanted` leaves a choice. Raises Conflict when others are always faster."""
    for _ in range(ATTEMPTS):
        try:
            return await attempt()
        except GuardFailed:
            continue
        except VersionConflict:
            if not isinstance(wanted, OneOf):
                raise
    raise Conflict("Others keep changing what this request depends on. Try again.")

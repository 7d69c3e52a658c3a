"""All that a plan matches, page after page."""

from collections.abc import AsyncIterator
from dataclasses import replace

from app.fhir.search.types import Plan
from app.security.access import Access
from app.store.protocol import Store, Stored


async def every(store: Store, access: Access, plan: Plan) -> AsyncIterator[Stored]:
    """In the order of the search; what is committed meanwhile may come or not."""
    while True:
        found = await store.search(access, plan)
        for stored in found.matches:
            yield stored
        if found.cursor is None:
            return
        plan = replace(plan, cursor=found.cursor)

"""`/health` for whoever restarts us, `/health/ready` for whoever sends us callers, `/health/detail` for whoever looks after the national store."""

import asyncio
from importlib.metadata import version

import msgspec

from app.api.endpoint import Call
from app.api.respond import Reply
from app.fhir.errors import Unavailable
from app.security.access import SYSTEM

# A primary is elected within it, so that no node is taken out for an election, and a proxy's own limit is above it.
READY_SECONDS = 3.0
_JSON = [(b"content-type", b"application/json")]
# kind of record -> states that somebody should know the number of
QUEUES = {
    "hl7v2": ("received", "error", "warning", "unsupported"),
    "outbox": ("queued", "sending", "failed"),
    "invitation": ("waiting",),
    "hes-row-error": ("",),
    "consumer-error": ("failed",),
}


async def health(call: Call) -> Reply:
    """Alive: 200 as long as requests are answered at all."""
    return Reply(200, b'{"status":"pass"}', list(_JSON))


async def ready(call: Call) -> Reply:
    """Able to work: the store has answered a read. Raises Unavailable (503, `Retry-After`) if it does not, or takes too long."""
    try:
        await asyncio.wait_for(call.context.store.get_record(SYSTEM, "health", "ready"), READY_SECONDS)
    except TimeoutError:
        raise Unavailable("The store does not answer just now.") from None
    return Reply(200, b'{"status":"pass"}', list(_JSON))


async def detail(call: Call) -> Reply:
    """Where the feed stands, how far each consumer has come, and what waits in the queues. Counts alone."""
    store = call.context.store
    head = await store.feed_head()
    cursors = {record.key: record.data for record in await store.find_records(SYSTEM, "cursor", limit=200)}
    queues = {
        kind: {state or "all": await store.count_records(SYSTEM, kind, state=state or None) for state in states}
        for kind, states in QUEUES.items()
    }
    told = {
        "status": "pass",
        "version": version("csor"),
        "sandbox": call.context.sandbox,
        "resources": await store.counts(call.access),
        "feed": {"head": head, "consumers": cursors},
        "queues": queues,
    }
    return Reply(200, msgspec.json.encode(told), list(_JSON))

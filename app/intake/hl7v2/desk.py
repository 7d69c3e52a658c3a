"""What a person does with the work list: look, count, replay. The commands and pages are made of these."""

from app import clock
from app.fhir.errors import NotFound
from app.intake.hl7v2.inbox import KIND, Inbox
from app.security.access import Access
from app.store.protocol import Record, Store

STATES = ("received", "processed", "warning", "error", "rejected", "unsupported")
OPEN = ("error", "rejected", "warning", "unsupported")  # what somebody should look at


async def listed(store: Store, access: Access, state: str, *, limit: int = 100, after: str | None = None) -> list[Record]:
    """Messages in one state, oldest first."""
    return await store.find_records(access, KIND, state=state, after=after, limit=limit)


async def counts(store: Store, access: Access) -> dict[str, int]:
    """How many messages are in each state."""
    return {state: await store.count_records(access, KIND, state=state) for state in STATES}


async def oldest_waiting(store: Store, access: Access) -> float:
    """Age in seconds of the oldest message that is stored and not mapped; 0 where none waits."""
    waiting = await store.find_records(access, KIND, state="received", limit=1)
    return max(0.0, (clock.micros() - waiting[0].data["received"]) / 1e6) if waiting else 0.0


async def replay(inbox: Inbox, access: Access, key: str) -> str:
    """Map a message again, from the bytes that came; its state afterwards. Raises NotFound."""
    record = await inbox.store.get_record(access, KIND, key)
    if record is None:
        raise NotFound(f"There is no message {key}.")
    await inbox.process(record)
    after = await inbox.store.get_record(access, KIND, key)
    assert after is not None
    return after.state

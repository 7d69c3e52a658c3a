"""A store, an inbox that takes any sender, and what the store then holds as plain facts."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from app import logs
from app.intake.hl7v2.er7 import Message, parse
from app.intake.hl7v2.inbox import KIND, Inbox
from app.intake.hl7v2.mllp import Event
from app.security.access import SYSTEM
from app.store.protocol import Record, Store
from tests.support import open_test_store

Send = Callable[[bytes], Awaitable[Message]]


@pytest.fixture(autouse=True)
def _quiet() -> None:
    logs.configure("error")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await open_test_store(tmp_path)
    yield opened
    await opened.close()


@pytest.fixture
def inbox(store: Store) -> Inbox:
    return Inbox(store, sandbox=True)


@pytest.fixture
def send(inbox: Inbox) -> Send:
    """Hand over one message as the listener does; the answer, parsed."""

    async def hand_over(raw: bytes) -> Message:
        [answer] = await inbox.accept(Event(raw))
        return parse(answer)

    return hand_over


async def resources(store: Store, type: str) -> list[dict[str, Any]]:
    return sorted([stored.resource async for stored in store.scan(SYSTEM, [type])], key=lambda each: str(each["id"]))


async def only(store: Store, type: str) -> dict[str, Any]:
    [found] = await resources(store, type)
    return found


async def records(store: Store, state: str | None = None) -> list[Record]:
    return await store.find_records(SYSTEM, KIND, state=state)

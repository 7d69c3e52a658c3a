"""A store with the case facts of a small nation, as the registry keeps them."""

from collections.abc import AsyncIterator, Sequence
from datetime import date
from functools import cache
from pathlib import Path

import msgspec
import pytest

from app import clock
from app.outcomes.case_facts import CaseFacts
from app.registry.consumer import KIND, CaseFactsConsumer
from app.security.access import SYSTEM
from app.store.consumer import CURSOR
from app.store.protocol import PutRecord, Record, Store
from tests.outcomes.cases import nation
from tests.support import open_test_store

TODAY = date(2026, 1, 1)


@cache
def small_nation() -> tuple[CaseFacts, ...]:
    """Ten hospitals of 80 children; ZA3 does harm, and a fifth of the parents do not answer."""
    return tuple(nation(80, shift={3: 1.6}, known=0.8))


async def put(store: Store, cases: Sequence[CaseFacts]) -> None:
    """Keep facts as the registry's consumer does: with its cursor, in one commit."""
    writes = [PutRecord(Record(CURSOR, CaseFactsConsumer.name, b'{"seq": 0}'))]
    for facts in cases:
        body = msgspec.json.encode(facts)
        writes.append(PutRecord(Record(KIND, facts.case, body, state="horizon", tag=facts.condition, owner=facts.hospital)))
    await store.commit(SYSTEM, writes)


@pytest.fixture(autouse=True)
def still_day(monkeypatch: pytest.MonkeyPatch) -> None:
    """Long after every horizon of the nation."""
    monkeypatch.setattr(clock, "today", lambda: TODAY)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await open_test_store(tmp_path)
    yield opened
    await opened.close()


@pytest.fixture
async def nation_store(store: Store) -> Store:
    await put(store, small_nation())
    return store

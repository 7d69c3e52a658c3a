"""Identities on a store of the test's own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.security.identity import Identities
from app.store.protocol import Store
from tests.support import open_test_store


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await open_test_store(tmp_path)
    yield opened
    await opened.close()


@pytest.fixture
def identities(store: Store) -> Identities:
    return Identities(store)

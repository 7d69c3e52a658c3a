"""A store for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.store.protocol import Store
from tests.support import open_test_store


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """An open, empty store."""
    opened = await open_test_store(tmp_path)
    yield opened
    await opened.close()

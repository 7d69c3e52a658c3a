"""The store under test. Another store joins by another parameter; the tests know only the protocol."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.store.protocol import Store
from tests.support import open_mongo_store, open_test_store


@pytest.fixture(params=["sqlite", "mongodb"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """An open, empty store."""
    if request.param == "mongodb":
        opened = await open_mongo_store(request.getfixturevalue("mongodb"))
    else:
        opened = await open_test_store(tmp_path)
    yield opened
    await opened.close()

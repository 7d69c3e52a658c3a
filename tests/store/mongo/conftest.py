from collections.abc import AsyncIterator

import pytest

from app.store.mongo.store import MongoStore
from tests.support import open_mongo_store


@pytest.fixture
async def store(mongodb: str) -> AsyncIterator[MongoStore]:
    """An open, empty one."""
    opened = await open_mongo_store(mongodb)
    yield opened
    await opened.close()

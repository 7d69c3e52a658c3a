from pathlib import Path

import pytest

from tests.support import empty_mongo_url


@pytest.fixture(params=["sqlite", "mongodb"])
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where an empty store of each kind is, for processes to open."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store.db'}"
    return await empty_mongo_url(request.getfixturevalue("mongodb"))

"""A store with one known child."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.registry.patients import create_child
from app.security.access import Access
from app.store.protocol import Store
from tests.intake.hes.builders import NUMBER
from tests.registry.builders import patient
from tests.support import open_test_store


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """An open store; hospital ZAA knows the child of `builders.row`."""
    opened = await open_test_store(tmp_path)
    await create_child(opened, Access("aa", "hospital", frozenset(("ZAA",))), patient("p", nhs=NUMBER, mrn=("ZAA", "1")))
    yield opened
    await opened.close()

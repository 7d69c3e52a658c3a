"""Helpers that tests of every room may use."""

from pathlib import Path

from app.store.open import open_store
from app.store.protocol import Store


async def open_test_store(directory: Path) -> Store:
    """An open store in a directory of the test's own; the caller closes it."""
    store = open_store(f"sqlite:///{directory / 'store.db'}")
    await store.open()
    return store

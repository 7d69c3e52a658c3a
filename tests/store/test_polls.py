"""What one process commits, another must see within a second: the looks are well within it."""

from app.security import identity
from app.store.mongo import feed
from app.store.sqlite import store as sqlite_store


def test_other_processes_are_looked_at_often_enough() -> None:
    assert max(feed.POLL, sqlite_store.POLL) <= 0.25
    assert identity.CACHE_SECONDS <= 1

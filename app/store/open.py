"""From a URL to a store, so that nothing else needs to know which stores there are."""

from app.fhir.errors import NotSupported
from app.store.protocol import Store
from app.store.sqlite.store import SQLiteStore


def open_store(url: str) -> Store:
    """The store at `url`, not yet opened (`await store.open()`).

    `sqlite:///data/csor.db` is relative to the working directory, `sqlite:////srv/csor.db` absolute, and `sqlite://` a temporary
    file that goes when the store is closed. Raises NotSupported for anything else.
    """
    scheme, _, path = url.partition("://")
    if scheme == "sqlite":
        return SQLiteStore(path[1:])
    if scheme in ("mongodb", "mongodb+srv"):
        raise NotSupported("The MongoDB store is not built yet: use sqlite:///path/to/file.db.")
    raise NotSupported(f"There is no store for URLs that begin with '{scheme[:20]}': use sqlite:///path/to/file.db.")

"""From a URL to a store, so that nothing else needs to know which stores there are."""

from urllib.parse import urlsplit

from app.fhir.errors import NotSupported
from app.store.protocol import Store
from app.store.sqlite.store import SQLiteStore


def public_url(url: str) -> str:
    """The URL as it may be shown and logged: without user, password and options."""
    parts = urlsplit(url)
    return url if parts.scheme == "sqlite" else f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def open_store(url: str) -> Store:
    """The store at `url`, not yet opened (`await store.open()`).

    `sqlite:///data/csor.db` is relative to the working directory, `sqlite:////srv/csor.db` absolute, and `sqlite://` a temporary
    file that goes when the store is closed. `mongodb://user:password@host1,host2/csor?replicaSet=name` is a MongoDB replica set (`mongodb+srv://` too).
    Raises NotSupported for anything else.
    """
    scheme, _, path = url.partition("://")
    if scheme == "sqlite":
        return SQLiteStore(path[1:])
    if scheme in ("mongodb", "mongodb+srv"):
        # Only here: an embedded server need not load the driver (60 ms).
        from app.store.mongo.store import MongoStore

        return MongoStore(url)
    raise NotSupported(
        f"There is no store for URLs that begin with '{scheme[:20]}': use sqlite:///path/to/file.db or mongodb://host/csor?replicaSet=name."
    )

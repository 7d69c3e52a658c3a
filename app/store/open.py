"""From a URL to a store, so that nothing else needs to know which stores there are."""

import re

from app.fhir.errors import NotSupported
from app.store.protocol import Store
from app.store.sqlite.store import SQLiteStore

# One '@' at most, before whatever begins with / ? or #: where a password with such characters is not percent-encoded, nobody can tell
# where it ends.
_PLAIN = re.compile(r"([a-z][a-z+]*://)(?:[^\s/?#@\[\]]*@)?([^\s/?#@]+(?:/[^\s?#@]*)?)(?:\?[^\s#@]*)?", re.IGNORECASE)


def is_plain(url: str) -> bool:
    """Whether it can be told what of it is the password."""
    return _PLAIN.fullmatch(url) is not None


def public_url(url: str) -> str:
    """The URL as it may be shown and logged: without user, password and options."""
    if url.startswith("sqlite:"):
        return url
    found = _PLAIN.fullmatch(url)
    return "".join(found.groups()) if found else f"{_scheme(url)}://…"


def _scheme(url: str) -> str:
    """What stands before ://, where that is a word; else nothing of the URL."""
    found = re.match(r"([a-z][a-z+]{0,19})://", url, re.IGNORECASE)
    return found[1] if found else ""


def open_store(url: str) -> Store:
    """The store at `url`, not yet opened (`await store.open()`).

    `sqlite:///data/csor.db` is relative to the working directory, `sqlite:////srv/csor.db` absolute, and `sqlite://` a temporary
    file that goes when the store is closed. `mongodb://user:password@host1,host2/csor?replicaSet=name` is a MongoDB replica set (`mongodb+srv://` too).
    Raises NotSupported for anything else.
    """
    scheme, path = _scheme(url), url.partition("://")[2]
    if scheme == "sqlite":
        if path and not path.startswith("/"):
            raise NotSupported(f"{url} has a slash too few: use sqlite:///{path} from here, or sqlite:////{path} from the root.")
        if path == "/":
            raise NotSupported("sqlite:/// names no file: use sqlite:///path/to/file.db.")
        return SQLiteStore(path[1:])
    if scheme in ("mongodb", "mongodb+srv"):
        # Only here: an embedded server need not load the driver (60 ms).
        from app.store.mongo.store import MongoStore

        return MongoStore(url)
    said = f"URLs that begin with '{scheme}'" if scheme else "a URL like this"
    raise NotSupported(f"There is no store for {said}: use sqlite:///path/to/file.db or mongodb://host/csor?replicaSet=name.")

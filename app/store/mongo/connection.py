"""The connection to a replica set: concerns that durability rests on, and MongoDB's errors as ours.

What must stay true: every write is acknowledged by a majority and in its journal, whatever the URL says; every read is of what a majority has, from the
primary; no URL, user or password reaches a log or an error.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bson.errors import BSONError
from pymongo import AsyncMongoClient, ReadPreference, WriteConcern
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import (
    BulkWriteError,
    ConfigurationError,
    ConnectionFailure,
    DocumentTooLarge,
    ExecutionTimeout,
    InvalidURI,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)
from pymongo.read_concern import ReadConcern

from app.fhir.errors import FHIRError, TooLarge, Unavailable
from app.logs import logger
from app.store.mongo.words import Document
from app.store.open import is_plain, public_url

MAJORITY = WriteConcern("majority", j=True)
OLDEST_WIRE = 13  # MongoDB 5.0: snapshot reads outside transactions
OLDEST = "5.0"
DATABASE = "csor"
# Unless the URL says otherwise: how long a request waits for a primary before it gets 503, and how soon a server is noticed that is
# connected but frozen (the two others together).
_TIMES = {"serverSelectionTimeoutMS": 10_000, "heartbeatFrequencyMS": 2_000, "connectTimeoutMS": 4_000}

_BAD_VALUE = 2
_TOO_LARGE = (10334, 17280, 17419, 17420)
_TOO_MUCH = 388  # for one transaction: what it changes does not fit in MongoDB's cache
_TOO_OLD = 239  # a snapshot
_OTHER_CASE = 13297
_NO_ROLE, _NOBODY = 13, (11, 18, 8000)  # known, or nobody at all, but not let at the database; not known


def connect(url: str) -> AsyncMongoClient[Document]:
    """A client that is not connected yet. Raises Unavailable for a URL that does not mean anything."""
    options: dict[str, Any] = {name: value for name, value in _TIMES.items() if name.lower() not in url.lower()}
    unread = Unavailable(
        "The store's URL is not a MongoDB URL that can be read: write mongodb://host1,host2/csor?replicaSet=name, with options that its"
        " driver can use and with special characters of the password percent-encoded."
    )
    if not is_plain(url):
        raise unread
    try:
        with warnings.catch_warnings():
            # Of options: the driver would print them, and with them what of a password it took for one.
            warnings.simplefilter("error", UserWarning)
            return AsyncMongoClient(url, appname="csor", tz_aware=True, retryWrites=True, retryReads=True, **options)
    except (InvalidURI, ConfigurationError, ValueError, UserWarning):
        raise unread from None  # the driver's sentence may quote the URL


def database(client: AsyncMongoClient[Document]) -> AsyncDatabase[Document]:
    """The database that the URL names (`csor` if none)."""
    found = client.get_default_database(DATABASE)
    return found.with_options(
        write_concern=MAJORITY, read_concern=ReadConcern("majority"), read_preference=ReadPreference.PRIMARY
    )


async def require_able(client: AsyncMongoClient[Document], url: str) -> None:
    """One sentence that says what to do, where this server cannot carry the store. Raises Unavailable."""
    where = public_url(url)
    try:
        hello = await client.admin.command("hello")
    except ServerSelectionTimeoutError as error:
        raise Unavailable(_unreachable(where, str(error), client)) from None
    except OperationFailure as error:
        raise Unavailable(_refused(where, error)) from None
    except ConfigurationError as error:
        if "wire version" in str(error):
            raise Unavailable(f"The MongoDB at {where} is too old: {OLDEST} or newer is needed.") from None
        if where.startswith("mongodb+srv:"):
            raise Unavailable(f"The DNS names no members for {where}: is the name right, and does the DNS answer?") from None
        raise Unavailable(f"The MongoDB at {where} cannot be used with these options of the URL.") from None
    except PyMongoError:
        raise Unavailable(f"No MongoDB answers at {where}: is it running, and is the address right?") from None
    if hello.get("maxWireVersion", 0) < OLDEST_WIRE:
        raise Unavailable(f"The MongoDB at {where} is too old: {OLDEST} or newer is needed.")
    if not hello.get("setName") and hello.get("msg") != "isdbgrid":
        raise Unavailable(
            f"The MongoDB at {where} runs alone and has no transactions: start it with --replSet NAME and run rs.initiate() once;"
            " a replica set of one is enough."
        )
    try:
        await client.admin.command("ping")
    except OperationFailure as error:
        raise Unavailable(_refused(where, error)) from None


def _unreachable(where: str, said: str, client: AsyncMongoClient[Document]) -> str:
    wanted = client.topology_description.replica_set_name
    if "wire version" in said:
        return f"The MongoDB at {where} is too old: {OLDEST} or newer is needed."
    if "auth" in said.lower():
        return f"The MongoDB at {where} refuses this user or password."
    if "RSGhost" in said:
        return f"The replica set at {where} does not know its members yet: run rs.initiate() there once."
    if (wanted and "SetName" in said) or "replica set name" in said.lower():
        return (
            f"The MongoDB at {where} is not of the replica set '{wanted}': correct replicaSet= in the URL, or, where it runs alone, start"
            f" it with --replSet {wanted} and run rs.initiate() once."
        )
    if "no primary" in said.lower() or "No replica set members" in said:
        return f"The replica set at {where} has no primary, or not one of the name '{wanted}': look at rs.status() there."
    return f"No MongoDB answers at {where}: is it running, and is the address right?"


def _refused(where: str, error: OperationFailure) -> str:
    if error.code == _NO_ROLE or error.code in _NOBODY:
        return f"The MongoDB at {where} refuses this user or password."
    return f"The MongoDB at {where} refuses to work (code {error.code})."


def translate(error: PyMongoError | BSONError) -> FHIRError:
    """What the caller may know of an error of MongoDB: a sentence, never a statement or a value."""
    code = _code(error)
    if isinstance(error, DocumentTooLarge) or code in _TOO_LARGE:
        return TooLarge("This resource is larger than the store can hold (16 MB with its index).")
    if code == _TOO_MUCH:
        return TooLarge("This is more than the store can take in one transaction: send it in parts.")
    if isinstance(error, ServerSelectionTimeoutError):
        return Unavailable("The store has no primary just now; try again.")
    if isinstance(error, ConnectionFailure):
        return Unavailable("The store cannot be reached just now; try again.")
    if isinstance(error, ExecutionTimeout):
        return Unavailable("The store took too long; try again.")
    if code == _TOO_OLD:
        return Unavailable(
            "This took longer than MongoDB remembers one moment: try again, or raise its minSnapshotHistoryWindowInSeconds."
        )
    if code == _OTHER_CASE:
        return Unavailable("There is a database whose name has the same letters in another case: correct it in the store's URL.")
    logger().error("store-failed", store="mongodb", exc_type=type(error).__name__, code=code)
    if code == _NO_ROLE:
        return Unavailable("MongoDB keeps this user from the database: name one in the store's URL who has readWrite on it.")
    if code in _NOBODY:
        return Unavailable("MongoDB refuses this user or password: correct them in the store's URL.")
    return Unavailable(f"The store failed ({type(error).__name__}{f' {code}' if code else ''}).")


def _code(error: PyMongoError | BSONError) -> int | None:
    """What MongoDB calls it. An error of several writes at once has a code of the driver's own, and MongoDB's within."""
    if not isinstance(error, BulkWriteError):
        return getattr(error, "code", None)
    for one in error.details.get("writeErrors", ()):
        # For a document that is hardly too large MongoDB has no code of its own.
        too_large = one["code"] == _BAD_VALUE and "too large" in one.get("errmsg", "")
        return _TOO_LARGE[0] if too_large else int(one["code"])
    return error.code


@contextmanager
def translated() -> Iterator[None]:
    """MongoDB's errors as ours, and the driver's on what it cannot write (which are not of the same family)."""
    try:
        yield
    except (PyMongoError, BSONError) as error:
        raise translate(error) from None

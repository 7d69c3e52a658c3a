"""What several commands share: the option that names the store, opening it, running a coroutine, printing a refusal."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from app.fhir.errors import FHIRError
from app.store.protocol import Store

if TYPE_CHECKING:
    from app.settings import Settings

Result = TypeVar("Result")
HALF = "holds a copy that is not finished: give the same `csor copy` or `csor restore` again"


def store_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--store URL` and `--data DIR`, as `csor serve` has them, given to the command as `store_url`."""

    @click.option("--store", default="", metavar="URL", help="Store, or CSOR_STORE. Default: SQLite in the data directory.")
    @click.option("--data", default="", metavar="DIR", help="Data directory, or CSOR_DATA. Default ./data.")
    @wraps(command)
    def wrapped(*arguments: Any, store: str, data: str, **named: Any) -> Any:
        return command(*arguments, store_url=resolve(store, data), **named)

    return wrapped


def resolve(store: str, data: str) -> str:
    """The store's URL, by the same rules as the server's."""
    given: dict[str, Any] = {"store": store} if store else {}
    if data:
        given["data"] = Path(data)
    return read_settings(given).store_url


def read_settings(given: dict[str, Any]) -> "Settings":
    """Options over environment over files over defaults. Raises click.UsageError with one sentence."""
    from pydantic import ValidationError

    from app.settings import Settings

    try:
        return Settings(**given)
    except ValidationError as error:
        first = error.errors()[0]
        name = "".join(str(part) for part in first["loc"][:1])
        said = f"--{name.replace('_', '-')}: " if name in given else f"CSOR_{name.upper()}: " if name else ""
        raise click.UsageError(f"{said}{first['msg'].removeprefix('Value error, ')}.") from None


@asynccontextmanager
async def opened(url: str, *, create: bool = False, half: bool = False) -> AsyncIterator[Store]:
    """An open store, closed at the end; with `create` made where there is none, with `half` also one that a copy has not filled yet.

    Raises ClickException with a sentence.
    """
    from app.store.moving import is_half
    from app.store.open import open_store

    try:
        store = open_store(url)
        await store.open(create=create)
    except FHIRError as error:
        raise click.ClickException(str(error)) from None
    try:
        if not half and await is_half(store):
            raise click.ClickException(f"{store.url} {HALF}.")
        yield store
    finally:
        await store.close()


def on_store(url: str, work: Callable[[Store], Awaitable[Result]], *, create: bool = False) -> Result:
    """What `work` makes of the open store. An error of the family is told in a sentence, exit code 1."""

    async def opened_first() -> Result:
        async with opened(url, create=create) as store:
            return await work(store)

    try:
        return asyncio.run(opened_first())
    except FHIRError as error:
        raise click.ClickException("; ".join(str(issue) for issue in error.issues) or str(error)) from None


def run(work: Coroutine[Any, Any, Result] | Awaitable[Result]) -> Result:
    """The coroutine's result."""

    async def awaited() -> Result:
        return await work

    return asyncio.run(awaited())

"""`csor copy` and `csor restore`: a store moved, or brought back; compared with what it came from before it is called done."""

from pathlib import Path
from typing import cast

import click
from rich.console import Console
from rich.progress import Progress

from app.commands.common import opened, run, store_options
from app.store.moving import Movable, Outcome
from app.store.moving import copy as move
from app.store.open import public_url

_WORDS = {"records": "Records", "versions": "Versions", "compared": "Compared"}


@click.command()
@click.option(
    "--from",
    "source",
    required=True,
    metavar="URL",
    help="The store to copy. It may be in use: the copy is that store at one moment.",
)
@click.option("--to", "target", required=True, metavar="URL", help="An empty store, or one in which a copy was interrupted.")
def copy(source: str, target: str) -> None:
    """Copy a store into another, of the same or another kind: every version, record and number, compared at the end.

    An interrupted copy goes on where it was when the same command is given again.

    \b
    Examples:
      csor copy --from sqlite:////srv/csor.db --to 'mongodb://a,b,c/csor?replicaSet=rs0'
      csor copy --from 'mongodb://a,b,c/csor?replicaSet=rs0' --to sqlite:////srv/csor.db
    """
    _require_lasting(source, target)
    tell(run(copied(source, target)), public_url(target))


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@store_options
def restore(file: Path, store_url: str) -> None:
    """Bring a backup back into an empty store, and compare. What is there already is never overwritten.

    \b
    Examples:
      csor restore /backup/csor-2026-11-23.db --store sqlite:////srv/new.db
      csor restore /backup/csor.db --store 'mongodb://a,b,c/csor?replicaSet=rs0'
    """
    source = f"sqlite:///{file.resolve()}"
    _require_lasting(source, store_url)
    tell(run(copied(source, store_url)), public_url(store_url))


async def copied(source: str, target: str) -> Outcome:
    """Moves and compares, with a bar on stderr."""
    with Progress(console=Console(stderr=True), transient=True) as bar:
        tasks = {name: bar.add_task(word, total=None) for name, word in _WORDS.items()}
        async with opened(source) as one, opened(target, create=True, half=True) as other:
            return await move(
                cast(Movable, one),
                cast(Movable, other),
                lambda what, done, total: bar.update(tasks[what], completed=done, total=total or None),
            )


def _require_lasting(source: str, target: str) -> None:
    if source == target:
        raise click.ClickException("A store cannot be copied into itself.")
    if target == "sqlite://":
        raise click.ClickException("sqlite:// is a temporary store, gone when the copy is done: use sqlite:///path/to/file.db.")


def tell(outcome: Outcome, where: str) -> None:
    """What became of it. Raises ClickException if anything differs."""
    for sentence in outcome.differences[:20]:
        click.echo(sentence)
    if outcome.differences:
        raise click.ClickException(f"{len(outcome.differences)} difference(s): this copy must not be used.")
    click.echo(f"{outcome.versions} versions and {outcome.records} records are in {where}, compared and the same.")

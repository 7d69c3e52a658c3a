"""`csor backup`: the whole store in one file, once or again and again. The file is an SQLite store in itself.

What must stay true: a file has its name only when it is whole and was looked over; nobody but its owner may read it; an old one goes only when a
newer one is whole.
"""

import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import click

from app import clock
from app.commands.common import opened, run, store_options
from app.commands.copy import copied, tell

NAME = "csor-%Y%m%dT%H%M%SZ.db"
_NAMED = re.compile(r"csor-\d{8}T\d{6}Z\.db")
HOUR = 3600.0


@click.command()
@click.argument("place", type=click.Path(path_type=Path))
@click.option(
    "--keep", type=click.IntRange(min=1), metavar="N", help="PLACE is a directory: name the file by its time, keep the newest N."
)
@click.option(
    "--every", type=click.FloatRange(min=0, min_open=True), metavar="HOURS", help="With --keep: again and again, until stopped."
)
@store_options
def backup(place: Path, keep: int | None, every: float | None, store_url: str) -> None:
    """Write the store into the file PLACE, which must not exist, while the server goes on.

    \b
    Examples:
      csor backup /backup/csor-2026-11-23.db
      csor backup /backup --keep 14 --every 24
      csor backup /backup/csor.db --store 'mongodb://a,b,c/csor?replicaSet=rs0'
    """
    if every is not None and keep is None:
        raise click.UsageError("--every needs --keep: else the disk fills up.")
    if keep is None:
        _write(place, store_url)
        return
    if not place.is_dir():
        raise click.ClickException(f"{place} is not a directory.")
    while True:
        if every is not None and (left := _seconds_left(place, every)) > 0:
            time.sleep(min(left, HOUR))  # not all at once: the clock may be set meanwhile
            continue
        for leftover in place.glob("csor-*.db.part*"):  # of a run that was cut off
            leftover.unlink()
        _write(place / clock.now().strftime(NAME), store_url)
        for old in kept(place)[:-keep]:
            old.unlink()
        if every is None:
            return


def kept(directory: Path) -> list[Path]:
    """The whole backups there, oldest first."""
    return sorted(path for path in directory.iterdir() if _NAMED.fullmatch(path.name))


def _seconds_left(directory: Path, every: float) -> float:
    """Until the next is due, by the newest that is there: being started anew makes no more of them."""
    found = kept(directory)
    if not found:
        return 0
    newest = datetime.strptime(found[-1].name, NAME).replace(tzinfo=UTC)
    return every * HOUR - (clock.now() - newest).total_seconds()


def _write(file: Path, store_url: str) -> None:
    if file.exists():
        raise click.ClickException(f"{file} is there already: choose another name.")
    part = file.with_name(file.name + ".part")  # never a half backup under the name of a whole one
    if store_url.startswith("sqlite:"):
        versions = run(_copied_by_sqlite(store_url, part))
        click.echo(f"{versions} versions are kept in {file}.")
    else:
        tell(run(copied(store_url, f"sqlite:///{part.resolve()}")), str(file))
    part.rename(file)


async def _copied_by_sqlite(url: str, part: Path) -> int:
    from app.store.sqlite.store import SQLiteStore

    async with opened(url) as store:
        for leftover in _files(part):
            leftover.unlink(missing_ok=True)
        part.touch(0o600)
        await cast(SQLiteStore, store).backup(str(part))
    async with opened(f"sqlite:///{part.resolve()}") as copy:
        findings = await copy.check()
        if any("SQLite says" in finding or "damaged" in finding for finding in findings):
            raise click.ClickException("The backup is damaged, and so probably is the store: run `csor check`.")
        return await copy.feed_head()


def _files(path: Path) -> list[Path]:
    return [path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")]

"""`csor hes`: import episode statistics, look at what was refused or not linked, try again."""

from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from app.commands.common import on_store, store_options
from app.intake.hes.deaths import import_deaths
from app.intake.hes.importer import Progress as Report
from app.intake.hes.importer import import_file
from app.intake.hes.importer import relink as relink_all
from app.intake.hes.spells import VARIANTS
from app.intake.hes.tally import SHOWN, Tally
from app.security.access import SYSTEM
from app.store.protocol import Store

PAGE = 500
RULES = {
    "ONS2": "only the register knew",
    "ONS1": "the register's day, up to 3 days before the hospital's",
    "MIX1": "the hospital's day, up to 3 days before the register's",
    "HES2": "the hospital's day, more than 3 days from the register's",
}


@click.group("hes")
def hes() -> None:
    """Hospital Episode Statistics: import a CSV file, see what it could not use.

    \b
    Examples:
      csor hes import episodes.csv --data data
      csor hes import 2023.csv 2024.csv --dry-run
      csor hes errors
      csor hes relink
    """


@hes.command("import")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Read, link and count; write nothing.")
@click.option("--again", is_flag=True, help="Also a file that was imported before.")
@click.option("--joined-by", "variant", type=click.Choice(VARIANTS), default="epidm", help="How stays are joined over transfers.")
@store_options
def import_files(files: tuple[Path, ...], dry_run: bool, again: bool, variant: str, store_url: str) -> None:
    """Import files of consultant episodes (one row each) and close with a table of what was done.

    Rows are linked to children that the store knows, by NHS number. Rows that are wrong, or of no known child, are kept.
    The exit code is 1 if any row was refused.

    \b
    Examples:
      csor hes import episodes.csv
      csor hes import episodes.csv --dry-run --store sqlite:////srv/csor/csor.db
    """

    async def work(store: Store) -> int:
        wrong = 0
        for path in files:
            with _bar() as report:
                tally = await import_file(store, path, again=again, dry_run=dry_run, variant=variant, progress=report)
            _print(tally, path.name)
            wrong += tally.wrong
        return wrong

    raise SystemExit(1 if on_store(store_url, work) else 0)


@hes.command()
@store_options
def relink(store_url: str) -> None:
    """Try again to link the rows that were kept because their child was not known.

    \b
    Example:
      csor hes relink --data data
    """

    async def work(store: Store) -> int:
        _print(await relink_all(store), "rows kept before")
        return 0

    on_store(store_url, work)


@hes.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@store_options
def deaths(file: Path, store_url: str) -> None:
    """Import the register of deaths: a CSV with DOD, and PERSON_ID or NEWNHSNO. The exit code is 1 if any row was refused.

    \b
    Example:
      csor hes deaths register.csv --data data
    """

    async def work(store: Store) -> int:
        tally = await import_deaths(store, file)
        table = Table(title=file.name, show_header=False)
        lines = [("rows read", tally.rows), ("rows refused", tally.wrong)]
        lines += [(f"told: {RULES[rule]}", count) for rule, count in sorted(tally.rules.items())]
        lines += [(f"not linked: {reason}", count) for reason, count in sorted(tally.not_linked.items())]
        for words, count in lines:
            table.add_row(words, f"{count:,}")
        console = Console()
        console.print(table)
        for problem in tally.problems[:SHOWN]:
            console.print(problem, highlight=False)
        return tally.wrong

    raise SystemExit(1 if on_store(store_url, work) else 0)


@hes.command()
@store_options
def errors(store_url: str) -> None:
    """List the rows that were refused: file, line, column, reason. The rows themselves stay in the store.

    \b
    Example:
      csor hes errors --data data
    """

    async def work(store: Store) -> int:
        table = Table("file", "line", "column", "reason")
        after = None
        while records := await store.find_records(SYSTEM, "hes-row-error", after=after, limit=PAGE):
            after = records[-1].key
            for record in records:
                place = record.data
                table.add_row(record.tag[:12], str(place["line"]), str(place["column"] or ""), place["reason"])
        Console().print(table if table.row_count else "No row was refused.")
        return 0

    on_store(store_url, work)


@contextmanager
def _bar() -> Any:
    """A progress bar on the terminal, as a `Report`."""
    columns = (TextColumn("{task.description:8}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        tasks: dict[str, Any] = {}

        def report(what: str, done: int, of: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=of)
            progress.update(tasks[what], completed=done, total=of)

        typed: Report = report
        yield typed


def _print(tally: Tally, name: str) -> None:
    console = Console()
    if tally.already:
        console.print(f"{name}: this very file has been imported before; nothing was done (--again imports it again).")
        return
    table = Table(title=name, show_header=False)
    for words, count in tally.lines():
        table.add_row(words, f"{count:,}")
    console.print(table)
    for problem in tally.problems:
        console.print(problem, highlight=False)
    if tally.wrong > len(tally.problems):
        console.print(f"… and {tally.wrong - len(tally.problems):,} more: csor hes errors lists them.")
    if tally.not_linked_rows:
        console.print("The rows of people not linked are kept: csor hes relink tries them again when more children are known.")

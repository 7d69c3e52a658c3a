"""`csor demo`: set the stage, play the nation, print the table, say which pages to open, and go on serving."""

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from app import clock
from app.demo import compare, setting
from app.demo.nation import Hospital, Nation, simulate
from app.demo.parents import Inbox
from app.demo.play import Play
from app.demo.report import Report, evaluate, publish


@click.command()
@click.option("--data", type=click.Path(path_type=Path), default=Path("data/demo"), show_default=True, help="Where it is kept.")
@click.option("--once", is_flag=True, help="Stop after the table; exit 1 if a figure differs from the truth.")
@click.option("--port", default=8000, show_default=True, help="HTTP port; another is taken if it is busy.")
@click.option("--seed", default=2026, show_default=True, help="Another seed is another nation.")
@click.option("--per-year", default=550, show_default=True, help="Children a year, over three years and ten hospitals.")
def demo(data: Path, once: bool, port: int, seed: int, per_year: int) -> None:
    """Play a simulated nation through the front doors and compare what the server says with what is true.

    \b
    Examples:
      csor demo                      play, print the table, serve until Ctrl-C
      csor demo --once               stop after the table
      csor demo --seed 7 --data /tmp/other

    Running it again on the same data plays nothing twice: it prints the table and serves. Remove the directory to begin anew.
    """
    console = Console(width=None if Console().is_terminal else 150)
    differences = asyncio.run(_demo(console, data, once, port, seed, per_year))
    if once and differences:
        raise SystemExit(1)


async def _demo(console: Console, data: Path, once: bool, port: int, seed: int, per_year: int) -> list[str]:
    stop = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    begun = time.monotonic()
    cast, nation = await _stage(data, seed, per_year)
    async with Inbox() as inbox, setting.serving(data, inbox.url, port) as server:
        work = asyncio.create_task(_perform(console, data, cast, nation, server, inbox))
        waiting = asyncio.create_task(stop.wait())
        await asyncio.wait((work, waiting), return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            work.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await work
            console.print("Stopped before the end. Nothing that was acknowledged is lost; run it again to go on.")
            return ["stopped"]
        differences = work.result()
        _say_what_to_open(console, server.base, cast, nation)
        console.print(f"Done in {time.monotonic() - begun:.0f} seconds.")
        if not once:
            console.print("Serving until Ctrl-C.")
            await waiting
        waiting.cancel()
    return differences


async def _stage(data: Path, seed: int, per_year: int) -> tuple[setting.Cast, Nation]:
    async with _store(data) as store:
        cast = await setting.recall(store)
        today = date.fromisoformat(cast.today) if cast else clock.today()
        nation = simulate(today, seed=cast.seed if cast else seed, per_year=per_year)
        if cast is None:
            cast = await setting.prepare(store, nation, seed, today.isoformat())
            await setting.remember(store, cast)
    return cast, nation


@contextlib.asynccontextmanager
async def _store(data: Path) -> AsyncIterator[setting.Store]:
    store = await setting.open_data(data)
    try:
        yield store
    finally:
        await store.close()


async def _perform(
    console: Console, data: Path, cast: setting.Cast, nation: Nation, server: setting.Server, inbox: Inbox
) -> list[str]:
    differences: list[str] = []
    if cast.played:
        console.print("The nation was played here before; nothing is sent twice.")
    else:
        differences += await _play(console, data, cast, nation, server, inbox)
    async with _store(data) as store:
        report = await evaluate(server, cast, nation, data)
        await publish(store)
        differences += await compare.children(store, nation)
        differences += compare.reports(report.rows, nation) + compare.standing_out(report.rows, nation)
        if not cast.played:
            facts = await compare.facts_by_number(store)
            cast.child = next((f.patient for f in facts.values() if f.hospital == _different(nation).ods), "")
            cast.played = True
            await setting.remember(store, cast)
    console.print(_table(report, nation))
    console.print(report.label, style="italic")
    _say(console, differences, nation)
    return differences


async def _play(
    console: Console, data: Path, cast: setting.Cast, nation: Nation, server: setting.Server, inbox: Inbox
) -> list[str]:
    columns = (SpinnerColumn(), TextColumn("{task.description:<42}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        play = Play(nation, cast, server, data, progress)
        await play.hospital_messages()
        await play.vendor_transactions()
        await play.episode_statistics()
        letters = asyncio.create_task(play.parents_answers(inbox))
        await play.operative_records()
        await letters
        await play.settle()
    return play.refused + compare.letters(play.written_to, nation)


def _table(report: Report, nation: Nation) -> Table:
    table = Table(title=f"Treatment success, children first operated on {report.start} to {report.end} (simulated)")
    table.add_column("Hospital")
    for heading in ("Cases", "Outcome known", "Observed", "Expected", "Ratio"):
        table.add_column(heading, justify="right")
    table.add_column("95 % interval")
    table.add_column("Band")
    for row in report.rows:
        cells = (str(row.cases), str(row.known), str(row.observed), _figure(row.expected, 1), _figure(row.ratio, 2))
        table.add_row(row.name, *cells, f"{_figure(row.low, 2)} to {_figure(row.high, 2)}", row.band)
    return table


def _figure(value: float | None, places: int) -> str:
    return "-" if value is None else f"{value:.{places}f}"


def _say(console: Console, differences: list[str], nation: Nation) -> None:
    if not differences:
        console.print(
            f"Compared with the truth of all {len(nation.children):,} children: operations, infections, quality of life, survival and "
            f"every reported count are equal. {compare.on_standing_out(nation)}"
        )
        return
    console.print(f"{len(differences)} differences from the truth:", style="bold")
    for difference in differences[: compare.SHOWN]:
        console.print(f"  {difference}", markup=False)


def _different(nation: Nation) -> Hospital:
    """The hospital with fewer good outcomes: there is most to look at."""
    return max(nation.hospitals, key=lambda hospital: hospital.quality)


def _say_what_to_open(console: Console, base: str, cast: setting.Cast, nation: Nation) -> None:
    worst = _different(nation)
    user = f"audit-{worst.ods.lower()}"
    rows = (
        ("Start page", base),
        ("Public page", f"{base}/public"),
        ("Hospital page", f"{base}/hospital/{worst.ods}"),
        ("  sign in as", f"{user}   password {cast.passwords[user]}"),
        ("  or, for all hospitals", f"national   password {cast.passwords['national']}"),
        ("An operative record to fill in", f"{base}/operative-record" + (f"?patient={cast.child}" if cast.child else "")),
        ("A parent's link", cast.link or "none is open"),
        ("API documentation", f"{base}/documentation"),
        ("FHIR base", f"{base}/fhir"),
        ("  token (national)", cast.tokens["national"]),
    )
    grid = Table.grid(padding=(0, 2))
    for name, value in rows:
        grid.add_row(name, value)
    console.print(grid)

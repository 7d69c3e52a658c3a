"""`csor demo`: set the stage, play the nation, print the table, say which pages to open, and go on serving."""

import asyncio
import signal
import time
from collections.abc import Coroutine
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

import click
import httpx
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from app import clock
from app.demo import compare, setting
from app.demo.letters import Letters
from app.demo.nation import Hospital, Nation, simulate
from app.demo.play import Play
from app.demo.report import Report, evaluate, publish
from app.fhir.errors import Conflict, Unavailable

T = TypeVar("T")


@click.command()
@click.option("--data", type=click.Path(path_type=Path), default=Path("data/demo"), show_default=True, help="Where it is kept.")
@click.option("--store", default="", metavar="URL", help="An empty store, say mongodb://…. Default: SQLite in --data.")
@click.option("--once", is_flag=True, help="Stop after the table; exit 1 if a figure differs from the truth.")
@click.option("--port", default=8000, show_default=True, help="HTTP port; another is taken if it is busy.")
@click.option("--seed", default=2026, show_default=True, help="Another seed is another nation.")
@click.option(
    "--per-year",
    type=click.IntRange(24),
    default=550,
    show_default=True,
    help="Children a year, over three years and ten hospitals.",
)
def demo(data: Path, store: str, once: bool, port: int, seed: int, per_year: int) -> None:
    """Play a simulated nation through the front doors and compare what the server says with what is true.

    \b
    Examples:
      csor demo                      play, print the table, serve until Ctrl-C
      csor demo --once               stop after the table
      csor demo --seed 7 --data /tmp/other
      csor demo --data /tmp/many --store 'mongodb://127.0.0.1:27017/demo?replicaSet=rs0'

    Stopped half way, it goes on when it is run again. Running it again on the same data plays nothing twice: it prints the table and serves.
    Remove the directory, and what --store names, to begin anew.
    """
    console = Console(width=None if Console().is_terminal else 150)
    data.mkdir(parents=True, exist_ok=True)
    equal = asyncio.run(_demo(console, data, store or setting.store_url(data), once, port, seed, per_year))
    if once and not equal:
        raise SystemExit(1)


async def _demo(console: Console, data: Path, url: str, once: bool, port: int, seed: int, per_year: int) -> bool:
    """Whether all is as it should be."""
    stop = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    begun = time.monotonic()
    letters = data / "letters"
    cast, nation = await _stage(url, letters, seed, per_year)
    async with Letters(letters) as mail, setting.serving(data, url, mail.url, port) as server:
        differences = await _unless(stop, server, _perform(console, data, cast, nation, server, mail))
        if differences is None:
            console.print("Stopped before the end. Nothing that was acknowledged is lost; run it again to go on.")
            return False
        _say_what_to_open(console, server.base, cast, nation)
        console.print(f"Done in {time.monotonic() - begun:.0f} seconds.")
        if not once:
            console.print("Serving until Ctrl-C.")
            await _unless(stop, server, asyncio.Event().wait())
            console.print("\nStopped. Everything that was acknowledged is stored; run it again to look once more.")
    return not differences


async def _unless(stop: asyncio.Event, server: setting.Server, work: Coroutine[Any, Any, T]) -> T | None:
    """What `work` comes to; None where `stop` was set first. Raises Unavailable where the server fell."""
    working = asyncio.create_task(work)
    tasks: list[asyncio.Task[Any]] = [working, asyncio.create_task(stop.wait()), asyncio.create_task(server.process.wait())]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    if stop.is_set():
        return None
    if working.cancelled() or isinstance(working.exception(), httpx.TransportError | OSError):
        raise Unavailable(
            f"The server fell; {server.log} says why. Nothing that was acknowledged is lost; run it again to go on."
        )
    return working.result()


async def _stage(url: str, letters: Path, seed: int, per_year: int) -> tuple[setting.Cast, Nation]:
    async with setting.opened(url) as store:
        cast = await setting.recall(store)
        if cast is None and letters.exists():
            raise Conflict(f"{letters} has the letters of a demonstration on another store: name another --data.")
        cast = cast or setting.Cast(seed, clock.today().isoformat(), per_year)
        nation = simulate(date.fromisoformat(cast.today), seed=cast.seed, per_year=cast.per_year)
        if not cast.tokens:
            await setting.prepare(store, nation, cast)
    return cast, nation


async def _perform(
    console: Console, data: Path, cast: setting.Cast, nation: Nation, server: setting.Server, mail: Letters
) -> list[str]:
    differences: list[str] = []
    again = cast.played
    async with setting.opened(server.store) as store:
        if again:
            console.print("The nation was played here before; nothing is sent twice.")
        else:
            differences += await _play(console, data, cast, nation, server, mail, store)
        report = await evaluate(server, cast, nation)
        await publish(store)
        differences += await compare.children(store, nation)
        differences += compare.reports(report.rows, nation) + compare.standing_out(report.rows, nation)
        if not again:
            facts = await compare.facts_by_number(store)
            cast.child = next((f.patient for f in facts.values() if f.hospital == _different(nation).ods), "")
            cast.played = True
            await setting.remember(store, cast)
    console.print(_table(report, console.width))
    console.print(report.label, style="italic")
    _say(console, differences, nation, again)
    return differences


async def _play(
    console: Console, data: Path, cast: setting.Cast, nation: Nation, server: setting.Server, mail: Letters, store: setting.Store
) -> list[str]:
    columns = (SpinnerColumn(), TextColumn("{task.description:<33}"), BarColumn(20), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        play = Play(nation, cast, server, data, progress)
        await play.hospital_messages()
        await play.vendor_transactions()
        await play.episode_statistics()

        async def surgeons() -> None:
            await play.operative_records()
            await play.last_letter(store, mail)

        await asyncio.gather(surgeons(), play.parents_answers(mail))
        await play.settle()
    return play.refused + compare.letters(play.written_to, nation)


def _table(report: Report, width: int) -> Table:
    """Whole words at 80 columns, a line for each hospital where there is room."""
    title = f"Treatment success, children first operated on {report.start} to {report.end} (simulated)"
    table = Table(title=title, box=SIMPLE_HEAD, padding=(0, int(width > 100)))
    table.add_column("Hospital", min_width=11)
    for heading in ("Cases", "Outcome\nknown", "Observed", "Expected", "Ratio"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("95 % interval", no_wrap=True)
    table.add_column("Band", min_width=11)
    for row in report.rows:
        cells = (str(row.cases), str(row.known), str(row.observed), _figure(row.expected, 1), _figure(row.ratio, 2))
        band = row.band.removesuffix(" for the children treated here")
        interval = "-" if row.low is None else f"{_figure(row.low, 2)} to {_figure(row.high, 2)}"
        table.add_row(row.name, *cells, interval, band)
    return table


def _figure(value: float | None, places: int) -> str:
    return "-" if value is None else f"{value:.{places}f}"


def _say(console: Console, differences: list[str], nation: Nation, again: bool) -> None:
    if not differences:
        console.print(
            f"Compared with the truth of all {len(nation.children):,} children: operations, infections, quality of life, survival and "
            f"every reported count are equal. {compare.on_standing_out(nation)}"
        )
        return
    console.print(f"{len(differences)} differences from the truth:", style="bold")
    for difference in differences[: compare.SHOWN]:
        console.print(f"  {difference}", markup=False)
    if len(differences) > compare.SHOWN:
        console.print("  and more.")
    if again:
        console.print("What was entered by hand since the nation was played is no part of its truth.")


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
        ("A parent's link", f"{base}{cast.link}" if cast.link else "none is open"),
        ("API documentation", f"{base}/documentation"),
        ("FHIR base", f"{base}/fhir"),
        ("  token (national)", cast.tokens["national"]),
    )
    for name, value in rows:  # addresses and tokens are there to be copied: never cut or broken
        console.print(f"{name:<32}{value}", soft_wrap=True, highlight=False, markup=False)

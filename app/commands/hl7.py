"""`csor hl7`: register senders, look at the work list, replay, send, parse and lint messages."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from app import clock
from app.commands.common import on_store, store_options
from app.fhir.errors import FHIRError, NotFound
from app.fhir.numbers import whole_number
from app.intake.hl7v2 import batch, desk, er7, senders
from app.intake.hl7v2.client import Client
from app.intake.hl7v2.inbox import KIND, Inbox
from app.security.access import SYSTEM
from app.store.protocol import Record, Store


@click.group("hl7")
def hl7() -> None:
    """HL7v2 messages: who may send, what went wrong, and doing it again.

    \b
    Examples:
      csor hl7 sender add PAS RCB --hospital RCB
      csor hl7 errors
      csor hl7 errors --show 01jd3v6q3k0c8m2n4p6r8s0t2v
      csor hl7 replay --all-errors
      csor hl7 send admission.hl7 --to localhost:2575
    """


# ---- senders


@hl7.group("sender")
def sender() -> None:
    """Who may send: MSH-3 and MSH-4 decide the hospital.

    \b
    Examples:
      csor hl7 sender add PAS RCB --hospital RCB
      csor hl7 sender add EPIC '*' --hospital RBS --mode enhanced
      csor hl7 sender list
    """


@sender.command("add")
@click.argument("application")
@click.argument("facility")
@click.option("--hospital", "ods", required=True, help="ODS code of the hospital that the messages belong to.")
@click.option("--zone", default="Europe/London", show_default=True, help="Time zone of times without an offset.")
@click.option(
    "--mode",
    type=click.Choice(["auto", "original", "enhanced"]),
    default="auto",
    show_default=True,
    help="How to acknowledge; auto goes by MSH-15 and MSH-16.",
)
@click.option("--authority", "authorities", multiple=True, help="Assigning authority of the hospital's own record numbers.")
@click.option("--name", default="", help="Name of the hospital.")
@store_options
def sender_add(
    application: str, facility: str, ods: str, zone: str, mode: Any, authorities: tuple[str, ...], name: str, store_url: str
) -> None:
    """Register a sender, or change one. APPLICATION is MSH-3, FACILITY is MSH-4; either may be '*'.

    \b
    Examples:
      csor hl7 sender add PAS RCB --hospital RCB
      csor hl7 sender add MILL '*' --hospital RGT --authority RGR50 --mode original
    """

    async def work(store: Store) -> int:
        entry = senders.Sender(
            application, facility, ods.upper(), zone, mode, tuple(authority.upper() for authority in authorities), name
        )
        await senders.add(store, entry)
        click.echo(f"{entry.key} may send for {entry.ods}.")
        return 0

    _on_store(store_url, work, create=True)


@sender.command("list")
@store_options
def sender_list(store_url: str) -> None:
    """Show who may send.

    \b
    Examples:
      csor hl7 sender list
    """

    async def work(store: Store) -> int:
        table = Table("application", "facility", "hospital", "zone", "mode", "authorities")
        for entry in await senders.every(store):
            table.add_row(entry.application, entry.facility, entry.ods, entry.zone, entry.mode, " ".join(entry.authorities))
        Console().print(table)
        return 0

    _on_store(store_url, work)


# ---- the work list


@hl7.command("errors")
@click.option("--state", type=click.Choice(desk.STATES), help="Only this state. Default: all that somebody should look at.")
@click.option("--show", "key", help="Show one message: its state, what is wrong, and its text.")
@click.option("--limit", default=50, show_default=True, help="At most so many of each state.")
@store_options
def errors(state: str | None, key: str | None, limit: int, store_url: str) -> None:
    """The work list: messages that could not be mapped, or were mapped with doubts. The exit code is 1 if any is in error.

    \b
    Examples:
      csor hl7 errors
      csor hl7 errors --state rejected
      csor hl7 errors --show 01jd3v6q3k0c8m2n4p6r8s0t2v
    """

    async def work(store: Store) -> int:
        if key:
            record = await store.get_record(SYSTEM, KIND, key)
            if record is None:
                raise NotFound(f"There is no message {key}.")
            _show(record)
            return 0
        numbers = await desk.counts(store, SYSTEM)
        table = Table("key", "received", "sender", "event", "state", "what is wrong")
        for each in [state] if state else desk.OPEN:
            for record in await desk.listed(store, SYSTEM, each, limit=limit):
                table.add_row(*_row(record))
        if table.row_count:
            Console(width=None if sys.stdout.isatty() else 180).print(table)
        click.echo(", ".join(f"{name} {count}" for name, count in numbers.items()))
        return 1 if numbers["error"] else 0

    _on_store(store_url, work)


def _row(record: Record) -> list[str]:
    data = record.data
    what = "; ".join(f"{where}: {text}" if where else text for text, where, *_ in data.get("problems", ()))
    return [record.key, clock.instant(data["received"])[:19], data["sender"], data.get("event", ""), record.state, what]


def _show(record: Record) -> None:
    for name, value in zip(("key", "received", "sender", "event", "state", "what is wrong"), _row(record), strict=True):
        click.echo(f"{name:14}{value}")
    for reference in record.data.get("resources", ()):
        click.echo(f"{'resource':14}{reference}")
    click.echo()
    click.echo((record.raw or b"").decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n"))


@hl7.command("replay")
@click.argument("keys", nargs=-1)
@click.option("--all-errors", is_flag=True, help="Every message in error.")
@click.option("--state", type=click.Choice(desk.STATES), help="Every message in this state.")
@store_options
def replay(keys: tuple[str, ...], all_errors: bool, state: str | None, store_url: str) -> None:
    """Map messages again, from the bytes that came. Safe at any time: what is mapped already does not change.

    The exit code is 1 if any is still in error.

    \b
    Examples:
      csor hl7 replay 01jd3v6q3k0c8m2n4p6r8s0t2v
      csor hl7 replay --all-errors
      csor hl7 replay --state unsupported
    """
    wanted = "error" if all_errors else state
    if not keys and not wanted:
        raise click.UsageError("Say which: keys, --all-errors or --state.")

    async def work(store: Store) -> int:
        inbox = Inbox(store)
        chosen = list(keys)
        if wanted:
            after = None
            while page := await desk.listed(store, SYSTEM, wanted, limit=500, after=after):
                after = page[-1].key
                chosen += [record.key for record in page]
        failed = 0
        with _progress() as progress:
            for key in progress.track(chosen, description="Replaying"):
                now = await desk.replay(inbox, SYSTEM, key)
                failed += now in ("error", "rejected")
                progress.console.print(f"{key}  {now}", highlight=False)
        click.echo(f"{len(chosen) - failed} mapped, {failed} not.")
        return 1 if failed else 0

    _on_store(store_url, work)


# ---- messages in files


@hl7.command("send")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--to", "address", required=True, metavar="HOST:PORT", help="The MLLP listener.")
@click.option("--quiet", is_flag=True, help="Print only answers that are no acceptance.")
def send(files: tuple[Path, ...], address: str, quiet: bool) -> None:
    """Send the messages of files (one or a batch in each) and print the answers. The exit code is 1 if any was not accepted.

    \b
    Examples:
      csor hl7 send admission.hl7 --to localhost:2575
      csor hl7 send day/*.hl7 --to localhost:2575 --quiet
    """
    host, _, told = address.rpartition(":")
    if (port := whole_number(told, 5)) is None:
        raise click.UsageError("--to wants HOST:PORT, such as localhost:2575.")
    messages = [(path, raw) for path in files for raw in _messages(path)]

    async def work() -> int:
        refused = 0
        async with Client(host or "localhost", port) as client:
            with _progress() as progress:
                for path, raw in progress.track(messages, description="Sending"):
                    answer = er7.parse(await client.send(raw))
                    accepted = answer["MSA-1"] in ("AA", "CA")
                    refused += not accepted
                    if not accepted or not quiet:
                        where = next((f" {at}" for at in _places(answer)), "")
                        line = f"{path.name}  {answer['MSA-2']}  {answer['MSA-1']}{where}  {answer['ERR-8'] or answer['MSA-3']}"
                        progress.console.print(line, highlight=False)
        click.echo(f"{len(messages) - refused} accepted, {refused} not.")
        return 1 if refused else 0

    try:
        code = asyncio.run(work())
    except FHIRError as error:
        raise click.ClickException(str(error)) from None
    sys.exit(code)


def _places(answer: er7.Message) -> Iterable[str]:
    for err in answer.all("ERR"):
        number = 2 if err.raw(2) else 1
        parts = [err.value(number, at) for at in (1, 3)]
        yield "-".join(part for part in parts if part)


@hl7.command("parse")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def parse(file: Path) -> None:
    """Show a message as a tree: each field that says something, with its path.

    \b
    Examples:
      csor hl7 parse admission.hl7
    """
    for raw in _messages(file):
        try:
            message = er7.parse(raw)
        except FHIRError as error:
            raise click.ClickException(str(error)) from None
        for segment in message.segments:
            click.echo(segment.name)
            for number in range(1, len(segment.fields)):
                for at, repeat in enumerate(segment.repeats(number), 1):
                    which = f"{segment.name}-{number}" + (f"[{at}]" if at > 1 else "")
                    click.echo(f"  {which:12} {_parts(repeat)}")
                if segment.deletes(number):
                    click.echo(f"  {segment.name}-{number}".ljust(15) + '"" (delete)')


def _parts(repeat: er7.Repeat) -> str:
    components = [" & ".join(subs) for subs in repeat.components]
    if len(components) == 1:
        return components[0]
    return "  ".join(f".{number}={text!r}" for number, text in enumerate(components, 1) if text)


@hl7.command("lint")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
def lint(files: tuple[Path, ...]) -> None:
    """Judge messages against the HL7 structure of their version (hl7apy). Intake does not ask this: it takes what it can read.

    The exit code is 1 if any message does not conform.

    \b
    Examples:
      csor hl7 lint admission.hl7
    """
    from app.intake.hl7v2.lint import report

    found = 0
    for path in files:
        for raw in _messages(path):
            try:
                sentences = report(raw)
            except FHIRError as error:
                raise click.ClickException(str(error)) from None
            found += bool(sentences)
            for sentence in sentences or ["conforms"]:
                click.echo(f"{path.name}: {sentence}")
    sys.exit(1 if found else 0)


def _messages(path: Path) -> list[bytes]:
    raw = path.read_bytes()
    messages, problems = batch.split_batch(raw)
    for sentence in problems:
        click.echo(f"{path.name}: {sentence}", err=True)
    return messages


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), console=Console(stderr=True), transient=True
    )


def _on_store(url: str, work: Callable[[Store], Awaitable[int]], *, create: bool = False) -> None:
    """`work` returns the exit code."""
    if code := on_store(url, work, create=create):
        sys.exit(code)

"""`csor load`: a progress bar, and at the end what was loaded and what was refused and why."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from app.commands.common import opened, store_options
from app.store.open import public_url

if TYPE_CHECKING:
    from app.loader import Report, Sink


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@store_options
@click.option("--url", metavar="BASE", help="Load into a running server instead, such as http://localhost:8000/fhir.")
@click.option("--token", envvar="CSOR_TOKEN", help="API token for --url.")
@click.option("--quiet", is_flag=True, help="No progress bar.")
def load(paths: tuple[Path, ...], store_url: str, url: str | None, token: str | None, quiet: bool) -> None:
    """Load resources, Bundles, NDJSON and directories of them (.gz .bz2 .xz too), in the order of their references.

    Exit 1 if anything was refused; everything else is loaded all the same, unless the server goes away.

    \b
    Examples:
      csor load synthea/
      csor load export/*.ndjson.gz --store sqlite:////srv/csor.db
      csor load patient.json --url http://localhost:8000/fhir --token csor_…
    """
    from app.loader import Report

    if url:
        _require_usable(url, token)
    report, start = Report(), time.perf_counter()
    try:
        asyncio.run(_into_server(report, paths, url, token, quiet) if url else _into_store(report, paths, store_url, quiet))
    except KeyboardInterrupt:
        _tell(report, time.perf_counter() - start)
        click.echo("What was under way just then may be stored too.", err=True)
        raise
    _tell(report, time.perf_counter() - start)
    if report.ended:
        raise click.ClickException(f"{report.ended} The load ended there: not all files were tried.")
    if report.refused:
        raise SystemExit(1)


def _require_usable(url: str, token: str | None) -> None:
    """Raises UsageError with a sentence that holds no password or token."""
    import httpx

    try:
        read = httpx.URL(url)
    except (httpx.InvalidURL, UnicodeError):
        read = httpx.URL()
    if read.scheme not in ("http", "https") or not read.host:
        raise click.UsageError("--url must look like http://localhost:8000/fhir.")
    if token and not (token.isascii() and token.isprintable()):
        raise click.UsageError("--token: this has characters that no token has.")


def _tell(report: "Report", seconds: float) -> None:
    for refusal in report.refusals:
        click.echo(str(refusal), err=True)
    if report.refused > len(report.refusals):
        click.echo(f"… and {report.refused - len(report.refusals)} more.", err=True)
    already = f", {report.already} were there already" if report.already else ""
    rate = (report.loaded + report.already) / seconds if seconds else 0
    click.echo(
        f"{report.loaded} resources loaded{already}, {report.refused} refused, from {report.files} files in {seconds:.1f} s ({rate:,.0f}/s)."
    )


async def _into_store(report: "Report", paths: tuple[Path, ...], store_url: str, quiet: bool) -> None:
    from app.api import Context, routes
    from app.api.inprocess import request
    from app.main import calm_the_collector, hooks
    from app.security.access import Access
    from app.security.identity import Identities

    operator = Access("operator", "national", None)  # whoever can open the store's file may do all

    async with opened(store_url, create=True) as store:
        table = routes(Context(store, Identities(store), hooks=hooks(store)))
        calm_the_collector()

        class Local:
            async def post(self, bundle: Callable[[], dict[str, Any]]) -> tuple[int, dict[str, Any]]:
                reply = await request(table, operator, "POST", "", headers=[(b"prefer", b"return=minimal")], body=bundle)
                return reply.status, _decoded(reply.body)

        await _run(Local(), report, paths, quiet)


async def _into_server(report: "Report", paths: tuple[Path, ...], url: str, token: str | None, quiet: bool) -> None:
    import httpx

    from app.fhir import codec
    from app.fhir.errors import Unavailable

    where = public_url(url)
    headers = {"content-type": "application/fhir+json", "accept": "application/fhir+json", "prefer": "return=minimal"}
    if token:
        headers["authorization"] = f"Bearer {token}"
    async with httpx.AsyncClient(headers=headers, timeout=httpx.Timeout(600, connect=20)) as client:

        class Remote:
            async def post(self, bundle: Callable[[], dict[str, Any]]) -> tuple[int, dict[str, Any]]:
                try:
                    reply = await client.post(url.rstrip("/"), content=codec.encode(bundle()))
                except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                    raise Unavailable(f"{where} cannot be reached ({str(error) or 'it does not answer'}).") from None
                except httpx.TransportError as error:
                    lost = f"{where} broke off before it answered ({type(error).__name__}): nobody knows whether this was stored."
                    return 504, Unavailable(lost).outcome()
                body = _decoded(reply.content)
                if reply.status_code < 400 and body.get("resourceType") != "Bundle":  # of something else that listens there
                    return 502, Unavailable(f"{where} answered {reply.status_code}, but not as a FHIR server does.").outcome()
                return reply.status_code, body

        await _run(Remote(), report, paths, quiet)


def _decoded(raw: bytes) -> dict[str, Any]:
    from app.fhir import codec
    from app.fhir.errors import Malformed

    try:
        return codec.decode(raw)
    except Malformed:
        return {"issue": [{"severity": "error", "diagnostics": "The server answered something that is not FHIR."}]}


async def _run(sink: "Sink", report: "Report", paths: tuple[Path, ...], quiet: bool) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from app.fhir.files import count_files
    from app.loader import Loader

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal) as bar:
        task = bar.add_task("loading", total=count_files(paths))
        await Loader(sink, lambda _: bar.advance(task), report).run(paths)

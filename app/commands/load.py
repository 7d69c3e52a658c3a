"""`csor load`: a progress bar, and at the end what was loaded and what was refused and why."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from app.commands.common import opened, store_options


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@store_options
@click.option("--url", metavar="BASE", help="Load into a running server instead, such as http://localhost:8000/fhir.")
@click.option("--token", envvar="CSOR_TOKEN", help="API token for --url.")
@click.option("--quiet", is_flag=True, help="No progress bar.")
def load(paths: tuple[Path, ...], store_url: str, url: str | None, token: str | None, quiet: bool) -> None:
    """Load resources, Bundles, NDJSON and directories of them (.gz .bz2 .xz too), in the order of their references.

    Exit 1 if anything was refused; everything else is loaded all the same.

    \b
    Examples:
      csor load synthea/
      csor load export/*.ndjson.gz --store sqlite:////srv/csor.db
      csor load patient.json --url http://localhost:8000/fhir --token csor_…
    """
    start = time.perf_counter()
    report = asyncio.run(_into_server(paths, url, token, quiet) if url else _into_store(paths, store_url, quiet))
    seconds = time.perf_counter() - start
    for refusal in report.refusals:
        click.echo(str(refusal), err=True)
    if report.refused > len(report.refusals):
        click.echo(f"… and {report.refused - len(report.refusals)} more.", err=True)
    already = f", {report.already} were there already" if report.already else ""
    rate = (report.loaded + report.already) / seconds if seconds else 0
    click.echo(
        f"{report.loaded} resources loaded{already}, {report.refused} refused, from {report.files} files in {seconds:.1f} s ({rate:,.0f}/s)."
    )
    if report.refused:
        raise SystemExit(1)


async def _into_store(paths: tuple[Path, ...], store_url: str, quiet: bool) -> Any:
    from app.api import Context, routes
    from app.api.inprocess import request
    from app.main import calm_the_collector, hooks
    from app.security.access import Access
    from app.security.identity import Identities

    operator = Access("operator", "national", None)  # whoever can open the store's file may do all

    async with opened(store_url) as store:
        table = routes(Context(store, Identities(store), hooks=hooks(store)))
        calm_the_collector()

        class Local:
            async def post(self, bundle: Callable[[], dict[str, Any]]) -> tuple[int, dict[str, Any]]:
                reply = await request(table, operator, "POST", "", headers=[(b"prefer", b"return=minimal")], body=bundle)
                return reply.status, _decoded(reply.body)

        return await _run(Local(), paths, quiet)


async def _into_server(paths: tuple[Path, ...], url: str, token: str | None, quiet: bool) -> Any:
    import httpx

    from app.fhir import codec
    from app.fhir.errors import Unavailable

    headers = {"content-type": "application/fhir+json", "accept": "application/fhir+json", "prefer": "return=minimal"}
    if token:
        headers["authorization"] = f"Bearer {token}"
    async with httpx.AsyncClient(headers=headers, timeout=600) as client:

        class Remote:
            async def post(self, bundle: Callable[[], dict[str, Any]]) -> tuple[int, dict[str, Any]]:
                try:
                    reply = await client.post(url.rstrip("/"), content=codec.encode(bundle()))
                except httpx.TransportError as error:
                    raise Unavailable(f"{url} does not answer ({type(error).__name__}).") from None
                return reply.status_code, _decoded(reply.content)

        return await _run(Remote(), paths, quiet)


def _decoded(raw: bytes) -> dict[str, Any]:
    from app.fhir import codec
    from app.fhir.errors import Malformed

    try:
        return codec.decode(raw)
    except Malformed:
        return {"issue": [{"severity": "error", "diagnostics": "The server answered something that is not FHIR."}]}


async def _run(sink: Any, paths: tuple[Path, ...], quiet: bool) -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from app.fhir.files import count_files
    from app.loader import Loader

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal) as bar:
        task = bar.add_task("loading", total=count_files(paths))
        return await Loader(sink, lambda _: bar.advance(task)).run(paths)

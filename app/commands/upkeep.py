"""`csor rebuild` and `csor check`: the resources are the truth, everything else can be made again from them."""

import asyncio

import click

from app.commands.common import HALF, opened, run, store_options
from app.store.moving import is_half


@click.command()
@click.argument("types", nargs=-1)
@store_options
def rebuild(types: tuple[str, ...], store_url: str) -> None:
    """Make search index, case facts and measure columns anew from the resources.

    \b
    Examples:
      csor rebuild                      everything
      csor rebuild Patient Observation  the search index of these types alone
    """

    from app.fhir.definitions import r4

    for type in types:
        if type not in r4().resources:
            raise click.UsageError(f"There is no resource type '{type}' in FHIR R4.")

    async def work() -> int:
        async with opened(store_url) as store:
            done = await store.reindex(types)
            click.echo(f"{done} resources indexed anew.")
            if not types:
                await _consumers(store)
            return done

    run(work())


async def _consumers(store: object) -> None:
    """Each consumer of the change feed begins again at the first change and runs until it has caught up."""
    from app.main import consumers

    for consumer in consumers(store):  # type: ignore[arg-type]
        await consumer.rebuild()
        await asyncio.sleep(0)
        await consumer.drain()
        click.echo(f"{consumer.name} rebuilt.")


@click.command()
@store_options
def check(store_url: str) -> None:
    """Compare index, feed and resources, and say whatever does not agree. Exit 1 if anything.

    \b
    Examples:
      csor check
      csor check --store sqlite:////srv/csor.db
    """

    async def work() -> list[str]:
        async with opened(store_url, half=True) as store:
            return [f"The store {HALF}."] * await is_half(store) + await store.check()

    sentences = run(work())
    for sentence in sentences:
        click.echo(sentence)
    click.echo("All agrees." if not sentences else f"{len(sentences)} disagreement(s).")
    if sentences:
        raise SystemExit(1)

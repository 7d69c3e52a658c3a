"""`csor serve`: bind, say where, run until told to stop. Every option is also a `CSOR_…` variable (`app.settings`)."""

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import click

from app.commands.common import opened, read_settings
from app.settings import Settings
from app.store.open import public_url


@click.command()
@click.option("--host", help="Address to listen on. Default 127.0.0.1.")
@click.option("--port", type=int, help="HTTP port; 0 takes a free one. Default 8000.")
@click.option("--mllp-port", type=int, help="HL7v2 port; 0 takes a free one, -1 opens none. Default 2575.")
@click.option(
    "--store",
    metavar="URL",
    help="Store: sqlite:////srv/csor.db or mongodb://host/csor?replicaSet=name. Default: SQLite in the data directory.",
)
@click.option("--data", type=click.Path(file_okay=False, path_type=Path), metavar="DIR", help="Data directory. Default ./data.")
@click.option("--workers", type=int, help="Server processes on one store. Default 1.")
@click.option("--sandbox", is_flag=True, default=None, help="This machine only, no sign-in, any HL7v2 sender.")
def serve(**options: Any) -> None:
    """Run the server: FHIR at /fhir, pages at /, HL7v2 over MLLP.

    Without --sandbox everything is denied until a client or a user is registered. Ctrl-C finishes what is under way and loses nothing.

    \b
    Examples:
      csor serve --sandbox
      csor serve --host 0.0.0.0 --port 8000 --mllp-port 2575 --data /srv/csor --workers 4
      CSOR_STORE=sqlite:////srv/csor.db CSOR_BASE_URL=https://csor.example.org csor serve
    """
    given = {name: value for name, value in options.items() if value is not None}
    settings = read_settings(given)
    _require_files(settings)
    asyncio.run(_prepare(settings))
    http = _bind(settings.host, settings.port)
    mllp = _reserve(settings.host, settings.mllp_port) if settings.mllp_port >= 0 else None
    bound = {"port": http.getsockname()[1], "mllp_port": mllp.getsockname()[1] if mllp else settings.mllp_port}
    settings = settings.model_copy(update=bound)
    for name, value in (given | bound).items():  # workers are new processes, and read their settings where we did
        os.environ[f"CSOR_{name.upper()}"] = str(value)
    _announce(settings)
    try:
        _run(settings, http)
    except KeyboardInterrupt:
        pass
    finally:
        for held in (http, mllp):
            if held is not None:
                held.close()
    click.echo("Stopped. Everything that was acknowledged is stored.")


def _require_files(settings: Settings) -> None:
    """Loads once here what every worker will: one that cannot start would be started again for ever. Raises FHIRError with a sentence."""
    from app.fhir.packages import load
    from app.intake.hl7v2.listener import tls_context

    if settings.mllp_port >= 0 and settings.mllp_certificate and settings.mllp_key:
        tls_context(settings.mllp_certificate, settings.mllp_key, settings.mllp_client_authorities)
    for path in settings.package_paths:
        load(path)


async def _prepare(settings: Settings) -> None:
    """Opens the store once before any worker does: it is made or migrated here, or refused with a sentence."""
    from app.security.identity import Identities

    async with opened(settings.store_url, create=True) as store:
        identities = Identities(store)
        if not settings.sandbox and not await identities.clients() and not await identities.users():
            click.echo(
                "Nobody is registered yet, so everything is denied. `csor client add --help` and `csor user add --help` tell how."
            )


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise click.ClickException(f"Cannot listen on {host}:{port}: {error.strerror}.") from None
    bound.listen(1024)  # who comes early waits instead of being refused
    bound.set_inheritable(True)
    return bound


def _reserve(host: str, port: int) -> socket.socket:
    """Holds a port that all our workers then listen on (SO_REUSEPORT).

    Raises ClickException where another server listens: the system would deal each new connection to one of the two, in silence.
    """
    if port:
        _bind(host, port).close()
    held = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    held.bind((host, port))
    return held


def _announce(settings: Settings) -> None:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    root = settings.base_url or f"http://{host}:{settings.port}"
    if settings.sandbox:
        click.echo("SANDBOX: no sign-in, whoever asks is a national administrator. This machine only. No real child's data.")
    click.echo(f"FHIR base   {root}/fhir")
    click.echo(f"Pages       {root}/")
    if settings.mllp_port >= 0:
        click.echo(f"HL7v2 MLLP  {host}:{settings.mllp_port}")
    click.echo(f"Store       {public_url(settings.store_url)}")
    click.echo("Ctrl-C stops it.")
    sys.stdout.flush()


def _run(settings: Settings, http: socket.socket) -> None:
    import uvicorn
    from uvicorn.supervisors import Multiprocess

    config = uvicorn.Config(
        "app.main:create",
        factory=True,
        workers=settings.workers,
        access_log=False,
        log_level="error",
        server_header=False,
        proxy_headers=False,
        ws="none",
        lifespan="on",
        timeout_keep_alive=30,
        timeout_graceful_shutdown=20,
    )
    server = uvicorn.Server(config)
    if settings.workers > 1:
        Multiprocess(config, [http]).run()
        return
    # uvicorn stops on SIGTERM and then raises it again: that must not look like a crash to whoever supervises us
    signal.signal(signal.SIGTERM, lambda *_: None)
    server.run(sockets=[http])
    if not server.started:
        raise click.ClickException("The server could not start: the lines above say why.")

"""`csor health`: what a container engine asks every few seconds, so it needs nothing but the standard library and no other program."""

from http.client import HTTPConnection, HTTPException

import click

from app.commands.common import read_settings

SECONDS = 8.0  # more than the server takes to say that its store does not answer


@click.command()
def health() -> None:
    """Ask the server on this machine (CSOR_HOST, CSOR_PORT) whether it can work. Exit code 1 if it cannot.

    \b
    Examples:
      csor health
      CSOR_PORT=8080 csor health
    """
    settings = read_settings({})
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104 - listening on all is asked on one
    connection = HTTPConnection(host, settings.port, timeout=SECONDS)
    try:
        connection.request("GET", "/health/ready", headers={"host": "localhost"})
        status = connection.getresponse().status
    except (OSError, HTTPException):
        raise click.ClickException(f"No server answers on {host}:{settings.port}.") from None
    finally:
        connection.close()
    if status != 200:
        raise click.ClickException(f"The server on {host}:{settings.port} runs and its store does not answer.")
    click.echo("Ready.")

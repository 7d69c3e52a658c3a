"""`csor client` and `csor user`: who may come in."""

from collections.abc import Sequence
from typing import Any

import click

from app.commands.common import opened, run, store_options

_ROLE = click.option(
    "--role", required=True, type=click.Choice(["national", "hospital", "vendor", "parent"]), help="What they may do."
)
_HOSPITAL = click.option("--hospital", "hospitals", multiple=True, metavar="ODS", help="ODS code; repeat for more than one.")


@click.group()
def client() -> None:
    """API clients: software that signs in with a token.

    \b
    Examples:
      csor client add "Trust EPR" --role vendor --hospital RXX
      csor client add "National audit" --role national --scopes "system/*.rs"
      csor client list
      csor client revoke 06eb3kq2
    """


@client.command("add")
@click.argument("name")
@_ROLE
@_HOSPITAL
@click.option("--scopes", default="", help="SMART v2 scopes, space-separated. Default: all that the role allows.")
@store_options
def client_add(name: str, role: str, hospitals: Sequence[str], scopes: str, store_url: str) -> None:
    """Register a client and print its token, once: it is not kept."""

    async def work() -> str:
        from app.security.identity import Identities

        async with opened(store_url, create=True) as store:
            return await Identities(store).register_client(name, role, hospitals, scopes)

    click.echo(run(work()))
    click.echo("Keep this token: it cannot be shown again.", err=True)


@client.command("list")
@store_options
def client_list(store_url: str) -> None:
    """Every client, revoked ones too; no tokens."""
    _print(run(_all(store_url, "clients")))


@client.command("revoke")
@click.argument("id")
@store_options
def client_revoke(id: str, store_url: str) -> None:
    """Make a client's token worthless, within a second everywhere."""
    run(_revoke(store_url, "revoke_client", id))
    click.echo(f"Revoked {id}.")


@click.group()
def user() -> None:
    """Staff users: people who sign in to the pages.

    \b
    Examples:
      csor user add audit.lead --role hospital --hospital RXX        (asks for the password)
      csor user list
    """


@user.command("add")
@click.argument("username")
@_ROLE
@_HOSPITAL
@click.option("--name", default="", help="Shown in the page's header.")
@click.option(
    "--password", envvar="CSOR_PASSWORD", prompt=True, hide_input=True, confirmation_prompt=True, help="Better left out: it asks."
)
@store_options
def user_add(username: str, role: str, hospitals: Sequence[str], name: str, password: str, store_url: str) -> None:
    """Register a staff user and print the user's id."""

    async def work() -> str:
        from app.security.identity import Identities

        async with opened(store_url, create=True) as store:
            return await Identities(store).register_user(username, password, role, hospitals, name)

    click.echo(run(work()))


@user.command("list")
@store_options
def user_list(store_url: str) -> None:
    """Every user; no passwords."""
    _print(run(_all(store_url, "users")))


@user.command("revoke")
@click.argument("id")
@store_options
def user_revoke(id: str, store_url: str) -> None:
    """Shut a user out and end the user's sessions."""
    run(_revoke(store_url, "revoke_user", id))
    click.echo(f"Revoked {id}.")


async def _all(store_url: str, method: str) -> list[Any]:
    from app.security.identity import Identities

    async with opened(store_url) as store:
        found: list[Any] = await getattr(Identities(store), method)()
        return found


async def _revoke(store_url: str, method: str, id: str) -> None:
    from app.security.identity import Identities

    async with opened(store_url) as store:
        await getattr(Identities(store), method)(id)


def _print(identities: list[Any]) -> None:
    for identity in identities:
        hospitals = ",".join(identity.hospitals) or "all"
        click.echo(
            f"{identity.id}  {identity.state:8}  {identity.role:8}  {hospitals:12}  {identity.name}  {' '.join(identity.scopes)}".rstrip()
        )
    if not identities:
        click.echo("None.")

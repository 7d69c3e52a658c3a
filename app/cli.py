"""`csor`: one command with everything in it. Errors are one sentence and an exit code, never a traceback.

Every command imports what it needs when it runs, so that `csor --help` is quick.
"""

import sys
from importlib import import_module
from typing import Any

import click

# command: (module, attribute, the line in `csor --help`)
COMMANDS = {
    "serve": ("app.commands.serve", "serve", "Run the server: FHIR, pages, HL7v2."),
    "health": ("app.commands.health", "health", "Ask the server on this machine whether it can work."),
    "demo": ("app.demo.cli", "demo", "Play a simulated nation through the front doors."),
    "load": ("app.commands.load", "load", "Load FHIR files into a store or a server."),
    "validate": ("app.commands.validate", "validate", "Check FHIR files against R4."),
    "fhirpath": ("app.commands.fhirpath", "fhirpath", "Evaluate a FHIRPath expression."),
    "hl7": ("app.commands.hl7", "hl7", "HL7v2 messages: lint, send, errors, replay, senders."),
    "hes": ("app.commands.hes", "hes", "Hospital episode statistics: import, deaths, errors."),
    "measure": ("app.commands.measure", "measure", "Measures: run for every hospital; fit models and weights."),
    "client": ("app.commands.identities", "client", "API clients and their tokens."),
    "user": ("app.commands.identities", "user", "Staff users."),
    "rebuild": ("app.commands.upkeep", "rebuild", "Make everything derived anew from the resources."),
    "copy": ("app.commands.copy", "copy", "Copy a store into another, compared at the end."),
    "backup": ("app.commands.backup", "backup", "Keep the store in a file, while it is in use."),
    "restore": ("app.commands.copy", "restore", "Bring a backup back into an empty store."),
    "check": ("app.commands.upkeep", "check", "Say whatever in the store does not agree."),
}


class Lazy(click.Group):
    """Loads a command's module when the command is named."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, _, line) in COMMANDS.items()])


@click.group(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="csor")
def cli() -> None:
    """A FHIR R4 server for Children's Surgery Outcome Reporting.

    \b
    Examples:
      csor serve --sandbox                        a server to try things on, on this machine alone
      csor load data/synthea                      files, bundles, directories; .gz .bz2 .xz too
      csor validate patient.json --summary        1 valid, 0 invalid
      csor fhirpath 'name.given' patient.json     ["Anna"]
      csor client add "Trust EPR" --role vendor --hospital RXX
    """


def main(arguments: list[str] | None = None) -> Any:
    """The entry point. Exit codes: 0 done, 1 something was refused, 2 the command was not understood, 130 interrupted."""
    from app.fhir.errors import FHIRError

    try:
        return cli.main(arguments, prog_name="csor", standalone_mode=False)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted.", err=True)
        sys.exit(130)
    except FHIRError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output has gone; nothing left to tell
        sys.exit(141)
    except OSError as error:
        click.echo(f"Error: {error.strerror or error}{f' ({error.filename})' if error.filename else ''}.", err=True)
        sys.exit(1)
    except Exception as error:
        import os

        if os.environ.get("CSOR_TRACEBACK"):
            raise
        click.echo(
            f"Error: something unexpected went wrong here ({type(error).__name__}). CSOR_TRACEBACK=1 shows where.", err=True
        )
        sys.exit(70)


if __name__ == "__main__":
    main()

"""`csor fhirpath`: one expression on a file, or a stream of both."""

import sys
from pathlib import Path
from typing import Any

import click


@click.command()
@click.argument("expression", required=False)
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))
@click.option("--ndjson", is_flag=True, help='Read lines {"expression": …, "resource": …} and answer each with a line.')
def fhirpath(expression: str | None, file: Path | None, ndjson: bool) -> None:
    """Evaluate a FHIRPath expression on a resource and print the result as JSON.

    \b
    Examples:
      csor fhirpath 'name.given' patient.json
      csor fhirpath "telecom.where(system = 'phone').exists()" patient.json
      csor fhirpath --ndjson < questions.ndjson      answers {"result": […]} or {"error": "…"} for each line
    """
    if ndjson:
        _stream()
        return
    if expression is None or file is None:
        raise click.UsageError("An expression and a file are needed; or --ndjson and lines on standard input.")
    from app.fhir.errors import Malformed
    from app.fhir.files import read_resources

    item = next(iter(read_resources([file])), None)
    if item is None:
        raise Malformed(f"{file} has no resource.")
    click.echo(_dumped(_evaluate(expression, item.decode())))


def _evaluate(expression: str, resource: dict[str, Any]) -> list[Any]:
    from app.fhir.fhirpath import compile

    return compile(expression).evaluate(resource)


def _dumped(value: Any) -> str:
    from app.fhir import codec

    return codec.encode(value).decode()


def _stream() -> None:
    from app.fhir import codec
    from app.fhir.errors import FHIRError

    for line in sys.stdin.buffer:
        if not line.strip():
            continue
        try:
            asked = codec.decode(line)
            if not isinstance(asked.get("expression"), str):
                raise FHIRError('a line needs "expression", a string, and "resource", an object')
            answer: dict[str, Any] = {"result": _evaluate(asked["expression"], asked.get("resource") or {})}
        except FHIRError as error:
            answer = {"error": str(error)}
        except (RecursionError, ArithmeticError, ValueError, TypeError) as error:  # a line must not end the stream
            answer = {"error": f"the expression cannot be evaluated ({type(error).__name__})"}
        click.echo(_dumped(answer))

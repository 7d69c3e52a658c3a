"""`csor validate`: files against the structure of R4, every issue with its place."""

from pathlib import Path

import click


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--summary", is_flag=True, help="Only the closing line: N valid, N invalid.")
def validate(files: tuple[Path, ...], summary: bool) -> None:
    """Check resources, Bundles, NDJSON and directories of them; .gz .bz2 .xz too. Exit 1 if anything is invalid.

    \b
    Examples:
      csor validate patient.json
      csor validate export/*.ndjson.gz --summary
    """
    from app.fhir.errors import FHIRError
    from app.fhir.files import read_resources
    from app.fhir.validation import validate as judge

    valid = invalid = 0
    for item in read_resources(files):
        try:
            issues = [issue for issue in judge(item.decode()) if issue.severity in ("error", "fatal")]
        except FHIRError as error:
            issues = list(error.issues)
        if not issues:
            valid += 1
            continue
        invalid += 1
        if not summary:
            for issue in issues:
                click.echo(f"{item.where}: {issue}")
    click.echo(f"{valid} valid, {invalid} invalid")
    if invalid:
        raise SystemExit(1)

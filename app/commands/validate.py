"""`csor validate`: files against R4 and against profiles, every issue with its place."""

from pathlib import Path

import click


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--profile", "profiles", multiple=True, metavar="URL", help="A profile that every resource must conform to; may be repeated."
)
@click.option(
    "--package",
    "packages",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A FHIR package (.tgz), or a directory of profiles, code systems and value sets; may be repeated.",
)
@click.option(
    "--structure-only", is_flag=True, help="The quick one: no invariants, extensible bindings, extensions and profiles."
)
@click.option("--warnings", is_flag=True, help="Print warnings too; they make nothing invalid.")
@click.option("--must-support", is_flag=True, help="Print which elements that a profile wants supported are absent.")
@click.option("--summary", is_flag=True, help="Only the closing line: N valid, N invalid.")
def validate(
    files: tuple[Path, ...],
    profiles: tuple[str, ...],
    packages: tuple[Path, ...],
    structure_only: bool,
    warnings: bool,
    must_support: bool,
    summary: bool,
) -> None:
    """Check resources, Bundles, NDJSON and directories of them; .gz .bz2 .xz too. Exit 1 if anything is invalid.

    \b
    Examples:
      csor validate patient.json
      csor validate export/*.ndjson.gz --summary
      csor validate patient.json --package uk-core.tgz --profile https://fhir.hl7.org.uk/StructureDefinition/UKCore-Patient
    """
    from app.fhir.errors import FHIRError
    from app.fhir.files import read_resources
    from app.fhir.validation import Structure, Validator

    if structure_only and (profiles or packages or must_support):
        raise click.UsageError("--structure-only looks at no profile or package: leave one or the other out.")
    judge: Structure | Validator
    if structure_only:
        judge = Structure()
    else:
        judge = Validator(packages=packages, must_support=must_support)
        for problem in judge.problems:
            click.echo(problem, err=True)
    shown = {"error", "fatal", *(["warning"] if warnings else []), *(["information"] if must_support else [])}
    valid = invalid = 0
    for item in read_resources(files):
        try:
            issues = judge.validate(item.decode()) if isinstance(judge, Structure) else judge.validate(item.decode(), profiles)
        except FHIRError as error:
            issues = list(error.issues)
        is_invalid = any(issue.severity in ("error", "fatal") for issue in issues)
        valid, invalid = valid + (not is_invalid), invalid + is_invalid
        for issue in [] if summary else issues:
            if issue.severity in shown:
                grade = "" if issue.severity in ("error", "fatal") else f"{issue.severity}: "
                click.echo(f"{item.where}: {grade}{issue}")
    click.echo(f"{valid} valid, {invalid} invalid")
    if invalid:
        raise SystemExit(1)

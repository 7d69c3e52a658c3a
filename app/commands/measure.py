"""`csor measure`: fit the case-mix models, run the measures, fit weights from a choice experiment, look into an artefact."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.table import Table

from app import clock
from app.commands.common import on_store, store_options
from app.fhir import codec
from app.fhir.errors import Conflict, FHIRError, PreconditionFailed
from app.measures import artefacts, export, publishing
from app.measures.definition import shipped_ids
from app.measures.evaluate import resolve
from app.measures.fitting import ALWAYS, fit_all
from app.measures.fitting import fit as fit_one
from app.measures.period import Period
from app.measures.period import period as parse_period
from app.measures.table import Row, hospital_table
from app.outcomes import artefact, choice_experiment
from app.outcomes.case_mix import Model, library_id
from app.outcomes.weights import ATTRIBUTES, in_force
from app.registry.consumer import CaseFactsConsumer
from app.security.access import PUBLIC, SYSTEM
from app.store.protocol import Store

LEAST_SLOPE = 0.5  # of calibration, cross-validated: below it a model is mostly noise


def _measure_option(command: Any) -> Any:
    return click.option("--measure", default="treatment-success", show_default=True, help=f"One of {', '.join(shipped_ids())}.")(
        command
    )


@click.group()
def measure() -> None:
    """Measures of outcome: expected against observed for each hospital.

    \b
    Examples:
      csor measure fit
      csor measure run --period 2022-01-01 2024-12-31
      csor measure run --measure infection --period 2024 2024 --csv infection.csv
      csor measure fit-weights choices.csv
    """


@measure.command()
@click.option("--measure", default="", help="Only this measure; without it all that ship.")
@click.option("--period", "span", nargs=2, default=None, help="First and last day of first operation; without it all cases.")
@store_options
def fit(measure: str, span: tuple[str, str] | None, store_url: str) -> None:
    """Fit the case-mix models on all cases with a known outcome, and put them in force.

    \b
    Examples:
      csor measure fit
      csor measure fit --measure infection --period 2022 2024
    """

    async def work(store: Store) -> None:
        await artefacts.install(store)
        over = parse_period(*span) if span else ALWAYS
        models, refused = ([await fit_one(store, measure, over)], {}) if measure else await fit_all(store, over)
        if models:
            _print_models(models)
        for name, reason in refused.items():
            click.echo(f"{name}: {reason}", err=True)
        if not models:
            raise click.ClickException("No model could be fitted.")

    _run(work, store_url)


@measure.command()
@_measure_option
@click.option(
    "--period", "span", nargs=2, required=True, help="First and last day of first operation: 2022-01-01 2024-12-31, or 2022 2024."
)
@click.option(
    "--csv", "path", type=click.Path(dir_okay=False, path_type=Path), help="Also write the figures as CSV, by condition too."
)
@click.option("--published", is_flag=True, help="Leave out small numbers, as everyone but the hospital itself sees it.")
@click.option("--keep", is_flag=True, help="Store a MeasureReport for each hospital: one as published, one for itself.")
@store_options
def run(measure: str, span: tuple[str, str], path: Path | None, published: bool, keep: bool, store_url: str) -> None:
    """Evaluate a measure for every hospital and print the table. Hospitals stand by code: this is no ranking.

    \b
    Examples:
      csor measure run --period 2022-01-01 2024-12-31
      csor measure run --measure survival-to-one-year --period 2023 2023 --published --csv survival.csv
    """

    async def work(store: Store) -> None:
        period = parse_period(*span)
        definition = await resolve(store, SYSTEM, measure)
        rows = await hospital_table(store, PUBLIC if published else SYSTEM, measure, period)
        Console().print(table_of(rows, f"{definition.title}, first operations {period.text}"))
        if path is not None:
            _write_csv(path, rows, definition.canonical, period)
        if keep:
            await artefacts.install(store)
            click.echo(f"{await publishing.publish(store, measure, period)} reports are new, changed or deleted.")

    _run(work, store_url)


@measure.command("fit-weights")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def fit_weights(file: Path) -> None:
    """Fit weights to the choices in a CSV file (conditional logit, errors clustered by respondent).

    \b
    Columns: respondent, task, alternative, chosen, the seven attributes as levels from 0 (best), palliation (0 or 1).
    Example:
      csor measure fit-weights choices.csv
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            choices = choice_experiment.read(lines)
        found = choice_experiment.fit(choices)
    except FHIRError as error:
        raise click.ClickException("; ".join(str(issue) for issue in error.issues)) from None
    table = Table(
        "attribute", "level", "weight", "standard error", title=f"{found.respondents} respondents, {found.tasks} questions"
    )
    names = [(code, str(level)) for code, top in zip(ATTRIBUTES, choices.levels, strict=True) for level in range(1, top + 1)]
    for (code, level), beta, variance in zip([*names, ("palliation", "")], found.betas, found.covariance.diagonal(), strict=True):
        table.add_row(code, level, f"{beta:.3f}", f"{variance**0.5:.3f}")
    Console().print(table)
    explained = 1 - found.log_likelihood / found.null_log_likelihood
    click.echo(f"Log-likelihood {found.log_likelihood:.1f}; McFadden's R² {explained:.3f}.")


@measure.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def unpack(file: Path) -> None:
    """Print the JSON document inside a Library file, for people to read and change.

    \b
    Example:
      csor measure unpack profiles/libraries/treatment-success-demonstration.json > weights.json
    """
    _guarded(lambda: click.echo(msgspec.json.format(msgspec.json.encode(artefact.document(codec.decode(file.read_bytes()))))))


@measure.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("document", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def pack(file: Path, document: Path) -> None:
    """Print the Library FILE with DOCUMENT inside it. Give it a new version before you use it.

    \b
    Example:
      csor measure pack profiles/libraries/treatment-success-demonstration.json weights.json > own.json
    """

    def work() -> None:
        packed = artefact.packed(codec.decode(file.read_bytes()), msgspec.json.decode(document.read_bytes()))
        sys.stdout.buffer.write(msgspec.json.format(codec.encode(packed), indent=2) + b"\n")

    _guarded(work)


def table_of(rows: list[Row], title: str) -> Table:
    """The rows as a table for the terminal, with what its figures were made of."""
    models = sorted({row.model for row in rows if row.model}) or ["none fitted"]
    table = Table(title=title, caption=f"{in_force().label}: {in_force().canonical}. Case-mix model: {', '.join(models)}.")
    for heading in ("hospital", "name", "cases", "known", "observed", "expected", "ratio", "95 % interval", "band"):
        table.add_column(heading, justify="left" if heading in ("hospital", "name", "band") else "right")
    for row in rows:
        interval = f"{row.low:.2f} to {row.high:.2f}" if row.low is not None and row.high is not None else ""
        hidden = "*" if row.suppressed else ""
        counts = [hidden if count is None else str(count) for count in (row.cases, row.known, row.observed)]
        expected, ratio = (
            f"{row.expected:.1f}" if row.expected is not None else hidden,
            f"{row.ratio:.2f}" if row.ratio is not None else hidden,
        )
        table.add_row(row.hospital, row.name, *counts, expected, ratio, interval or hidden, row.band)
    return table


def _print_models(models: list[Model]) -> None:
    table = Table("version", "cases", "events", "AUC", "slope", "Brier", "model", title="Cross-validated performance")
    for model in models:
        told = model.cross_validated
        figures = [f"{figure:.3f}" if figure is not None else "" for figure in (told.auc, told.slope, told.brier)]
        table.add_row(model.version, str(model.cases), str(model.events), *figures, library_id(model.outcome))
    Console().print(table)
    for model in models:
        if (model.cross_validated.slope or 0.0) < LEAST_SLOPE:
            click.echo(
                f"{library_id(model.outcome)} hardly tells children apart yet (slope below {LEAST_SLOPE}): "
                "its expected values are little more than the overall rate.",
                err=True,
            )


def _write_csv(path: Path, rows: list[Row], measure: str, period: Period) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        lines = export.write(file, rows, measure, period, clock.today().isoformat())
    beside = path.with_name(f"{path.name}-metadata.json")
    beside.write_bytes(msgspec.json.format(msgspec.json.encode(export.metadata(path.name)), indent=2))
    click.echo(f"{lines} lines in {path}, described in {beside.name}.")


def _guarded(work: Callable[[], Any]) -> None:
    try:
        work()
    except FHIRError as error:
        raise click.ClickException("; ".join(str(issue) for issue in error.issues)) from None
    except (msgspec.DecodeError, OSError) as error:
        raise click.ClickException(str(error)) from None


async def _caught_up(store: Store) -> None:
    """Case facts up to the last change: made here where no server runs, else by whoever is quicker."""
    facts, head = CaseFactsConsumer(store), await store.feed_head()
    while await facts.position() < head:
        try:
            await facts.drain()
        except (Conflict, PreconditionFailed):
            await asyncio.sleep(0.2)


def _run(work: Callable[[Store], Awaitable[None]], url: str) -> None:
    """On a store that is there, with the case facts caught up."""

    async def caught_up_first(store: Store) -> None:
        await _caught_up(store)
        await work(store)

    _guarded(lambda: on_store(url, caught_up_first))

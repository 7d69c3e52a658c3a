"""`$evaluate-measure`: a Measure over a period, as a MeasureReport.

Cases belong to the period by the day of their first operation. What must stay true: a hospital is compared with what was expected for its own children;
nobody but the hospital itself sees its small numbers; nobody sees a child whose records they may not see.
"""

from datetime import date
from typing import Any, Literal

import numpy as np

from app.fhir.errors import BadRequest, NotFound
from app.measures import artefacts, report, subjects, viewer
from app.measures.columns import shelf
from app.measures.definition import Definition, define, shipped, shipped_ids
from app.measures.period import Period, period
from app.measures.rules import rules
from app.measures.tally import Cell, Tally, tally
from app.outcomes import case_mix
from app.security.access import SYSTEM, Access
from app.store.protocol import Store

ReportType = Literal["population", "subject", "subject-list"]


async def evaluate(
    store: Store,
    access: Access,
    measure: str,
    period_start: str | date,
    period_end: str | date,
    *,
    reporter: str | None = None,
    report_type: ReportType = "population",
    subject: str | None = None,
) -> dict[str, Any]:
    """One MeasureReport.

    `measure` is an id or a canonical (with or without version); `reporter` an ODS code or `Organization/<id>`, None for all hospitals together;
    `subject` a `Patient/<id>`, needed for report type `subject`. Raises NotFound, BadRequest, NotSupported, Forbidden.
    """
    viewer.must_be_staff(access)
    span = period(period_start, period_end)
    counted = await count(store, access, measure, span)
    hospital = None if reporter is None else _hospital(counted, reporter)
    if report_type == "subject" or (report_type == "population" and subject is not None):
        return subjects.individual(counted, span, access, subject)
    if report_type == "subject-list":
        return subjects.listing(counted, span, access, hospital)
    if report_type != "population":
        raise BadRequest(f"reportType is subject, subject-list or population, not '{report_type}'.")
    return summarise(counted, span, access, hospital)


async def evaluate_hospitals(
    store: Store, access: Access, measure: str, period_start: str | date, period_end: str | date
) -> list[dict[str, Any]]:
    """A summary for each hospital that has cases in the period, by ODS code, as `access` may see them."""
    span = period(period_start, period_end)
    counted = await count(store, access, measure, span)
    return [summarise(counted, span, access, number) for number in counted.reporting()]


async def count(store: Store, access: Access, measure: str, span: Period) -> Tally:
    """A measure counted over a period, with the model in force. For the reports and tables of this room: it holds every hospital's cases."""
    definition = await resolve(store, access, measure)
    cupboard = shelf(store)
    columns = await cupboard.columns()
    flags = await cupboard.flags(definition, columns)
    model = None
    if definition.adjusted:
        model = await artefacts.current_model(store, SYSTEM, case_mix.library_id(definition.canonical))
    if model is not None and model.specification != case_mix.demonstration():
        model = None  # fitted on other factors than those declared now: it cannot be applied
    visible = None
    if not definition.own:  # or a criterion of one's own could single out another hospital's child
        visible = np.array([viewer.sees_child(access, facts) for facts in columns.facts], dtype=bool)
    return tally(columns, flags, definition, span, model, rules(), visible)


async def resolve(store: Store, access: Access, measure: str) -> Definition:
    """A measure by id or canonical: what ships first, then what the store holds. Raises NotFound, NotSupported."""
    name, _, version = measure.partition("|")
    id = name.removeprefix("Measure/").rsplit("/", 1)[-1]
    if id in shipped_ids() and (found := shipped(id)) and _matches(found, name, version):
        return found
    resource = await artefacts.measure_resource(store, access, id)
    if resource is not None and _matches(definition := define(resource), name, version):
        return definition
    raise NotFound(f"There is no measure '{measure[:120]}'. There is: {', '.join(shipped_ids())}.")


def _matches(definition: Definition, name: str, version: str) -> bool:
    url, _, current = definition.canonical.partition("|")
    return (name in (url, definition.id, f"Measure/{definition.id}")) and version in ("", current)


def _hospital(counted: Tally, reporter: str) -> int:
    wanted = reporter.removeprefix("Organization/").lower()
    for number, ods in enumerate(counted.columns.hospitals):
        if ods and ods.lower() == wanted:
            return number
    raise NotFound(f"No hospital '{reporter[:64]}' has cases.")


def summarise(counted: Tally, span: Period, access: Access, hospital: int | None) -> dict[str, Any]:
    """The summary report of a hospital by number, or of all together."""
    ods = None if hospital is None else counted.columns.hospitals[hospital]
    whole, strata = cells(counted, access, hospital)
    return report.summary(counted, span, whole, strata, hospital=ods)


def cells(counted: Tally, access: Access, hospital: int | None) -> tuple[Cell, list[Cell]]:
    """A hospital as a whole and by stratum, with small numbers marked for this viewer. Strata without a case are left out."""
    own = access.everything if hospital is None else viewer.sees_small_numbers(access, counted.columns.hospitals[hospital])
    strata = [counted.cell(hospital, column, own=own) for column in range(1, len(counted.strata) + 1)]
    return counted.cell(hospital, own=own), [cell for cell in strata if cell.counts["initial-population"]]

"""Reports that stay: for each hospital one as published, readable by all who are signed in, and one with its small numbers for itself alone."""

from typing import Any

from app.fhir.errors import Gone, NotFound
from app.ids import derived_id
from app.measures import viewer
from app.measures.evaluate import count, summarise
from app.measures.period import Period
from app.measures.period import period as span
from app.security.access import PUBLIC, SHARED, SYSTEM, Access
from app.store.protocol import Put, Store, Stored

RESTRICTED = {  # national staff can read it, as they can the children's records: it tells them not to pass it on
    "system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality",
    "code": "R",
    "display": "restricted",
}


async def publish(store: Store, measure: str, period: Period) -> int:
    """Store all reports of a measure and period, and that of all hospitals together. Running it again adds no version where no figure changed.

    The number of reports that are new or changed.
    """
    counted = await count(store, SYSTEM, measure, period)
    changed = int((await keep(store, summarise(counted, period, PUBLIC, None), SHARED))[1])
    for number in counted.reporting():
        for access, owner in ((PUBLIC, SHARED), (SYSTEM, counted.columns.hospitals[number])):
            changed += (await keep(store, summarise(counted, period, access, number), owner))[1]
    return changed


async def keep(store: Store, report: dict[str, Any], owner: str) -> tuple[Stored, bool]:
    """Store one summary report under an id that the same question finds again; False where the stored one says the same already."""
    reporter = report.get("reporter", {}).get("reference", "all")
    id = report_id(report["measure"], span(report["period"]["start"], report["period"]["end"]), reporter, owner)
    report = {**report, "id": id}
    if owner != SHARED:
        report["meta"] = {"security": [RESTRICTED]}
    try:
        before = await store.read(SYSTEM, "MeasureReport", id)
        if _said(before.resource) == _said(report):
            return before, False
    except (NotFound, Gone):
        pass
    (stored,) = await store.commit(SYSTEM, [Put(report, owners=frozenset({owner}))])
    assert stored is not None
    return stored, True


def report_id(measure: str, period: Period, reporter: str, owner: str) -> str:
    """The id of a stored report: of a measure (`url|version`), of a `reporter` ("all", or the reference of a hospital), for an owner."""
    return derived_id("MeasureReport", measure, period.start.isoformat(), period.end.isoformat(), reporter, owner)


def _said(report: dict[str, Any]) -> dict[str, Any]:
    """The report without when it was made."""
    return {key: value for key, value in _plain(report).items() if key not in ("date", "meta")}


def _plain(value: Any) -> Any:
    """Numbers that were written differently (float, Decimal) made alike."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value if isinstance(value, bool | str | int) or value is None else float(value)


def owner_for(access: Access, report: dict[str, Any]) -> str:
    """Whose a summary is that a caller asked to keep: the hospital's own where it may show small numbers, else everyone's."""
    ods = report["reporter"].get("identifier", {}).get("value")
    return str(ods) if ods is not None and viewer.sees_small_numbers(access, ods) else SHARED

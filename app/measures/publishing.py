"""Reports that stay: for each hospital one as published, readable by all who are signed in, and one with its small numbers for itself alone.

What must stay true: only `publish` makes what everyone reads, and makes it as the public may see it; what a caller keeps is the caller's.
"""

from collections.abc import Set
from typing import Any

from app.fhir.errors import NotSupported
from app.fhir.search.query import parse
from app.ids import derived_id
from app.measures import viewer
from app.measures.evaluate import count, summarise
from app.measures.period import Period
from app.measures.period import period as span
from app.security.access import PUBLIC, SHARED, SYSTEM, Access
from app.store.paging import every
from app.store.protocol import Delete, Put, Store, Stored

RESTRICTED = {  # national staff can read it, as they can the children's records: it tells them not to pass it on
    "system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality",
    "code": "R",
    "display": "restricted",
}
KEPT = "kept for "  # before the owners, in the mark of what callers keep


async def publish(store: Store, measure: str, period: Period) -> int:
    """Store all reports of a measure and period in one commit. Running it again adds no version where no figure changed.

    Those of hospitals that have no case in the period any more are deleted: their children are counted elsewhere now. That of all hospitals together is
    new whenever another is: its date is the publication's. The number of reports that are new, changed or deleted.
    Raises NotSupported for a measure that does not come with the program, VersionConflict where another publishes the same meanwhile.
    """
    counted = await count(store, SYSTEM, measure, period)
    if not counted.definition.own:
        raise NotSupported("Only measures that come with the program can be published.")
    whole = _put(summarise(counted, period, PUBLIC, None), {SHARED})
    puts = []
    for number in counted.reporting():
        for access, owner in ((PUBLIC, SHARED), (SYSTEM, counted.columns.hospitals[number])):
            puts.append(_put(summarise(counted, period, access, number), {owner}))
    stored = {each.reference: each for each in await store.read_many(SYSTEM, [_reference(put) for put in (whole, *puts)])}
    before = stored.get(_reference(whole))
    writes: list[Put | Delete] = [put for put in puts if not _same(stored.get(_reference(put)), put)]
    writes += await _left_over(store, whole.resource["measure"], period, {_reference(put) for put in (whole, *puts)})
    if not writes and _same(before, whole):
        return 0
    whole.if_version = before.version if before else 0
    await store.commit(SYSTEM, [whole, *writes])
    return 1 + len(writes)


async def keep(store: Store, access: Access, report: dict[str, Any]) -> Stored:
    """Store a summary that a caller asked for, under an id that the same question finds again: for the caller alone, apart from what is published.

    The hospital's own where it may show small numbers, else all the caller's hospitals'; a national body's is for national bodies.
    """
    ods = report["reporter"].get("identifier", {}).get("value")
    alone = ods is not None and viewer.sees_small_numbers(access, ods)
    put = _put(report, {str(ods)} if alone else access.stamp(), KEPT)
    for before in await store.read_many(SYSTEM, [_reference(put)]):
        if _same(before, put):
            return before
    (stored,) = await store.commit(SYSTEM, [put])
    assert stored is not None
    return stored


async def _left_over(store: Store, measure: str, period: Period, now: Set[str]) -> list[Delete]:
    """What was published of this measure and period before, and is not among `now` (`Type/id`)."""
    found = []
    async for stored in every(store, SYSTEM, parse("MeasureReport", [("measure", measure), ("_count", "500")])):
        if stored.reference not in now:
            reporter = stored.resource.get("reporter", {}).get("reference", "all")
            if stored.id in [report_id(measure, period, reporter, owner) for owner in stored.owners]:
                found.append(Delete(stored.type, stored.id))
    return found


def report_id(measure: str, period: Period, reporter: str, mark: str) -> str:
    """The id of a stored report: of a measure (`url|version`), of a `reporter` ("all", or the reference of a hospital).

    `mark` is the owner of a published one, and other for what callers keep.
    """
    return derived_id("MeasureReport", measure, period.start.isoformat(), period.end.isoformat(), reporter, mark)


def _put(report: dict[str, Any], owners: Set[str], prefix: str = "") -> Put:
    """A summary as it is stored. Its id tells for whom: what two readers may see differently never shares a history."""
    reporter = report["reporter"].get("reference", "all")
    period = span(report["period"]["start"], report["period"]["end"])
    id = report_id(report["measure"], period, reporter, prefix + " ".join(sorted(owners)))
    label = {} if SHARED in owners else {"meta": {"security": [RESTRICTED]}}
    return Put({**report, "id": id, **label}, owners=frozenset(owners))


def _reference(put: Put) -> str:
    return f"MeasureReport/{put.resource['id']}"


def _same(before: Stored | None, put: Put) -> bool:
    """Whether it is stored already, for the same readers."""
    return before is not None and before.owners == put.owners and _said(before.resource) == _said(put.resource)


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

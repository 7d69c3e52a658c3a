"""What was published, read back: the stored reports of a measure and period as the rows that pages show.

Figures that follow the store from day to day would tell, to whoever writes them down, of one child whose outcome arrives. Published reports stand still
until they are published again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.measures.comparison import BANDS
from app.measures.context import organisation
from app.measures.period import Period
from app.measures.publishing import report_id
from app.measures.report import extension
from app.measures.table import Row, hospital_names
from app.security.access import SHARED, SYSTEM
from app.store.protocol import Store, Stored


@dataclass(frozen=True)
class Publication:
    """`whole` is all hospitals together; `rows` in the order of ODS codes; `artefacts` are the canonicals of weights and rules; `made` an instant."""

    rows: list[Row]
    whole: Row
    artefacts: tuple[str, ...]
    made: str


async def publication(store: Store, measure: str, period: Period, hospitals: Sequence[str]) -> Publication | None:
    """What was published of a measure (`url|version`) for exactly this period, None where nothing was."""
    reports = await stored_reports(store, measure, period, hospitals)
    if "" not in reports:
        return None
    whole = reports.pop("").resource
    names = await hospital_names(store, list(reports))
    rows = [row_of_report(stored.resource, ods, names[ods]) for ods, stored in reports.items()]
    artefacts = tuple(str(each["valueCanonical"]) for each in whole["extension"] if each["url"] == extension("artefact"))
    return Publication(rows, row_of_report(whole, "", "All hospitals together"), artefacts, str(whole["date"]))


async def stored_reports(store: Store, measure: str, period: Period, hospitals: Sequence[str]) -> dict[str, Stored]:
    """The published reports by ODS code, in that order; "" is all hospitals together.

    Only what this server published: the ids can be foreseen, but a client's own resource never belongs to everyone.
    """
    reporters = {"": "all", **{ods: organisation(ods) for ods in sorted(hospitals)}}
    wanted = {f"MeasureReport/{report_id(measure, period, who, SHARED)}": ods for ods, who in reporters.items()}
    found = await store.read_many(SYSTEM, list(wanted))
    return {wanted[stored.reference]: stored for stored in found if stored.owners == frozenset((SHARED,))}


def row_of_report(report: Mapping[str, Any], hospital: str, name: str) -> Row:
    """A summary report as a row, its strata inside: what `table.row_of` made the report from, as far as it rounds."""
    (group,) = report["group"]
    strata = [stratum for each in group.get("stratifier", ()) for stratum in each["stratum"]]
    inner = tuple(_row(stratum, hospital, name, stratum["value"]["text"], ()) for stratum in strata)
    return _row(group, hospital, name, "", inner)


def _row(cell: Mapping[str, Any], hospital: str, name: str, stratum: str, strata: tuple[Row, ...]) -> Row:
    extensions = {each["url"]: each for each in cell.get("extension", ())}
    suppressed = extension("suppressed") in extensions
    parts = _parts(extensions.get(extension("comparison")))
    known_share = _parts(extensions.get(extension("completeness"))).get("known")
    counts = {each["code"]["coding"][0]["code"]: each.get("count", 0) for each in cell["population"]}
    left_out = counts.get("denominator-exclusion", 0) + counts.get("denominator-exception", 0)
    known = counts["denominator"] - left_out
    expected, ratio, low, high = (_float(parts.get(part)) for part in ("expected", "ratio", "ratioLow", "ratioHigh"))
    ends = [_float(parts.get(part)) for part in ("lower95", "upper95", "lower998", "upper998")]
    limits = (ends[0], ends[1], ends[2], ends[3]) if None not in ends else None
    code = parts["band"]["coding"][0]["code"] if "band" in parts else ""
    return Row(
        hospital,
        name,
        stratum,
        suppressed,
        None if suppressed else counts["denominator"],
        None if suppressed else known,
        None if suppressed else counts["numerator"],
        expected,
        ratio,
        low,
        high,
        limits,  # type: ignore[arg-type]
        BANDS.get(code, "not compared"),
        code,
        str(parts.get("signal", "")),
        _float(known_share),
        str(parts.get("model", "")),
        strata,
    )


def _parts(extension_: Mapping[str, Any] | None) -> dict[str, Any]:
    """The parts of a complex extension by name."""
    inner = extension_["extension"] if extension_ else ()
    return {part["url"]: next(value for key, value in part.items() if key.startswith("value")) for part in inner}


def _float(value: Any) -> float | None:
    return None if value is None else float(value)

"""From counts to a MeasureReport.

R4 has no element for what was expected, a ratio, limits, a band or suppression: they ride in the extensions that `profiles/extensions/measure-*.json`
define. A suppressed cell says so, marks each count as masked, and keeps only the band: any two of observed, expected and ratio give the third.
"""

from collections.abc import Sequence
from typing import Any

from app import clock, names
from app.measures import rules as rules_module
from app.measures.comparison import BANDS, Comparison
from app.measures.context import organisation
from app.measures.decimals import decimal
from app.measures.period import Period
from app.measures.tally import Cell, Tally
from app.outcomes.weights import in_force
from app.statistics import intervals

CONFIDENCE_INTERVAL = "http://hl7.org/fhir/StructureDefinition/quantity-confidenceInterval"
ABSENT = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
POPULATION_SYSTEM = "http://terminology.hl7.org/CodeSystem/measure-population"
LIMIT_PLACES = 8  # of the ends of chance: so many that the whole number of children that they came from is found again
BAND_SYSTEM = names.canonical("CodeSystem", "measure-band")


def extension(name: str) -> str:
    """The URL of one of this room's extensions."""
    return names.canonical("StructureDefinition", f"measure-{name}")


def summary(
    tally: Tally, period: Period, whole: Cell, strata: Sequence[Cell], *, hospital: str | None, name: str | None = None
) -> dict[str, Any]:
    """A report of type summary: of one hospital (ODS code), or of all together where `hospital` is None."""
    reporter: dict[str, Any] = {"display": "All hospitals together"}
    if hospital is not None:
        reporter = {"reference": organisation(hospital), "identifier": {"system": names.ODS_CODE, "value": hospital}}
        if name:
            reporter["display"] = name
    return {**frame(tally, period, "summary"), "reporter": reporter, "group": [group(tally, whole, strata)]}


def frame(tally: Tally, period: Period, type: str) -> dict[str, Any]:
    """What reports of every type begin with."""
    used = [in_force().canonical, rules_module.canonical()]
    notation = tally.definition.resource.get("improvementNotation")
    return {
        "resourceType": "MeasureReport",
        "extension": [{"url": extension("artefact"), "valueCanonical": each} for each in used],
        "status": "complete",
        "type": type,
        "measure": tally.definition.canonical,
        "date": clock.now().isoformat(timespec="seconds"),
        "period": {"start": period.start.isoformat(), "end": period.end.isoformat()},
        **({"improvementNotation": notation} if notation else {}),
    }


def group(tally: Tally, whole: Cell, strata: Sequence[Cell]) -> dict[str, Any]:
    """`MeasureReport.group`, with a stratum for each cell of `strata`."""
    found = _cell(tally, whole)
    if strata:
        code = tally.definition.stratifiers[0][0]
        stratum = [{"value": {"text": cell.stratum}, **_cell(tally, cell)} for cell in strata]
        found["stratifier"] = [{"code": [{"text": code}], "stratum": stratum}]
    return found


def _cell(tally: Tally, cell: Cell) -> dict[str, Any]:
    extensions = []
    if cell.suppressed:
        extensions.append({"url": extension("suppressed"), "valueBoolean": True})
    if cell.comparison is not None:
        extensions.append(_comparison(cell.comparison, tally.model.canonical if tally.model else None, cell.suppressed))
    if not cell.suppressed and cell.completeness is not None:
        extensions.append(_completeness(cell))
    found: dict[str, Any] = {"extension": extensions} if extensions else {}
    found["population"] = [_population(code, count, cell.suppressed) for code, count in cell.counts.items()]
    if cell.score is not None and not cell.suppressed:
        found["measureScore"] = _score(cell, tally.rules.confidence)
    return found


def _population(code: str, count: int, suppressed: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"code": {"coding": [{"system": POPULATION_SYSTEM, "code": code}]}}
    if suppressed:
        return {**found, "_count": {"extension": [{"url": ABSENT, "valueCode": "masked"}]}}
    return {**found, "count": count}


def _score(cell: Cell, confidence: float) -> dict[str, Any]:
    limits = intervals.wilson(cell.observed, cell.known, confidence)
    interval = {"low": _one(float(limits.low)), "high": _one(float(limits.high))}
    return {
        "extension": [
            {
                "url": CONFIDENCE_INTERVAL,
                "extension": [
                    {"url": "confidence", "valueDecimal": decimal(100 * confidence, 1)},
                    {"url": "interval", "valueRange": interval},
                ],
            }
        ],
        **_one(cell.score or 0.0),
    }


def _one(value: float) -> dict[str, Any]:
    return {"value": decimal(value, 4), "unit": "1", "system": names.UCUM, "code": "1"}


def _comparison(comparison: Comparison, model: str | None, suppressed: bool) -> dict[str, Any]:
    parts: list[dict[str, Any]] = []
    if not suppressed:
        figures = [
            ("expected", comparison.expected, 2),
            ("ratio", comparison.ratio, 3),
            ("ratioLow", comparison.ratio_low, 3),
            ("ratioHigh", comparison.ratio_high, 3),
            *zip(("lower95", "upper95", "lower998", "upper998"), comparison.limits, (LIMIT_PLACES,) * 4, strict=True),
            ("tailLow", comparison.tail_low, 6),
            ("tailHigh", comparison.tail_high, 6),
        ]
        parts += [{"url": name, "valueDecimal": decimal(value, places)} for name, value, places in figures]
    if comparison.band:
        band = {"coding": [{"system": BAND_SYSTEM, "code": comparison.band}], "text": BANDS[comparison.band]}
        parts.append({"url": "band", "valueCodeableConcept": band})
    if comparison.signal:
        parts.append({"url": "signal", "valueCode": comparison.signal})
    if model:
        parts.append({"url": "model", "valueCanonical": model})
    return {"url": extension("comparison"), "extension": parts}


def _completeness(cell: Cell) -> dict[str, Any]:
    eligible = cell.known + cell.unknown
    return {
        "url": extension("completeness"),
        "extension": [
            {"url": "known", "valueDecimal": decimal(cell.known / eligible, 4)},
            {"url": "unknown", "valueInteger": cell.unknown},
            {"url": "boundLow", "valueDecimal": decimal(cell.observed / eligible, 4)},
            {"url": "boundHigh", "valueDecimal": decimal((cell.observed + cell.unknown) / eligible, 4)},
        ],
    }

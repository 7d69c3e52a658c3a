"""What the server reports: each hospital asks for its own MeasureReport by the standard operation, over HTTP."""

from dataclasses import dataclass
from typing import Any

import httpx

from app import clock
from app.demo.nation import Hospital, Nation
from app.demo.setting import Cast, Server, run
from app.fhir import codec
from app.fhir.errors import Unavailable
from app.measures import publishing
from app.measures.definition import shipped_ids
from app.store.protocol import Store
from app.web.figures import reporting_period


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. `cases` had their first operation in the period; of `known` it can be told whether treatment went well."""

    hospital: str
    name: str
    cases: int
    known: int
    observed: int
    expected: float | None
    ratio: float | None
    low: float | None
    high: float | None
    band: str


@dataclass(frozen=True, slots=True)
class Report:
    """All rows, and the label that must stand beside them."""

    rows: list[Row]
    start: str
    end: str
    label: str


async def evaluate(server: Server, cast: Cast, nation: Nation) -> Report:
    """Fit the case-mix model on what is in the store, then ask for every hospital's report."""
    await run("measure", "fit", store=server.store)
    start = nation.start.isoformat()
    end = max(child.index.on for child in nation.children).isoformat()
    async with httpx.AsyncClient(base_url=server.base, timeout=120) as client:
        rows = [await _row(client, cast.tokens[h.ods], h, start, end) for h in nation.hospitals]
    label = (
        "Weights, case-mix factors and comparison rules are this project's demonstration sets: the programme's are not public. "
        "Hospitals and children are simulated."
    )
    return Report(rows, start, end, label)


async def publish(store: Store) -> int:
    """Publish every measure for the period that the public page shows, as an audit team would at the end of a quarter."""
    period = reporting_period(clock.today())
    return sum([await publishing.publish(store, measure, period) for measure in shipped_ids()])


async def _row(client: httpx.AsyncClient, token: str, hospital: Hospital, start: str, end: str) -> Row:
    query = {"periodStart": start, "periodEnd": end, "reporter": hospital.ods}
    response = await client.get(
        "/fhir/Measure/treatment-success/$evaluate-measure", params=query, headers={"authorization": f"Bearer {token}"}
    )
    report = codec.decode(response.content)
    if response.status_code != 200:
        raise Unavailable(f"$evaluate-measure answered {response.status_code}: {report}")
    group = report["group"][0]
    counts = {p["code"]["coding"][0]["code"]: p["count"] for p in group["population"]}
    parts = {e["url"].rpartition("/")[2]: e for e in group["extension"]}
    compared = _values(parts["measure-comparison"]) if "measure-comparison" in parts else {}
    return Row(
        hospital.ods,
        hospital.name,
        counts["initial-population"],
        counts["denominator"] - counts.get("denominator-exclusion", 0) - counts.get("denominator-exception", 0),
        counts["numerator"],
        *(float(compared[key]) if key in compared else None for key in ("expected", "ratio", "ratioLow", "ratioHigh")),
        compared["band"]["text"] if "band" in compared else "no comparison",
    )


def _values(extension_: dict[str, Any]) -> dict[str, Any]:
    """The parts of a complex extension by name."""
    return {
        part["url"]: next(value for key, value in part.items() if key.startswith("value")) for part in extension_["extension"]
    }

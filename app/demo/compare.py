"""At the end: does the server know what is true, child by child and hospital by hospital? Every difference is a sentence."""

from scipy import stats

from app import names
from app.demo.nation import Child, Nation
from app.demo.report import Row
from app.demo.truth import tally
from app.measures.comparison import BANDS
from app.outcomes.case_facts import CaseFacts
from app.registry.consumer import all_case_facts
from app.security.access import SYSTEM
from app.store.protocol import Store

BETTER, FEWER = BANDS["better"], BANDS["fewer-good"]
SHOWN = 20  # differences that are printed


async def children(store: Store, nation: Nation) -> list[str]:
    """Operations, infections, quality of life and survival of every child, against the truth."""
    facts = await facts_by_number(store)
    found: list[str] = []
    for child in nation.children:
        told = facts.pop(child.nhs_number, None)
        if told is None:
            found.append(f"child {child.number}: no case")
            continue
        found += [
            f"child {child.number} ({child.hospital.ods}, {child.condition}): {difference}" for difference in _differ(child, told)
        ]
    return found + [f"a case that belongs to no simulated child: {case.case}" for case in facts.values()]


async def facts_by_number(store: Store) -> dict[str, CaseFacts]:
    """Every case's facts by the child's NHS number."""
    numbers: dict[str, str] = {}
    async for stored in store.scan(SYSTEM, ["Patient"]):
        for identifier in stored.resource.get("identifier", ()):
            if identifier.get("system") == names.NHS_NUMBER:
                numbers[stored.id] = identifier["value"]
    return {numbers.get(facts.patient, facts.case): facts async for facts in all_case_facts(store, SYSTEM)}


def _differ(child: Child, told: CaseFacts) -> list[str]:
    pairs = (
        ("hospital", child.hospital.ods, told.hospital),
        ("condition", child.condition, told.condition),
        ("first operation", child.index.on.isoformat(), told.index_date),
        ("operations", child.counted_operations(), sorted((o.on, o.kind) for o in told.operations)),
        ("infections", child.counted_infections(), sorted(infection.on for infection in told.infections)),
        ("quality of life", child.answered_quality, told.quality_of_life),
        ("death", child.died_within and child.died_within.isoformat(), told.died_on),
        ("severity grade", child.severity.grade, told.factors.severity_grade),
        ("cardiac anomaly", child.cardiac, told.factors.major_cardiac_anomaly),
    )
    return [f"{what} is {true!r}, the server says {said!r}" for what, true, said in pairs if true != said]


def reports(rows: list[Row], nation: Nation) -> list[str]:
    """The reported counts of each hospital, against the truth."""
    found = []
    for row in rows:
        true = tally(nation, row.hospital)
        said = (row.cases, row.known, row.observed)
        if said != (true.cases, true.known, true.successes):
            found.append(
                f"{row.hospital}: cases, known, good outcomes are {(true.cases, true.known, true.successes)}, reported {said}"
            )
    return found


def standing_out(rows: list[Row], nation: Nation) -> list[str]:
    """The different hospitals must stand out; the others no more often than chance allows (1 in 100)."""
    if not _enough(nation):
        return []
    quality = {hospital.ods: hospital.quality for hospital in nation.hospitals}
    found = []
    for row in rows:
        expected = BETTER if quality[row.hospital] < 0 else FEWER
        if quality[row.hospital] and row.band != expected:
            found.append(f"{row.hospital} treats differently, but its band is: {row.band}")
    alike = [row for row in rows if not quality[row.hospital]]
    flagged = sum(row.band in (BETTER, FEWER) for row in alike)
    if stats.binom.sf(flagged - 1, len(alike), 0.05) < 0.01:
        found.append(f"{flagged} of {len(alike)} hospitals that are alike stand out")
    return found


def on_standing_out(nation: Nation) -> str:
    """What can be said of it where there were no differences."""
    if not _enough(nation):
        return "So small a nation cannot show which hospitals differ; that was not judged."
    return "The two hospitals that treat differently stand out; of the others no more than chance allows."


def _enough(nation: Nation) -> bool:
    """Whether hospitals have so many children that a difference must show."""
    return len(nation.children) >= 100 * len(nation.hospitals)


def letters(addresses: set[str], nation: Nation) -> list[str]:
    """Every parent of a living child got a letter, and nobody else."""
    died = {child.email for child in nation.children if child.died}
    alive = {child.email for child in nation.children if not child.died}
    wrong, missing = len(addresses & died), len(alive - addresses)
    found = [f"{wrong} letters went out about children who had died"] if wrong else []
    return found + ([f"{missing} parents got no letter"] if missing else [])

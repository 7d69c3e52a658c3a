"""Reports that name children: `individual` for one, `subject-list` for those in each population. Only for who may see their records."""

from typing import Any

import numpy as np

from app import names
from app.fhir.errors import BadRequest, NotFound
from app.measures import report, viewer
from app.measures.context import organisation, score_observation
from app.measures.period import Period
from app.measures.tally import Cell, Members, Tally
from app.outcomes.score import score
from app.outcomes.weights import in_force
from app.security.access import Access


def individual(counted: Tally, span: Period, access: Access, subject: str | None) -> dict[str, Any]:
    """The report of one child: counts of its cases, and each case's score as a contained Observation."""
    if not subject:
        raise BadRequest("A report on a subject needs the parameter 'subject', such as Patient/<id>.")
    patient = subject.removeprefix("Patient/")
    rows = [n for n, facts in enumerate(counted.columns.facts) if facts.patient == patient and viewer.sees_child(access, facts)]
    if not rows:
        raise NotFound("There is no such child with a case.")
    chosen = np.zeros(len(counted.scored), dtype=bool)
    chosen[rows] = True
    cases = [counted.columns.facts[int(n)] for n in np.flatnonzero(chosen & counted.members["initial-population"])]
    observations: list[dict[str, Any]] = []
    for facts in cases:
        found = score(facts, in_force())
        if found.value is not None:
            observations.append({**score_observation(facts, found), "id": f"score-{len(observations) + 1}"})
    made = {**report.frame(counted, span, "individual"), "subject": {"reference": f"Patient/{patient}"}}
    if observations:
        made["contained"] = observations
    made["group"] = [report.group(counted, _cell(counted, chosen), [])]
    evaluated = [{"reference": f"EpisodeOfCare/{facts.case}"} for facts in cases]
    evaluated += [{"reference": f"#{observation['id']}"} for observation in observations]
    return {**made, "evaluatedResource": evaluated} if evaluated else made


def _cell(counted: Tally, chosen: Members) -> Cell:
    scored = int((chosen & counted.scored).sum())
    observed = int((chosen & counted.scored & counted.members["numerator"]).sum())
    counts = {code: int((chosen & member).sum()) for code, member in counted.members.items()}
    return Cell("", counts, scored, observed, int((chosen & counted.eligible).sum()) - scored, None, False)


def listing(counted: Tally, span: Period, access: Access, hospital: int | None) -> dict[str, Any]:
    """The children of each population, as contained Lists. Without a hospital: all whose records the caller may see."""
    seen = np.array([viewer.sees_child(access, facts) for facts in counted.columns.facts], dtype=bool)
    chosen = seen & counted.mask(hospital, 0)
    if hospital is not None and not chosen.any():
        raise NotFound("There are no cases of this hospital for you to list.")
    made: dict[str, Any] = report.frame(counted, span, "subject-list")
    group = report.group(counted, _cell(counted, chosen), [])
    lists = []
    for population, (code, member) in zip(group["population"], counted.members.items(), strict=True):
        subjects = dict.fromkeys(counted.columns.facts[int(n)].patient for n in np.flatnonzero(chosen & member))
        lists.append(_list(code, list(subjects)))
        population["subjectResults"] = {"reference": f"#{code}"}
    made["contained"] = lists
    if hospital is not None:
        ods = counted.columns.hospitals[hospital]
        made["reporter"] = {"reference": organisation(ods), "identifier": {"system": names.ODS_CODE, "value": ods}}
    return {**made, "group": [group]}


def _list(code: str, patients: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {"resourceType": "List", "id": code, "status": "current", "mode": "snapshot", "title": code}
    if patients:
        return {**found, "entry": [{"item": {"reference": f"Patient/{patient}"}} for patient in patients]}
    empty = {"system": "http://terminology.hl7.org/CodeSystem/list-empty-reason", "code": "nilknown"}
    return {**found, "emptyReason": {"coding": [empty]}}

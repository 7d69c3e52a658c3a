"""Case facts: what the resources of one child say about one case. Pure; docs/reference/case-facts.md tells the rules in words.

Invariants: the order of the resources never matters; two sources that tell of the same theatre visit or the same stay tell of one;
nothing after the as-of day counts; what nobody told stays None.
"""

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from datetime import date, timedelta
from typing import Any, NamedTuple, cast

import msgspec

from app import names
from app.outcomes.case_facts import HORIZON_DAYS, CaseFacts, Infection, Operation, OperationKind
from app.registry import encounters as stay_reader
from app.registry.encounters import SOURCE_ORDER, Stay, codes, day_of, last_day_of, source_of
from app.registry.factors import factors_from
from app.registry.operations import classify, counts_for, is_emergency_admission, is_infection, operation, plain_code

READMISSION_DAYS = 29  # 0 to 29 days after discharge, as NHS indicator I02040 counts
QUALITY_OF_LIFE = (-92, 1461)  # days from the horizon between which an answer tells of the horizon: asked early, answered late
NOT_DONE = frozenset(("entered-in-error", "not-done", "preparation"))
NO_CASE = frozenset(("entered-in-error", "cancelled", "waitlist"))
NOT_SAID = frozenset(("entered-in-error", "cancelled"))


class Visit(NamedTuple):
    """One Procedure, read. `day`..`until` are the days on which it may have been, mostly one. `kind` only where a person classified it."""

    day: str
    until: str
    source: str
    code: str
    kind: OperationKind | None


def facts_from(resources: Sequence[dict[str, Any]], today: date, case: str | None = None) -> CaseFacts | None:
    """The facts of one case, from the child's own resources (others are passed over).

    `case` is the EpisodeOfCare's id; without it the only, or first, case of the child. None where there is no such case (`cases_of`), or
    nothing yet says when it began.
    """
    by_type: dict[str, list[dict[str, Any]]] = {}
    for resource in resources:
        by_type.setdefault(resource["resourceType"], []).append(resource)
    episodes = by_type.get("EpisodeOfCare", ())
    cases = cases_of(episodes)
    episode = next((each for each in cases if case in (None, each["id"])), None)
    if episode is None or not by_type.get("Patient"):
        return None
    condition = condition_of(episode)
    assert condition is not None
    patient = _patient(by_type["Patient"], episode)
    stays = stay_reader.stays(by_type.get("Encounter", ()))
    told = _visits(by_type.get("Procedure", ()), condition, _reasons(by_type) if len(cases) > 1 else None)
    visits = [visit for visit in told if visit.day <= today.isoformat()]
    index = _index_day(visits, episode)
    if index is None or index > today.isoformat() or patient is None:
        return None
    observations = [each for each in by_type.get("Observation", ()) if each.get("status") not in NOT_SAID]
    horizon = (date.fromisoformat(index) + timedelta(days=HORIZON_DAYS)).isoformat()
    died = _died_on(patient, stays, visits, index)
    died = died if died is not None and died <= horizon else None
    as_of = min(horizon, died or horizon, today.isoformat())
    quality, quality_on = _quality_of_life(observations, _named(episodes, condition), horizon)
    return CaseFacts(
        case=str(episode["id"]),
        patient=str(patient["id"]),
        hospital=hospital_of(episode),
        condition=condition,
        sex=patient.get("gender", "unknown"),
        birth_date=patient.get("birthDate"),
        index_date=index,
        as_of=as_of,
        horizon_reached=as_of in (horizon, died),
        factors=factors_from(observations, condition),
        operations=_operations(visits, stays, condition, index, as_of),
        infections=_infections(by_type, stays, condition, index, as_of),
        emergency_readmissions=_readmissions(stays, index, as_of),
        quality_of_life=quality,
        quality_of_life_on=quality_on,
        died_on=died,
    )


def at_day(facts: CaseFacts, today: date) -> CaseFacts:
    """The same facts on a later day: what was not yet known to be at its horizon may have come to it."""
    if facts.horizon_reached:
        return facts
    horizon = (date.fromisoformat(facts.index_date) + timedelta(days=HORIZON_DAYS)).isoformat()
    as_of = min(horizon, max(facts.as_of, today.isoformat()))
    if as_of == facts.as_of != horizon:
        return facts
    return msgspec.structs.replace(facts, as_of=as_of, horizon_reached=as_of == horizon)


# ---- the case itself ------------------------------------------------------------------------------------------------


def cases_of(episodes: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The cases of one child, one for each condition, by id. Where a merge of records left two for a condition, the earlier is the case."""
    chosen: dict[str, dict[str, Any]] = {}
    for episode in sorted(episodes, key=lambda each: (each.get("period", {}).get("start", "9"), str(each["id"]))):
        if condition := condition_of(episode):
            chosen.setdefault(condition, episode)
    return sorted(chosen.values(), key=lambda each: str(each["id"]))


def condition_of(episode: dict[str, Any]) -> str | None:
    """The condition of a case; None for an EpisodeOfCare that is none of ours, or no longer."""
    return None if episode.get("status") in NO_CASE else _condition_told(episode)


def _condition_told(episode: dict[str, Any]) -> str | None:
    known = (code for concept in episode.get("type", ()) for code in codes(concept, names.CONDITION))
    return next((code for code in known if code in names.CONDITIONS), None)


def _named(episodes: Iterable[dict[str, Any]], condition: str) -> set[str]:
    """What refers to a case: it, and those of the same child and condition that a merge of records left beside it."""
    return {f"EpisodeOfCare/{each['id']}" for each in episodes if _condition_told(each) == condition}


def hospital_of(episode: dict[str, Any]) -> str:
    """The ODS code of the operating hospital."""
    managing = episode.get("managingOrganization", {})
    told: str = managing.get("identifier", {}).get("value") or managing.get("reference", "").rpartition("/")[2]
    return told.upper()


def patient_of(resource: dict[str, Any]) -> str | None:
    """The id of the Patient that a resource is about."""
    if resource.get("resourceType") == "Patient":
        return str(resource["id"])
    reference: str = (resource.get("subject") or resource.get("patient") or {}).get("reference", "")
    return reference.split("/")[1] if reference.startswith("Patient/") else None


def _patient(patients: list[dict[str, Any]], episode: dict[str, Any]) -> dict[str, Any] | None:
    wanted = patient_of(episode)
    return next((patient for patient in patients if patient["id"] == wanted), None)


# ---- operations -----------------------------------------------------------------------------------------------------


def _reasons(by_type: dict[str, list[dict[str, Any]]]) -> dict[str, set[str]]:
    """Of each Condition that is the diagnosis of a case or has one of our codes: which of our conditions it is."""
    reasons: dict[str, set[str]] = {}
    for diagnosis in by_type.get("Condition", ()):
        reasons[f"Condition/{diagnosis['id']}"] = {*codes(diagnosis.get("code"), names.CONDITION)}
    for episode in by_type["EpisodeOfCare"]:
        if condition := condition_of(episode):
            for entry in episode.get("diagnosis", ()):
                reasons.setdefault(entry.get("condition", {}).get("reference", ""), set()).add(condition)
    reasons.pop("", None)
    return reasons


def _visits(procedures: Iterable[dict[str, Any]], condition: str, reasons: dict[str, set[str]] | None) -> list[Visit]:
    """The Procedures that belong to the case. `reasons` is None where the child has no other case that an operation could belong to."""
    visits = []
    for procedure in procedures:
        days = _days(procedure)
        if days is None or procedure.get("status") in NOT_DONE:
            continue
        why = [each.get("reference") for each in procedure.get("reasonReference", ())]
        of = {each for reference in why for each in (reasons or {}).get(reference, ())}
        if of and condition not in of:
            continue
        sure = reasons is None or condition in of
        source = source_of(procedure)
        code = next(iter(codes(procedure.get("code"), names.OPCS4)), "")
        kind = _recorded_kind(procedure) if source in ("operative-record", "fhir") else None
        known = operation(code) is not None
        if counts_for(code, condition) if known and not (sure and source == "operative-record") else kind is not None:
            visits.append(Visit(*days, source, plain_code(code), kind))
    on = {visit.day for visit in visits if visit.until == visit.day}
    return [visit for visit in visits if visit.until == visit.day or not any(visit.day <= day <= visit.until for day in on)]


def _days(procedure: dict[str, Any]) -> tuple[str, str] | None:
    """The first and the last day on which an operation may have been. A period with a time says when it began; one of days, between which."""
    period = procedure.get("performedPeriod", {})
    began = procedure.get("performedDateTime") or period.get("start")
    first = day_of(began)
    if first is None:
        return None
    last = last_day_of(began if len(began) > len("2023-05-01") else period.get("end") or began)
    return first, max(first, last or first)


def _recorded_kind(procedure: dict[str, Any]) -> OperationKind | None:
    told = codes(procedure.get("category"), names.OPERATION_KIND)
    return next((cast(OperationKind, code) for code in told if code in names.OPERATION_KINDS), None)


def _index_day(visits: Sequence[Visit], episode: dict[str, Any]) -> str | None:
    """The surgeons' records say when a case began; without them the first operation that anyone tells of, or the episode."""
    recorded = [visit.day for visit in visits if visit.source == "operative-record"]
    told = recorded or [visit.day for visit in visits]
    return min(told, default=None) or day_of(episode.get("period", {}).get("start"))


def _operations(visits: Sequence[Visit], stays: Sequence[Stay], condition: str, index: str, as_of: str) -> tuple[Operation, ...]:
    by_day: dict[str, list[Visit]] = {}
    for visit in visits:
        if index <= visit.day <= as_of:
            by_day.setdefault(visit.day, []).append(visit)
    return tuple(_visit_of_day(told, stays, condition, index) for _, told in sorted(by_day.items()))


def _visit_of_day(told: list[Visit], stays: Sequence[Stay], condition: str, index: str) -> Operation:
    """One theatre visit, as its best source tells it; of several operations in it, the largest."""
    day = told[0].day
    best = min((visit.source for visit in told), key=_rank)
    method = next((stay.method for stay in reversed(stays) if stay.overlaps(day, day)), None)
    kinds = [(_kind(visit, method, condition, is_index=day == index), visit.code) for visit in told if visit.source == best]
    kind, code = max(kinds, key=lambda each: (each[0].startswith("major"), each[0].endswith("emergency"), each[1]))
    return Operation(day, kind, best, code)


def _kind(visit: Visit, method: str | None, condition: str, *, is_index: bool) -> OperationKind:
    kind = visit.kind or classify(visit.code, admission_method=method, is_index=is_index, urgency=None, condition=condition)
    assert kind is not None, "a visit has a recorded kind or a code that counts"
    return kind


def _rank(source: str) -> int:
    return SOURCE_ORDER.index(source) if source in SOURCE_ORDER else len(SOURCE_ORDER)


# ---- stays ----------------------------------------------------------------------------------------------------------


def _infections(
    by_type: dict[str, list[dict[str, Any]]], stays: Sequence[Stay], condition: str, index: str, as_of: str
) -> tuple[Infection, ...]:
    """One for each stay that reaches into the time of the case and in which an infection was coded."""
    admitted = {f"Encounter/{each['id']}": stay_reader.admitted_on(each) for each in by_type.get("Encounter", ())}
    by_day = {stay.admitted: stay for stay in stays}
    found: dict[str, Infection] = {}
    for diagnosis in by_type.get("Condition", ()):
        code = next((c for c in codes(diagnosis.get("code"), names.ICD10) if is_infection(c, condition)), None)
        if code is None or _withdrawn(diagnosis):
            continue
        stay = by_day.get(admitted.get(diagnosis.get("encounter", {}).get("reference", "")) or "") or _containing(
            stays, diagnosis
        )
        if stay is None or not stay.overlaps(index, as_of):
            continue
        infection = Infection(stay.admitted, plain_code(code), source_of(diagnosis))
        found[stay.admitted] = min(found.get(stay.admitted, infection), infection, key=lambda i: (_rank(i.source), i.code))
    return tuple(infection for _, infection in sorted(found.items()))


def _withdrawn(diagnosis: dict[str, Any]) -> bool:
    said = {coding.get("code") for coding in diagnosis.get("verificationStatus", {}).get("coding", ())}
    return not said.isdisjoint(("entered-in-error", "refuted"))


def _containing(stays: Sequence[Stay], diagnosis: dict[str, Any]) -> Stay | None:
    """The stay in which a diagnosis without Encounter was made."""
    day = day_of(diagnosis.get("onsetDateTime") or diagnosis.get("recordedDate"))
    return next((stay for stay in reversed(stays) if day and stay.overlaps(day, day)), None)


def _readmissions(stays: Sequence[Stay], index: str, as_of: str) -> int:
    """Emergency admissions soon after a discharge that followed the first operation. Transfers are no emergency admissions."""
    count = 0
    for stay in stays:
        if is_emergency_admission(stay.method) and index < stay.admitted <= as_of:
            left = [
                s.discharged
                for s in stays
                if s.discharged and s.admitted < stay.admitted and index <= s.discharged <= stay.admitted
            ]
            count += bool(left) and stay_reader.days_between(max(left), stay.admitted) <= READMISSION_DAYS
    return count


def _died_on(patient: dict[str, Any], stays: Sequence[Stay], visits: Sequence[Visit], index: str) -> str | None:
    """The day of death, never before the first operation. Where nobody told the day, the last one on which the child was known to be in hospital."""
    told = patient.get("deceasedDateTime", "")
    first, last = day_of(told), last_day_of(told)
    ended = max((stay.discharged or stay.admitted for stay in stays if stay.died), default=None)
    if first is None and ended is None and patient.get("deceasedBoolean") is not True:
        return None
    if ended is None:
        ended = max([index, *(stay.discharged or stay.admitted for stay in stays), *(visit.day for visit in visits)])
    return max(index, min(max(ended, first or ended), last or ended))


# ---- quality of life ------------------------------------------------------------------------------------------------


def _quality_of_life(
    observations: Iterable[dict[str, Any]], case: AbstractSet[str], horizon: str
) -> tuple[int | None, str | None]:
    """The level answered nearest the horizon. An answer whose focus is another case (not one of `case`) tells of that one."""
    answers = []
    for observation in observations:
        if "quality-of-life-level" not in codes(observation.get("code"), names.OUTCOME):
            continue
        focus = {each.get("reference", "") for each in observation.get("focus", ())}
        level, day = observation.get("valueInteger"), day_of(observation.get("effectiveDateTime") or observation.get("issued"))
        if day is None or level not in (0, 1, 2, 3) or (focus and focus.isdisjoint(case)):
            continue
        distance = stay_reader.days_between(horizon, day)
        if QUALITY_OF_LIFE[0] <= distance <= QUALITY_OF_LIFE[1]:
            answers.append((abs(distance), day, level))
    if not answers:
        return None, None
    _, day, level = min(answers)
    return int(level), day

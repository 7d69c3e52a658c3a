"""What a criterion sees of a case: a collection Bundle of its resources, made from the case facts.

The facts are the reconciled truth of all sources (one theatre visit is one Procedure, whoever told of it), so a criterion need not know
of sources. Variables: %indexDate, %asOf, %horizonPassed (true once the horizon lies behind, for the living and the dead alike, so that recent
deaths do not count before recent survivals can), %outcomeKnown. Described in docs/reference/measures.md.
"""

from datetime import date, timedelta
from typing import Any

from app import names
from app.measures.decimals import decimal
from app.outcomes.case_facts import HORIZON_DAYS, CaseFacts
from app.outcomes.score import Score

INFECTION_CATEGORY = names.canonical("CodeSystem", "case-condition")


def horizon_passed(facts: CaseFacts, today: date) -> bool:
    """Whether the horizon of the case lies behind, dead or alive."""
    return date.fromisoformat(facts.index_date) + timedelta(days=HORIZON_DAYS) <= today


def variables(facts: CaseFacts, today: date) -> dict[str, Any]:
    """The environment variables of a criterion."""
    return {
        "indexDate": facts.index_date,
        "asOf": facts.as_of,
        "horizonPassed": horizon_passed(facts, today),
        "outcomeKnown": facts.outcome_known,
    }


def case_bundle(facts: CaseFacts, score: Score) -> dict[str, Any]:
    """The case as a Bundle of type collection."""
    subject = {"reference": f"Patient/{facts.patient}"}
    patient: dict[str, Any] = {
        "resourceType": "Patient",
        "id": facts.patient,
        "gender": facts.sex,
    }
    if facts.birth_date:
        patient["birthDate"] = facts.birth_date
    if facts.died_on is not None:
        patient["deceasedDateTime"] = facts.died_on
    episode = {
        "resourceType": "EpisodeOfCare",
        "id": facts.case,
        "status": "finished" if facts.horizon_reached else "active",
        "type": [_concept(names.CONDITION, facts.condition)],
        "patient": subject,
        "managingOrganization": {"reference": organisation(facts.hospital)},
        "period": {"start": facts.index_date},
    }
    procedures = [
        {
            "resourceType": "Procedure",
            "status": "completed",
            "category": _concept(names.OPERATION_KIND, operation.kind),
            **({"code": _concept(names.OPCS4, operation.code)} if operation.code else {}),
            "subject": subject,
            "performedDateTime": operation.on,
        }
        for operation in facts.operations
    ]
    infections = [
        {
            "resourceType": "Condition",
            "category": [_concept(INFECTION_CATEGORY, "infection")],
            "code": _concept(names.ICD10, infection.code),
            "subject": subject,
            "recordedDate": infection.on,
        }
        for infection in facts.infections
    ]
    resources = [episode, patient, *procedures, *infections, *outcome_observations(facts, score)]
    return {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": resource} for resource in resources]}


def organisation(ods: str) -> str:
    """The reference to a hospital."""
    return f"Organization/{ods.lower()}"


def outcome_observations(facts: CaseFacts, score: Score) -> list[dict[str, Any]]:
    """Quality of life, the score with its interval, age and weights, and whether it meets the threshold: what is known of them."""
    found = []
    if facts.quality_of_life is not None:
        found.append(_observation(facts, "quality-of-life-level", valueInteger=facts.quality_of_life))
    if score.value is not None:
        found.append(score_observation(facts, score))
    if score.success is not None:
        found.append(_observation(facts, "treatment-success-met", valueBoolean=score.success))
    return found


def score_observation(facts: CaseFacts, score: Score) -> dict[str, Any]:
    """The score as an Observation that cannot be read without its uncertainty, its age (where that is known) and its weights."""
    limits = {"low": _number(score.low), "high": _number(score.high)}
    days = score.as_of_age_days
    age = {"code": {"text": "age as of"}, "valueQuantity": {"value": days, "unit": "day", "system": names.UCUM, "code": "d"}}
    return {
        **_observation(facts, "treatment-success-score", valueQuantity=_number(score.value)),
        "referenceRange": [{"text": "1 is the best possible outcome, 0 is palliation"}],
        "component": [
            {"code": {"text": "95 % interval from the uncertainty of the weights"}, "valueRange": limits},
            *([] if days is None else [age]),
            {"code": {"text": "weights"}, "valueString": f"{score.label}: {score.weights}"},
        ],
    }


def _observation(facts: CaseFacts, code: str, **value: Any) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "status": "final" if facts.horizon_reached else "preliminary",
        "code": _concept(names.OUTCOME, code),
        "subject": {"reference": f"Patient/{facts.patient}"},
        "effectiveDateTime": facts.as_of,
        **value,
    }


def _concept(system: str, code: str) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code}]}


def _number(value: float | None) -> dict[str, Any]:
    return {"value": None if value is None else decimal(value, 4), "unit": "1", "system": names.UCUM, "code": "1"}

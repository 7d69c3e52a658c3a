"""Consent. Routine data need none (section 251 support); a parent's own answers do, and a parent may ask not to be asked.

One Consent resource a child, replaced as the parent's mind changes; every version stays in its history.
"""

from typing import Any

from app import clock, names
from app.ids import derived_id
from app.security.access import SYSTEM
from app.store.protocol import Put, Store

POLICY = f"{names.CSOR}/policy/parents-answers-demonstration"


def consent_id(patient: str) -> str:
    """The id of the one Consent of a child."""
    return derived_id("consent", patient)


def consent_write(patient: str, *, permit: bool, answers: str | None = None) -> Put:
    """The Consent that says whether the parent takes part. `answers` is the id of the QuestionnaireResponse that came with it."""
    resource: dict[str, Any] = {
        "resourceType": "Consent",
        "id": consent_id(patient),
        "status": "active" if permit else "rejected",
        "scope": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "research"}]},
        "category": [{"coding": [{"system": names.LOINC, "code": "59284-0", "display": "Consent Document"}]}],
        "patient": {"reference": f"Patient/{patient}"},
        "dateTime": clock.instant(clock.micros()),
        "policy": [{"uri": POLICY}],
        "provision": {"type": "permit" if permit else "deny"},
    }
    if answers:
        resource["sourceReference"] = {"reference": f"QuestionnaireResponse/{answers}"}
    return Put(resource)


async def refused(store: Store, patient: str) -> bool:
    """Whether the parent asked not to be asked."""
    found = await store.read_many(SYSTEM, [f"Consent/{consent_id(patient)}"])
    return bool(found) and found[0].resource["provision"]["type"] == "deny"

"""May this family be written to, now? Asked when a letter is made and again just before it goes on the wire."""

from dataclasses import dataclass
from typing import Any

from app.fhir.errors import FHIRError
from app.registry.follow_up.consent import refused
from app.registry.identity import replaced_by
from app.security.access import SYSTEM
from app.store.protocol import Store

OPEN_TASK = ("requested", "received", "accepted", "ready", "in-progress")


@dataclass(frozen=True, slots=True)
class Verdict:
    """`reason` is None where a letter may go to `address`; else why not. `final` reasons end the Task."""

    reason: str | None
    address: str = ""
    final: bool = False


async def verdict(store: Store, patient: str, task: str) -> Verdict:
    """Death (also of the record that this one was merged into), consent, the Task, and an address."""
    child = await _child(store, patient)
    if child is None:
        return Verdict("child-unknown", final=True)
    if died(child):
        return Verdict("child-died", final=True)
    if await refused(store, child["id"]):
        return Verdict("consent-refused", final=True)
    asked = await store.read_many(SYSTEM, [f"Task/{task}"])
    if not asked or asked[0].resource["status"] not in OPEN_TASK:
        return Verdict("task-closed", final=True)
    address = parent_address(child)
    return Verdict(None, address) if address else Verdict("no-address")


async def _child(store: Store, patient: str) -> dict[str, Any] | None:
    for _ in range(50):
        try:
            child = (await store.read(SYSTEM, "Patient", patient)).resource
        except FHIRError:
            return None
        successor = replaced_by(child)
        if successor is None:
            return child
        patient = successor.removeprefix("Patient/")
    return None


def died(patient: dict[str, Any]) -> bool:
    """Whether the record says so in any way."""
    return bool(patient.get("deceasedBoolean") or patient.get("deceasedDateTime"))


def parent_address(patient: dict[str, Any]) -> str:
    """The e-mail address of a parent (`contact`), else the one on the child's own record; "" if there is none."""
    holders = [*patient.get("contact", ()), patient]
    points = [point for holder in holders for point in holder.get("telecom", ())]
    return next((p["value"] for p in points if p.get("system") == "email" and p.get("use") != "old" and p.get("value")), "")

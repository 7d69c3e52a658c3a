"""Two records of one child become one (HL7 A40, or a number learned late).

Invariants: the discarded Patient stays readable, inactive, with `link` replaced-by; the retained one gets its identifiers and
the opposite link; whatever referred to the discarded one refers to the retained one, so that nothing of the child is lost from
sight. Merging what is merged already writes nothing, in whatever order and direction the messages come.
"""

from collections import defaultdict
from functools import cache
from typing import Any

from app import clock, names
from app.fhir.definitions import r4
from app.fhir.errors import Conflict, PreconditionFailed
from app.fhir.references import rewrite
from app.ids import derived_id
from app.registry.identity import IdentityConflict, replaced_by
from app.registry.plans import PAGE, of_patient
from app.security.access import SYSTEM, Access
from app.store.paging import every
from app.store.protocol import Guard, Put, Store, Stored, Write

# A guard on each of the fifty ways to refer to a Patient would hold up all writers for 10 ms; through the others the link still leads on.
GUARDED = ("patient", "subject")
STEPS = 50  # a longer chain of replaced-by links is a loop
KEPT = ("Patient", "Provenance", "AuditEvent")  # they tell what happened at the time, so they go on naming the discarded one
FILLED = ("birthDate", "gender", "name", "address", "telecom", "contact", "generalPractitioner")
DEATH = ("deceasedDateTime", "deceasedBoolean")
LIFECYCLE = "http://terminology.hl7.org/CodeSystem/iso-21089-lifecycle"


async def retained(store: Store, patient: Stored) -> Stored:
    """The Patient at the end of the chain of merges that starts at `patient`.

    A link is followed only to a Patient whom all of the discarded one's hospitals see, as every merge leaves it: a hospital that writes a link
    to another's child by hand gains nothing.
    """
    for _ in range(STEPS):
        successor = replaced_by(patient.resource)
        if successor is None:
            return patient
        found = await store.read_many(SYSTEM, [successor])
        if not found or not patient.owners <= found[0].owners:
            return patient
        patient = found[0]
    raise IdentityConflict("The merges of this child lead round in a circle.")


async def merge_writes(store: Store, access: Access, kept: Stored, discarded: Stored) -> tuple[list[Write], list[Guard]]:
    """The writes (for a commit as SYSTEM) that merge `discarded` into `kept`; none where they are one already.

    Both may themselves have been merged away before: the ends of their chains are merged. The guards hold that nothing new
    about the discarded Patient came in between; on `GuardFailed` or `VersionConflict` ask again.
    """
    kept, discarded = await retained(store, kept), await retained(store, discarded)
    if kept.id == discarded.id:
        return [], []
    writes: list[Write] = [
        Put(_retained(kept.resource, discarded.resource), kept.version, kept.owners | discarded.owners),
        Put(_discarded(discarded.resource, kept.id), discarded.version, discarded.owners),
        Put(_provenance(access, kept.id, discarded.id), owners=kept.owners | discarded.owners),
    ]
    guards = []
    moved: dict[str, Put] = {}
    for param, types in _referring().items():
        plan = of_patient(types, discarded.id, param=param)
        matches = [stored async for stored in every(store, SYSTEM, plan)]
        for stored in matches:
            moved.setdefault(stored.reference, _repointed(stored, discarded.id, kept.id))
        if len(matches) < PAGE and (matches or param in GUARDED):
            guards.append(Guard(plan, frozenset(stored.reference for stored in matches)))
    return [*writes, *moved.values()], guards


async def merge(store: Store, access: Access, kept: Stored, discarded: Stored, attempts: int = 5) -> None:
    """Commit `merge_writes`, again where another write came between."""
    for attempt in range(attempts):
        writes, guards = await merge_writes(store, access, kept, discarded)
        if not writes:
            return
        try:
            await store.commit(SYSTEM, writes, guards)
            return
        except (Conflict, PreconditionFailed):
            if attempt == attempts - 1:
                raise
            kept = await store.read(SYSTEM, "Patient", kept.id)
            discarded = await store.read(SYSTEM, "Patient", discarded.id)


def _retained(kept: dict[str, Any], discarded: dict[str, Any]) -> dict[str, Any]:
    """The retained Patient with the link, the other's identifiers, and what it did not know itself (a death above all)."""
    merged = dict(kept)
    merged["link"] = [*kept.get("link", ()), _link(discarded["id"], "replaces")]
    known = {(entry.get("system"), entry.get("value")) for entry in kept.get("identifier", ())}
    has_number = any(system == names.NHS_NUMBER for system, _ in known)
    merged["identifier"] = list(kept.get("identifier", ()))
    for entry in discarded.get("identifier", ()):
        if (entry.get("system"), entry.get("value")) not in known:
            becomes_main = entry.get("system") == names.NHS_NUMBER and not has_number
            merged["identifier"].append(entry if becomes_main else {**entry, "use": "old"})
    for key in FILLED:
        if key in discarded and key not in kept:
            merged[key] = discarded[key]
    if not kept.get("deceasedDateTime") and any(discarded.get(key) for key in DEATH):
        merged = {key: value for key, value in merged.items() if key not in DEATH}
        merged |= {key: discarded[key] for key in DEATH if discarded.get(key)}
    return merged


def _discarded(discarded: dict[str, Any], kept: str) -> dict[str, Any]:
    return {**discarded, "active": False, "link": [*discarded.get("link", ()), _link(kept, "replaced-by")]}


def _link(patient: str, type: str) -> dict[str, Any]:
    return {"other": {"reference": f"Patient/{patient}"}, "type": type}


def _repointed(stored: Stored, discarded: str, kept: str) -> Put:
    resource = stored.resource
    rewrite(resource, {f"Patient/{discarded}": f"Patient/{kept}"})
    return Put(resource, stored.version, stored.owners)


def _provenance(access: Access, kept: str, discarded: str) -> dict[str, Any]:
    return {
        "resourceType": "Provenance",
        "id": derived_id("merge", kept, discarded),
        "target": [{"reference": f"Patient/{kept}"}, {"reference": f"Patient/{discarded}"}],
        "recorded": clock.instant(clock.micros()),
        "activity": {"coding": [{"system": LIFECYCLE, "code": "merge", "display": "Merge Record Lifecycle Event"}]},
        "agent": [{"who": {"display": access.who}}],
    }


@cache
def _referring() -> dict[str, tuple[str, ...]]:
    """Search parameter -> types: every way in which R4 lets a resource refer to a Patient."""
    ways: dict[str, list[str]] = defaultdict(list)
    for param in r4().search_parameters:
        if param.type == "reference" and "Patient" in param.targets:
            ways[param.code].extend(base for base in param.base if base in r4().resources and base not in KEPT)
    return {code: tuple(sorted(set(types))) for code, types in ways.items() if types}

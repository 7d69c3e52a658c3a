"""Which child is it? Finding a child by its identifiers, sharing it with a second hospital, and following a merge.

Invariants:

- A child with a verified NHS number is one Patient, however many hospitals send it. Each hospital that sends it is
  added to its owners (`Share`); nothing else of another hospital becomes visible by that.
- A Patient that was merged away (`active` false, `link` replaced-by) is never returned: the retained one is.
- A number with the wrong check digit identifies nobody. Two records that contradict each other are never joined by guess:
  `IdentityConflict`, and a person decides.

New Patients are committed by `create_child` (or with `identity_guards`, under SYSTEM), because a hospital cannot see
the Patient that another hospital is making at the same moment.
"""

from typing import Any

from app import names
from app.ids import new_id
from app.registry.identity import (
    IdentityConflict,
    identifiers,
    identity_guards,
    nhs_number,
    normal_nhs_number,
    organisation,
    organisation_reference,
    replaced_by,
    valid_nhs_number,
)
from app.registry.merging import merge, merge_writes, retained
from app.registry.plans import by_identifier
from app.security.access import SYSTEM, Access
from app.store.protocol import GuardFailed, Put, Share, Store, Stored

__all__ = [
    "IdentityConflict",
    "create_child",
    "find_child",
    "identifiers",
    "identity_guards",
    "merge",
    "merge_writes",
    "nhs_number",
    "normal_nhs_number",
    "organisation",
    "organisation_reference",
    "replaced_by",
    "retained",
    "share_with",
    "valid_nhs_number",
]


async def _known(store: Store, access: Access, system: str, value: str) -> list[Stored]:
    """The retained children with this identifier, the first made first (ids rise with time). More than one is a mistake of somebody."""
    found = await store.search(access, by_identifier("Patient", (system, value)))
    ends = {end.id: end for end in [await retained(store, match) for match in found.matches]}
    return [ends[id] for id in sorted(ends)]


async def _local(store: Store, access: Access, mrn: tuple[str, str]) -> Stored | None:
    """The hospital's own child with this number. Raises IdentityConflict where there are two."""
    known = await _known(store, access, names.mrn_system(mrn[0]), mrn[1])
    if len(known) > 1:
        raise IdentityConflict("Two children of the hospital carry this number; merge them or correct one.")
    return known[0] if known else None


async def _national(store: Store, access: Access, number: str, *, may_join: bool) -> Stored | None:
    """The one child with this NHS number. Two records with one number and one date of birth (two hospitals' systems each stored theirs)
    become one. Raises IdentityConflict where they contradict each other, or may not be joined just now.
    """
    known = await _known(store, SYSTEM, names.NHS_NUMBER, number)
    born = {child.resource.get("birthDate") for child in known}
    if len(known) > 1 and (None in born or len(born) > 1 or not may_join):
        raise IdentityConflict("Two children carry this NHS number; merge them or correct one.")
    for other in known[1:]:
        await merge(store, access, known[0], other)
    return await store.read(SYSTEM, "Patient", known[0].id) if len(known) > 1 else next(iter(known), None)


async def find_child(
    store: Store,
    access: Access,
    *,
    nhs_number: str | None = None,
    mrn: tuple[str, str] | None = None,
    birth_date: str | None = None,
    share: bool = True,
) -> Stored | None:
    """The child, or None if nobody knows it.

    `mrn` is (ODS code, number) and is searched as the caller; a valid `nhs_number` is searched nationally. A child that only another
    hospital knew is shared with the caller's hospitals at once (unless `share` is False), if the dates of birth do not differ.
    Where the hospital's number and the NHS number lead to two records and only one of them has an NHS number, or two records have the same
    one, they are joined (not if `share` is False).
    Raises IdentityConflict where they cannot be the same child.
    """
    number = normal_nhs_number(nhs_number)
    national = await _national(store, access, number, may_join=share) if number else None
    local = await _local(store, access, mrn) if mrn and mrn[1] else None
    if national is None or (local is not None and local.id == national.id):
        _refuse_second_number(local, number)
        return local
    if not _theirs(national, access) and not _dates_agree(national, birth_date):
        raise IdentityConflict("This NHS number is known with another date of birth.")
    if not share:
        return national
    if local is not None:
        return await _join(store, access, national, local, birth_date)
    return await share_with(store, access, national)


def _refuse_second_number(local: Stored | None, number: str | None) -> None:
    known = nhs_number(local.resource) if local is not None and number else None
    if known and known != number:
        raise IdentityConflict("The hospital's number is known with another NHS number.")


def _theirs(patient: Stored, access: Access) -> bool:
    return not access.everything and bool(patient.owners & access.stamp())


def _dates_agree(patient: Stored, birth_date: str | None) -> bool:
    known = patient.resource.get("birthDate")
    return not known or not birth_date or known.startswith(birth_date) or birth_date.startswith(known)


async def share_with(store: Store, access: Access, patient: Stored) -> Stored:
    """Let the caller's hospitals see this Patient; returns it as it now stands."""
    if access.stamp() <= patient.owners:
        return patient
    await store.commit(SYSTEM, [Share("Patient", patient.id, access.stamp())])
    return await store.read(SYSTEM, "Patient", patient.id)


async def _join(store: Store, access: Access, national: Stored, local: Stored, birth_date: str | None) -> Stored:
    """A hospital learned the NHS number of a child that it knew without one: two records, one child."""
    known = local.resource.get("birthDate") or birth_date
    if nhs_number(local.resource) or not known or not _dates_agree(national, known):
        raise IdentityConflict("The hospital's number and the NHS number belong to two children.")
    await merge(store, access, national, local)
    return await share_with(store, access, await store.read(SYSTEM, "Patient", national.id))


async def create_child(store: Store, access: Access, patient: dict[str, Any]) -> Stored:
    """Store a new Patient for the caller's hospitals, or return the one that somebody else has just made."""
    try:
        put = Put({"id": new_id(), **patient}, if_version=0, owners=access.stamp())
        [stored] = await store.commit(SYSTEM, [put], identity_guards(patient))
        assert stored is not None
        return stored
    except GuardFailed:
        number = nhs_number(patient)
        prefix = names.mrn_system("")
        for entry in patient.get("identifier", ()):
            mrn = (entry["system"][len(prefix) :], entry["value"]) if entry.get("system", "").startswith(prefix) else None
            if found := await find_child(store, access, nhs_number=number, mrn=mrn, birth_date=patient.get("birthDate")):
                return found
        raise

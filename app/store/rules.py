"""What every store judges alike when it writes: who may change what, whose a resource becomes, what a version's bytes are.

Pure functions: a store brings what it has read, and these say yes, no, or with which marks. One place, so that no two stores can differ.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from app.fhir.codec import decode, encode
from app.fhir.errors import FHIRError, Forbidden, Invalid, NotFound
from app.fhir.search.types import Entries
from app.security.access import Access
from app.store.protocol import VersionConflict


def sees(access: Access, owners: frozenset[str]) -> bool:
    """Whether the caller may know of a resource with these marks."""
    return access.everything or not owners.isdisjoint(access.owners())


def require_own(access: Access, owners: frozenset[str], type: str, id: str) -> None:
    """Raises NotFound for what the caller does not see, Forbidden for what is shared with it but not its own."""
    if not sees(access, owners):
        raise NotFound(f"{type}/{id} is not there.")
    if not access.everything and owners.isdisjoint(access.stamp()):
        raise Forbidden(f"{type}/{id} is shared with all hospitals; only the national administrator changes it.")


def check_version(have: int, wanted: int | None, name: str) -> None:
    """`have` 0: it is not there. Raises VersionConflict."""
    if wanted is not None and wanted != have:
        said = f"{name} is at version {have}" if have else f"{name} is not there"
        raise VersionConflict(f"Expected {f'version {wanted}' if wanted else 'nothing'}, but {said}.")


def owners_after(
    access: Access, asked: frozenset[str] | None, carried: frozenset[str], of_patients: Iterable[frozenset[str]]
) -> frozenset[str]:
    """What `Put.owners` promises; a caller with hospitals marks with these alone, and takes no other's mark away."""
    if access.everything:
        return asked if asked is not None else carried.union(*of_patients)
    own = access.stamp()
    if not own:
        raise Forbidden("This caller belongs to no hospital and may not store anything.")
    if asked is not None and (not asked or not asked <= own):
        raise Forbidden("A resource can only be marked with hospitals of the caller's own.")
    return carried | (own if asked is None else asked)


def name_of(resource: Mapping[str, Any]) -> tuple[str, str]:
    """Type and id. Raises Invalid where one is missing."""
    type, id = resource.get("resourceType"), resource.get("id")
    if not isinstance(type, str) or not isinstance(id, str) or not type or not id:
        raise Invalid("A resource needs a type and an id before it can be stored.")
    return type, id


def intact(raw: object, type: str, id: str, version: int) -> bool:
    """Whether the bytes of a version still say what they are; False where a disk has spoilt them."""
    try:
        resource = decode(raw) if isinstance(raw, bytes) else {}
    except FHIRError:
        return False
    meta = resource.get("meta")
    told = meta.get("versionId") if isinstance(meta, dict) else None
    return (resource.get("resourceType"), resource.get("id"), told) == (type, id, str(version))


def body_of(resource: Mapping[str, Any]) -> bytes:
    """What can be encoded before the version is known."""
    return encode({name: value for name, value in resource.items() if name not in ("resourceType", "id", "meta")})


def patients_of(entries: Entries) -> frozenset[str]:
    """The ids of the children that a resource is about."""
    return frozenset(
        entry.id for entry in entries.references if entry.type == "Patient" and entry.id and entry.param in ("patient", "subject")
    )


def whole(resource: Mapping[str, Any], body: bytes, version: int, updated: str) -> bytes:
    """The version's bytes: type, id and meta spliced before the rest."""
    meta = {**(resource.get("meta") or {}), "versionId": str(version), "lastUpdated": updated}
    head = encode({"resourceType": resource["resourceType"], "id": resource["id"], "meta": meta})
    return head if body == b"{}" else b"%s,%s" % (head[:-1], body[1:])


def same(one: Any, other: Any) -> bool:
    """Equal as JSON, where 1.0 is not 1.00 and the order of members does not matter."""
    return bool(_canonical(one) == _canonical(other))


def _canonical(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _canonical(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    return value if isinstance(value, str) else (type(value).__name__, str(value))

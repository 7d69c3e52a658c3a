"""Who may see what of a measure.

Aggregates are for everyone who is signed in, and for the public page; small numbers for the hospital itself alone; single children only for those who
may see their records.
"""

from app.fhir.errors import Forbidden
from app.outcomes.case_facts import CaseFacts
from app.security.access import Access


def sees_small_numbers(access: Access, hospital: str) -> bool:
    """The hospital itself, and the server for its own work. Not national bodies: what they get may be passed on."""
    return access.role == "system" or (access.role in ("hospital", "vendor") and hospital in (access.hospitals or frozenset()))


def sees_child(access: Access, facts: CaseFacts) -> bool:
    """Whoever may read the child's own resources."""
    if access.everything:
        return True
    return access.role in ("hospital", "vendor") and facts.hospital in (access.hospitals or frozenset())


def must_be_staff(access: Access) -> None:
    """Parents and the public have pages, not operations. Raises Forbidden."""
    if access.role in ("parent", "public"):
        raise Forbidden("Measures are evaluated for hospitals and national bodies; the public figures are on the public page.")

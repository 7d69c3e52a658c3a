"""`Access`: who asks, for which hospitals, with which scopes. The store applies it; no caller can forget it.

Invariants: roles are closed; a hospital or vendor sees resources that carry one of its own hospitals, and those
shared with all (`SHARED`: questionnaires, measures, organisations); a parent sees nothing through the FHIR API but the one task that
a link opened; `system` is the server itself (intake, consumers) and never comes from a request.
"""

from dataclasses import dataclass, field
from typing import Literal

Role = Literal["system", "national", "hospital", "vendor", "parent", "public"]
SHARED = "*"  # an owner that everyone who is signed in may read


@dataclass(frozen=True, slots=True)
class Access:
    """`hospitals` are ODS codes; None means all (only for `system` and `national`)."""

    who: str
    role: Role
    hospitals: frozenset[str] | None = frozenset()
    scopes: frozenset[str] = frozenset()  # SMART v2, such as `system/*.cruds`; empty: whatever the role allows
    patient: str | None = None
    name: str = field(default="", compare=False)  # for a page's header, never for a log

    @property
    def everything(self) -> bool:
        """True where no owner filter applies."""
        return self.hospitals is None and self.role in ("system", "national")

    @property
    def may_write(self) -> bool:
        """True for roles that may store resources at all."""
        return self.role in ("system", "national", "hospital", "vendor")

    def owners(self) -> frozenset[str]:
        """The owner marks that this caller may read."""
        return (self.hospitals or frozenset()) | {SHARED} if self.role not in ("public", "parent") else frozenset()

    def stamp(self) -> frozenset[str]:
        """The owner marks that a resource gets when this caller stores it."""
        return self.hospitals or frozenset()


SYSTEM = Access("system", "system", None)
PUBLIC = Access("public", "public")
SANDBOX = Access("sandbox", "national", None, name="Sandbox administrator")

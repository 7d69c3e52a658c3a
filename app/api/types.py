"""Which resource types there are, as the URL may name them."""

from app.fhir.definitions import r4
from app.fhir.errors import NotFound

_NOT_SERVED = {"Parameters"}  # R4: has no REST interactions


def served() -> list[str]:
    """All types with REST interactions, in alphabetical order."""
    return sorted(r4().resources - _NOT_SERVED)


def known(type: str) -> str:
    """The type itself. Raises NotFound."""
    if type not in r4().resources or type in _NOT_SERVED:
        raise NotFound(f"There is no resource type '{type[:60]}' in FHIR R4.")
    return type

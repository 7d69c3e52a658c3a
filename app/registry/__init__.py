"""Children's surgery as FHIR: which child it is, which case, what happened, and when its parents are asked.

Invariants: a child is one Patient and a case one EpisodeOfCare, whatever sends them; facts of a case are derived from its resources
and can be made again at any time.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from app.fhir.errors import Forbidden
from app.security.access import Access
from app.store.protocol import Guard, Hook, Store, Write


def hooks(store: Store) -> Mapping[str, Hook]:
    """What joins the commit of a resource, or refuses it, by its type."""
    from app.registry import operative_record

    return {**operative_record.hooks(store), "EpisodeOfCare": _own_case}


async def _own_case(access: Access, resource: dict[str, Any], beside: Mapping[str, dict[str, Any]]) -> Sequence[Write | Guard]:
    """Nobody tells a case of another hospital: its outcome would count there. Raises Forbidden."""
    from app.registry.facts import condition_of, hospital_of

    hospital = hospital_of(resource)
    if access.hospitals is not None and hospital and hospital not in access.hospitals and condition_of(resource):
        raise Forbidden(
            f"This is a case of the hospital {hospital[:20]}; only that hospital or the nation stores it.",
            expression="EpisodeOfCare.managingOrganization",
        )
    return []


def services(store: Store) -> list[Any]:
    """The consumers of the change feed."""
    from app.registry.consumer import CaseFactsConsumer
    from app.registry.follow_up.consumer import FollowUp

    return [CaseFactsConsumer(store), FollowUp(store)]

"""Children's surgery as FHIR: which child it is, which case, what happened, and when its parents are asked.

Invariants: a child is one Patient and a case one EpisodeOfCare, whatever sends them; facts of a case are derived from its resources
and can be made again at any time.
"""

from collections.abc import Mapping
from typing import Any

from app.store.protocol import Hook, Store


def hooks(store: Store) -> Mapping[str, Hook]:
    """What joins the commit of a resource, by its type."""
    from app.registry import operative_record

    found: Mapping[str, Hook] = operative_record.hooks(store)
    return found


def services(store: Store) -> list[Any]:
    """The consumers of the change feed."""
    from app.registry.consumer import CaseFactsConsumer
    from app.registry.follow_up.consumer import FollowUp

    return [CaseFactsConsumer(store), FollowUp(store)]

"""Operative records: what a surgeon fills in after an operation, and what that makes.

Completing one is the notification of the case. What must stay true: the record and all that it makes are stored in one commit or not at
all; a child has one case for each condition; nothing is asked twice and nothing is stored that the surgeon did not say.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from app.fhir.errors import Invalid, NotFound
from app.fhir.validation import check
from app.ids import new_id
from app.registry.operative_record.case import find_case
from app.registry.operative_record.completion import FINAL, targets_of, writes_for
from app.registry.operative_record.launching import begin, launch, likely_condition
from app.registry.operative_record.questionnaires import condition_name, condition_of, questionnaire
from app.security.access import Access
from app.store.protocol import Guard, GuardFailed, Hook, Put, Store, Stored, VersionConflict, Write

__all__ = [
    "FINAL",
    "begin",
    "complete",
    "condition_name",
    "condition_of",
    "find_case",
    "hooks",
    "launch",
    "likely_condition",
    "questionnaire",
    "targets_of",
    "writes_for",
]

_ATTEMPTS = 5


def hooks(store: Store) -> Mapping[str, Hook]:
    """What the write paths call before they store a resource of a type, and commit with it."""

    async def on_response(
        access: Access, resource: dict[str, Any], beside: Mapping[str, dict[str, Any]]
    ) -> Sequence[Write | Guard]:
        return await writes_for(store, access, resource, beside)

    return {"QuestionnaireResponse": on_response}


async def complete(store: Store, access: Access, response: dict[str, Any], *, extra: Sequence[Write] = ()) -> Stored:
    """Store a completed or amended operative record with all that it makes, and `extra`, in one commit.

    The same record again changes nothing. Raises Invalid with every issue, and whatever `writes_for` raises.
    """
    response = {"id": new_id(), **response}
    if condition_of(response) is None or response.get("status") not in FINAL:
        raise Invalid("This is not a completed operative record.", expression="QuestionnaireResponse.status")
    check(response)
    for attempt in range(_ATTEMPTS):
        joined = await writes_for(store, access, response)
        writes = [write for write in joined if not isinstance(write, Guard)]
        guards = [guard for guard in joined if isinstance(guard, Guard)]
        try:
            results = await store.commit(access, [Put(response, unchanged_ok=True), *writes, *extra], guards)
        except (GuardFailed, VersionConflict, NotFound):  # NotFound: another hospital, whose case this one cannot see, was faster
            if attempt == _ATTEMPTS - 1:
                raise
            continue
        assert results[0] is not None
        return results[0]
    raise AssertionError("unreachable")

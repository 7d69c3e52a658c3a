"""A new case starts the follow-up; a death or a cancelled case ends it. Runs on the change feed, so it misses nothing and may be run again."""

from collections.abc import Sequence
from datetime import date
from typing import Any

from app.ids import derived_id
from app.registry.follow_up.eligibility import died
from app.registry.follow_up.invitations import ending_writes
from app.registry.follow_up.schedule import Schedule, plan_writes, schedule
from app.registry.plans import of_patient
from app.security.access import SYSTEM
from app.store.consumer import Consumer
from app.store.protocol import Change, Store, Write

OPEN = ("planned", "waitlist", "active", "onhold", "finished")


class FollowUp(Consumer):
    """Consumer `follow-up`."""

    name = "follow-up"

    def __init__(self, store: Store, plan: Schedule | None = None) -> None:
        super().__init__(store)
        self._plan = plan or schedule()

    async def handle(self, changes: list[Change]) -> Sequence[Write]:
        """The writes that the changes ask for."""
        cases = dict.fromkeys(change.id for change in changes if change.type == "EpisodeOfCare" and change.action != "delete")
        patients = dict.fromkeys(change.id for change in changes if change.type == "Patient" and change.action != "delete")
        writes: list[Write] = []
        ended: set[str] = set()
        for stored in await self.store.read_many(SYSTEM, [f"Patient/{id}" for id in patients]):
            if died(stored.resource):
                found = await self.store.search(SYSTEM, of_patient(("EpisodeOfCare",), stored.id))
                for case in found.matches:
                    ended.add(case.id)
                    writes += await self._end(case.id, "child-died")
        for stored in await self.store.read_many(SYSTEM, [f"EpisodeOfCare/{id}" for id in cases if id not in ended]):
            case = stored.resource
            writes += await (self._start(case) if case.get("status") in OPEN else self._end(stored.id, "case-cancelled"))
        return writes

    async def _start(self, case: dict[str, Any]) -> list[Write]:
        first = str((case.get("period") or {}).get("start", ""))[:10]
        if len(first) < 10:
            return []
        ids = [derived_id("follow-up", case["id"], point.id) for point in self._plan.points]
        present = [stored.id for stored in await self.store.read_many(SYSTEM, [f"Task/{id}" for id in ids])]
        if len(present) == len(ids):
            return []
        return plan_writes(case, date.fromisoformat(first), self._plan, present)

    async def _end(self, case: str, reason: str) -> list[Write]:
        records = await self.store.find_records(SYSTEM, "invitation", tag=case)
        writes: list[Write] = []
        for record in records:
            if record.state in ("waiting", "asked"):
                writes += await ending_writes(self.store, record, reason)
        return writes

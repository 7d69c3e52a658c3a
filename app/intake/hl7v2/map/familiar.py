"""Whom messages spoke of lately: most of a feed is about children that it has just named, and a search costs more than a read."""

from typing import Any

from app import names
from app.intake.hl7v2.map.patient import Identity
from app.registry import patients
from app.security.access import SYSTEM
from app.store.protocol import Store, Stored


class Familiar:
    """Children found lately, so that the next message about one needs no search. What it remembers is checked before it is believed."""

    def __init__(self, most: int = 20_000) -> None:
        self._ids: dict[tuple[Any, ...], str] = {}
        self._most = most

    async def find(self, store: Store, ods: str, who: Identity) -> Stored | None:
        """The child, if it still has all these numbers, is this hospital's, and was not merged away."""
        id = self._ids.get((ods, who.nhs_number, *who.mrns))
        found = await store.read_many(SYSTEM, [f"Patient/{id}"]) if id else []
        if not found or ods not in found[0].owners:
            return None
        resource = found[0].resource
        have = {(each.get("system"), each.get("value")) for each in resource.get("identifier", ()) if each.get("use") != "old"}
        wanted = {(names.mrn_system(key), value) for key, value in who.mrns}
        if who.nhs_number:
            wanted.add((names.NHS_NUMBER, who.nhs_number))
        return found[0] if wanted <= have and patients.replaced_by(resource) is None else None

    def remember(self, ods: str, who: Identity, child: Stored) -> None:
        if len(self._ids) >= self._most:
            self._ids.clear()
        self._ids[ods, who.nhs_number, *who.mrns] = child.id

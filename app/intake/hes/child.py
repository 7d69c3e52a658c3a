"""One person of a HES file: linked to a child or not, their spells, and the writes that tell the child's record of them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from app.intake.hes.episodes import Episode
from app.intake.hes.linkage import Link, link
from app.intake.hes.resources import resources
from app.intake.hes.spells import Spell, distinct, provider_spells
from app.store.protocol import Put, Store, Write


class Part(NamedTuple):
    """What one person adds to an import. Without a `link`, `reason` says why, and `writes` and `spells` are empty."""

    person: str
    rows: Sequence[Episode]
    link: Link | None
    reason: str
    spells: Sequence[Spell]
    writes: Sequence[Write]
    repeated: int
    variant: str


async def part_of(store: Store, person: str, rows: Sequence[Episode], variant: str) -> Part:
    """Link a person and make the writes, for a commit as SYSTEM."""
    linked = await link(store, person, {e.nhs_number for e in rows if e.nhs_number}, {e.born for e in rows if e.born})
    kept = distinct(rows)
    repeated = len(rows) - len(kept)
    if isinstance(linked, str):
        return Part(person, kept, None, linked, (), (), repeated, variant)
    spells = provider_spells(kept)
    writes: list[Write] = [linked.record] if linked.record else []
    for spell in spells:
        owners = linked.child.owners | {spell.provider}
        writes += [Put(each, owners=owners, unchanged_ok=True) for each in resources(spell, linked.child.id, linked.anchor)]
    if death := _death(linked, spells):
        writes.append(death)
    return Part(person, kept, linked, "", spells, writes, repeated, variant)


def _death(linked: Link, spells: Sequence[Spell]) -> Put | None:
    """A death in hospital that nobody has told of with its day. What the hospital itself said of the day stands."""
    died = max((spell.died for spell in spells), default="")
    child: dict[str, Any] = linked.child.resource
    if not died or child.get("deceasedDateTime"):
        return None
    known = {key: value for key, value in child.items() if key != "deceasedBoolean"}
    return Put({**known, "deceasedDateTime": died}, linked.child.version, linked.child.owners)

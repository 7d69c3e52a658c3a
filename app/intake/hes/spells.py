"""Episodes into provider spells, and spells into continuous stays. Pure; the order of the rows never matters.

Provider spell: group by person and provider, sort, and an episode goes on with the spell before it if it has the same admission
date or the same start, or if that spell had not ended (discharge method 8 or 9) and it begins on the day on which that ended. The
first episode tells of the admission, the last of the discharge.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import date
from itertools import groupby
from typing import NamedTuple

from app.intake.hes.episodes import Episode, codes

VARIANTS = ("epidm", "health-foundation")
EMERGENCY_WITHIN = 29  # days after discharge
TRANSFERRED = ("51", "52", "53")


class Spell(NamedTuple):
    """One stay in one provider, its episodes in order."""

    episodes: tuple[Episode, ...]

    @property
    def first(self) -> Episode:
        return self.episodes[0]

    @property
    def last(self) -> Episode:
        return self.episodes[-1]

    @property
    def provider(self) -> str:
        return self.first.provider

    @property
    def admitted(self) -> str:
        return self.first.admitted

    @property
    def discharged(self) -> str:
        """The day of discharge; `` while the child is still in."""
        if self.last.discharge_method in codes()["DISMETH"]["still-in"]:
            return ""
        return self.last.discharged or (self.last.end if self.last.discharge_method else "")

    @property
    def died(self) -> str:
        """The day of death in hospital, else ``."""
        return (self.last.discharged or self.last.end) if self.last.discharge_method in codes()["DISMETH"]["died"] else ""

    def first_of(self, field: str) -> str:
        """The first non-empty value of a field, from the first episode on."""
        return next((value for episode in self.episodes if (value := getattr(episode, field))), "")


def distinct(episodes: Iterable[Episode]) -> list[Episode]:
    """One episode for each EPIKEY: the last in the file, because extracts append corrections."""
    found: dict[str, Episode] = {}
    for episode in sorted(episodes, key=lambda each: each.line):
        found[episode.key] = episode
    return list(found.values())


def transit(episode: Episode) -> int:
    """0 came from and went home, 1 was transferred out, 2 in and out, 3 in: the order of stays on one day."""
    came = episode.admission_source in TRANSFERRED or episode.admission_method in codes()["ADMIMETH"]["transfer"]
    went = episode.destination in TRANSFERRED
    return (2 if went else 3) if came else int(went)


def _order(episode: Episode) -> tuple[str, str, int, int, str]:
    return episode.start, episode.end, episode.order, transit(episode), episode.key


def provider_spells(episodes: Iterable[Episode]) -> list[Spell]:
    """The spells of one person, by provider and time."""
    spells: list[Spell] = []
    grouped = sorted(distinct(episodes), key=lambda each: (each.provider, _order(each)))
    for _, of_provider in groupby(grouped, key=lambda each: each.provider):
        running: list[Episode] = []
        for episode in of_provider:
            if running and not _same_spell(running[-1], episode):
                spells.append(Spell(tuple(running)))
                running = []
            running.append(episode)
        spells.append(Spell(tuple(running)))
    return spells


def _same_spell(before: Episode, after: Episode) -> bool:
    if after.admitted == before.admitted or after.start == before.start:
        return True
    return before.discharge_method in codes()["DISMETH"]["still-in"] and after.start == before.end


def continuous(spells: Sequence[Spell], variant: str = "epidm") -> list[list[Spell]]:
    """The spells of one person joined across providers where one transferred the child to the next.

    `variant` is one of `VARIANTS`: how UKHSA's epidm or the Health Foundation's pipeline join them.
    """
    joined: list[list[Spell]] = []
    for spell in sorted(spells, key=lambda each: (each.admitted, each.discharged or "9999", transit(each.first), each.first.key)):
        if joined and _transferred(joined[-1][-1], spell, variant):
            joined[-1].append(spell)
        else:
            joined.append([spell])
    return joined


def _transferred(before: Spell, after: Spell, variant: str) -> bool:
    rule = codes()["continuous"][variant]
    left, came = before.last, after.first
    if not before.discharged or not 0 <= _days(before.discharged, after.admitted) <= rule["gap"]:
        return False
    if variant == "epidm" and (_regular(before) or _regular(after) or _back_by_emergency(left, came)):
        return False
    return (
        left.destination in rule["DISDEST"]
        or came.admission_source in rule["ADMISORC"]
        or came.admission_method in rule["ADMIMETH"]
    )


def _regular(spell: Spell) -> bool:
    return spell.first.patient_class in codes()["CLASSPAT"]["regular"]


def _back_by_emergency(left: Episode, came: Episode) -> bool:
    return left.destination == "19" and came.admission_source == "51" and came.admission_method == "21"


def emergency_readmissions(stays: Sequence[Sequence[Spell]], is_emergency: Callable[[str], bool]) -> int:
    """Continuous stays that began as an emergency 0 to 29 days after the last discharge before them."""
    count = 0
    for stay in stays:
        if is_emergency(stay[0].first_of("admission_method")):
            left = [
                s[-1].discharged for s in stays if s is not stay and s[-1].discharged and s[-1].discharged <= stay[0].admitted
            ]
            count += bool(left) and _days(max(left), stay[0].admitted) <= EMERGENCY_WITHIN
    return count


def _days(first: str, last: str) -> int:
    return (date.fromisoformat(last) - date.fromisoformat(first)).days

"""The truth: ten simulated hospitals and the children whom they treated in three years, from one seed.

Proportions of the conditions, case mix and outcomes follow the published UK cohorts (sources in `docs/explanation/simulation.md`); what no
cohort gives is a plain guess of the simulation. No child, parent or hospital here exists.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from math import exp

from app.demo.pathways import CONDITION_SHARE, PATHWAYS, Pathway, Severity
from app.outcomes.case_facts import HORIZON_DAYS, OperationKind

HOSPITALS = (
    # ODS-shaped codes that begin with Z: no provider has one. The last two columns: how data arrive, and the quality of care.
    ("ZAA", "Alderbrook Children's Hospital", "hl7v2", 0.0),
    ("ZBB", "Birchfield Infirmary", "hl7v2", 0.0),
    ("ZCC", "Cedarholm Hospital", "fhir", 0.0),
    ("ZDD", "Dovecliff Children's Hospital", "hl7v2", 0.0),
    ("ZEE", "Elmwater University Hospital", "hl7v2", -1.2),
    ("ZFF", "Fernhill Hospital", "hl7v2", 0.0),
    ("ZGG", "Gorsemoor Children's Hospital", "hl7v2", 0.75),
    ("ZHH", "Hawthorn Bay Hospital", "fhir", 0.0),
    ("ZJJ", "Junipervale Infirmary", "hl7v2", 0.0),
    ("ZKK", "Kestrelford Hospital", "hl7v2", 0.0),
)
FAMILY = "Ash Beech Birch Bracken Briar Cedar Clover Elder Fern Gorse Hazel Heather Holly Juniper Larch Linden Maple Oak Rowan Sorrel".split()
GIVEN = "Amber Beryl Coral Dove Finch Garnet Heron Ivory Jade Jasper Lark Merle Opal Pearl Robin Ruby Starling Swift Topaz Wren".split()


@dataclass(frozen=True, slots=True)
class Hospital:
    """`channel` is how its data arrive; `quality` shifts every bad outcome (0 is average, 1 worse, -1 better)."""

    ods: str
    name: str
    channel: str
    quality: float


@dataclass(frozen=True, slots=True)
class Operation:
    """One theatre visit. `recorded`: the surgeon completed an operative record; else only episode statistics know."""

    on: date
    kind: OperationKind
    opcs: str
    spell: int
    recorded: bool
    index: bool = False


@dataclass(slots=True)
class Spell:
    """One provider spell. `infection` is an ICD-10 code where an infection was treated in it."""

    number: int
    admitted: date
    discharged: date
    method: str  # NHS admission method
    infection: str | None = None
    died: bool = False


@dataclass(slots=True)
class Child:
    """All that is true of one child."""

    number: int
    hospital: Hospital
    nhs_number: str
    mrn: str
    family: str
    given: str
    sex: str  # male | female
    born: date
    condition: str
    severity: Severity
    gestation: float
    weight: int
    cardiac: bool
    chromosomal: bool
    other_anomaly: bool
    antenatal: bool
    inborn: bool
    operations: list[Operation] = field(default_factory=list)
    spells: list[Spell] = field(default_factory=list)
    died: date | None = None
    death_known_by: str = ""  # hospital | register | statistics
    quality_of_life: int = 0
    responds: bool = True

    @property
    def email(self) -> str:
        return f"parent-{self.number:05d}@parents.example.org"

    @property
    def index(self) -> Operation:
        return next(operation for operation in self.operations if operation.index)

    @property
    def as_of(self) -> date:
        """The last day that counts for the score."""
        horizon = self.index.on + timedelta(days=HORIZON_DAYS)
        return min(horizon, self.died) if self.died else horizon

    @property
    def died_within(self) -> date | None:
        """The day of death if it came within the horizon."""
        return self.died if self.died and self.died <= self.index.on + timedelta(days=HORIZON_DAYS) else None

    def counted_operations(self) -> list[tuple[str, str]]:
        """(day, kind) of what the score counts, by day."""
        return sorted((o.on.isoformat(), o.kind) for o in self.operations if self.index.on <= o.on <= self.as_of)

    def counted_infections(self) -> list[str]:
        """Admission days of the spells with an infection that the score counts."""
        return sorted(
            s.admitted.isoformat()
            for s in self.spells
            if s.infection and s.admitted <= self.as_of and s.discharged >= self.index.on
        )

    @property
    def answered_quality(self) -> int | None:
        """The level that a parent's answer says, if one could be asked and did answer."""
        return None if self.died or not self.responds else self.quality_of_life


@dataclass(frozen=True, slots=True)
class Nation:
    hospitals: tuple[Hospital, ...]
    children: tuple[Child, ...]
    start: date  # first day of birth
    end: date  # last day of birth

    def of(self, ods: str) -> list[Child]:
        return [child for child in self.children if child.hospital.ods == ods]


def simulate(today: date, *, seed: int = 2026, per_year: int = 550, years: int = 3) -> Nation:
    """The nation whose youngest child had its first operation long enough ago for a year's outcome to be known by `today`."""
    rng = random.Random(seed)  # noqa: S311 - a simulation, not a secret
    end = (today.replace(day=1) - timedelta(days=HORIZON_DAYS + 120)).replace(day=1) - timedelta(days=1)
    start = end.replace(year=end.year - years) + timedelta(days=1)
    hospitals = tuple(Hospital(*row) for row in HOSPITALS)
    numbers = demonstration_nhs_numbers()
    children = []
    for number in range(1, per_year * years + 1):
        hospital = hospitals[rng.randrange(len(hospitals))]
        born = start + timedelta(days=rng.randrange((end - start).days + 1))
        children.append(_child(rng, number, next(numbers), hospital, born))
    return Nation(hospitals, tuple(children), start, end)


def _child(rng: random.Random, number: int, nhs_number: str, hospital: Hospital, born: date) -> Child:
    condition = rng.choices(list(CONDITION_SHARE), list(CONDITION_SHARE.values()))[0]
    pathway = PATHWAYS[condition]
    severity = rng.choices(pathway.severities, [s.share for s in pathway.severities])[0]
    gestation = round(min(42.0, max(23.0, rng.gauss(pathway.gestation, pathway.gestation_sd))), 0)
    child = Child(
        number=number,
        hospital=hospital,
        nhs_number=nhs_number,
        mrn=f"{hospital.ods}{number:06d}",
        family=rng.choice(FAMILY),
        given=rng.choice(GIVEN),
        sex="male" if rng.random() < pathway.male else "female",
        born=born,
        condition=condition,
        severity=severity,
        gestation=gestation,
        weight=int(min(4800, max(480, 3400 - 170 * (40 - gestation) + rng.gauss(0, 380)))),
        cardiac=rng.random() < pathway.cardiac,
        chromosomal=rng.random() < pathway.chromosomal,
        other_anomaly=rng.random() < pathway.other_anomaly,
        antenatal=rng.random() < pathway.antenatal,
        inborn=rng.random() < 0.6,
    )
    _treat(rng, child, pathway)
    return child


def _treat(rng: random.Random, child: Child, pathway: Pathway) -> None:
    """The first spell with the first operation; then what followed, worse for sicker children and in worse hands."""
    quality = child.hospital.quality
    risk = (
        0.75 * child.severity.grade
        + 0.8 * child.cardiac
        + 0.7 * child.chromosomal
        + 0.2 * child.other_anomaly
        + 0.35 * (child.weight < 2000)
        + 0.06 * max(0.0, 36 - child.gestation)
        - pathway.mean_risk
    )
    first_day = child.born + timedelta(days=rng.randint(*pathway.operated_on_day))
    stay = max(5, int(rng.gammavariate(4, pathway.stay_days / 4)))
    admitted = child.born if first_day - child.born <= timedelta(days=60) else first_day - timedelta(days=1)
    method = ("82" if child.inborn else "81") if admitted == child.born else "21"
    first = Spell(1, admitted, first_day + timedelta(days=stay), method)
    child.spells.append(first)
    child.operations.append(
        Operation(first_day, pathway.index_kind, rng.choice(pathway.index_opcs), 1, recorded=True, index=True)
    )

    hazard = exp(0.85 * quality + 0.45 * risk)
    if rng.random() < 1 - exp(-pathway.first_infection * hazard):
        first.infection = rng.choice(("P369", "P368", "A419", "T814", "T827"))
    if rng.random() < 1 - exp(-pathway.early_reoperation * hazard):
        day = first_day + timedelta(days=rng.randint(3, max(4, stay - 1)))
        child.operations.append(Operation(day, "major-emergency", rng.choice(pathway.emergency_major), 1, recorded=True))

    if rng.random() < _logistic(pathway.death_logit + 1.1 * quality + 1.0 * risk):
        child.died = first_day + timedelta(days=min(int(rng.expovariate(1 / 45)) + 1, HORIZON_DAYS - 5))
    elif rng.random() < 0.004:  # a late death, outside the horizon: it must stop letters, not change the score
        child.died = first_day + timedelta(days=HORIZON_DAYS + rng.randint(5, 60))
    _later_spells(rng, child, pathway, hazard)
    _end_at_death(rng, child)
    latent = 0.55 * risk + 0.9 * quality + rng.gauss(0, 1.0)
    child.quality_of_life = sum(latent > cut for cut in pathway.quality_cuts)
    child.responds = rng.random() < 0.78


def _later_spells(rng: random.Random, child: Child, pathway: Pathway, hazard: float) -> None:
    """Admissions after the first: planned stages, emergencies with or without an operation, infections."""
    plans: list[tuple[str, str | None, bool]] = []  # admission method, operation kind, infection
    plans += [("11", "major-planned", False)] * (rng.random() < pathway.planned_major)
    plans += [("11", "minor-planned", False)] * _poisson(rng, pathway.planned_minor)
    plans += [("21", "major-emergency", False)] * _poisson(rng, pathway.late_major * hazard)
    plans += [("21", "minor-emergency", False)] * _poisson(rng, pathway.late_minor * hazard)
    plans += [(rng.choice(("21", "22", "24")), None, True) for _ in range(_poisson(rng, pathway.late_infection * hazard))]
    plans += [("21", None, False)] * _poisson(rng, 0.25 * hazard)
    rng.shuffle(plans)
    last_first_day = child.index.on + timedelta(days=HORIZON_DAYS + 70)  # some fall outside the horizon, and must not count
    day = child.spells[0].discharged
    for method, kind, infected in plans:
        day += timedelta(days=2 + int(rng.expovariate(1 / 55)))
        if day >= last_first_day:
            break
        spell = Spell(len(child.spells) + 1, day, day + timedelta(days=rng.randint(2, 9)), method)
        if infected:
            spell.infection = rng.choice(("N390", "J189", "A419", "J219X", "A499"))[:4]
        if kind:
            codes = {
                "major-planned": pathway.planned_major_opcs,
                "minor-planned": pathway.planned_minor_opcs,
                "major-emergency": pathway.emergency_major,
                "minor-emergency": pathway.emergency_minor,
            }[kind]
            operated = day + timedelta(days=rng.randint(0, 1))
            child.operations.append(
                Operation(operated, kind, rng.choice(codes), spell.number, recorded=rng.random() < 0.5)  # type: ignore[arg-type]
            )
        child.spells.append(spell)
        day = spell.discharged


def _end_at_death(rng: random.Random, child: Child) -> None:
    """Nothing happens after death; the spell in which it came ends with it."""
    if child.died is None:
        return
    child.operations = [o for o in child.operations if o.on < child.died or o.index]
    child.spells = [s for s in child.spells if s.admitted < child.died]
    for spell in child.spells:
        if spell.discharged >= child.died:
            spell.discharged, spell.died = child.died, True
    if child.spells[-1].died:
        child.death_known_by = rng.choices(("hospital", "statistics"), (0.7, 0.3))[0]
    else:
        child.death_known_by = "register"  # died at home: an update of the hospital's patient index says so


def _poisson(rng: random.Random, mean: float) -> int:
    count, product, limit = 0, rng.random(), exp(-mean)
    while product > limit:
        count += 1
        product *= rng.random()
    return count


def _logistic(x: float) -> float:
    return 1 / (1 + exp(-x))


def demonstration_nhs_numbers() -> Iterator[str]:
    """Valid NHS numbers of the 999 range, which is set aside for tests, in order."""
    for body in range(999_000_001, 1_000_000_000):
        digits = f"{body:09d}"
        check = 11 - sum(int(d) * w for d, w in zip(digits, range(10, 1, -1), strict=True)) % 11
        if check != 10:
            yield f"{digits}{0 if check == 11 else check}"

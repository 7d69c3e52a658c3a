"""`CaseFacts`: all that the score and the case mix need of one child with one condition, derived from FHIR resources.

The registry makes it (`app/registry/facts.py`), the score and the model read it. It can always be made again from the resources.
Dates are ISO strings; the horizon is `HORIZON_DAYS` after the index operation (a demonstration setting: the programme's is not public).
"""

from typing import Literal

import msgspec

HORIZON_DAYS = 365
OperationKind = Literal["major-planned", "minor-planned", "major-emergency", "minor-emergency"]


class Operation(msgspec.Struct, frozen=True):
    """One theatre visit: one child, one day. `source` is the best source that told of it."""

    on: str
    kind: OperationKind
    source: str  # operative-record | hes | hl7v2 | fhir
    code: str = ""  # OPCS-4, without dot


class Infection(msgspec.Struct, frozen=True):
    """One infection treated in hospital: one a spell. `on` is the admission day of the spell."""

    on: str
    code: str  # ICD-10
    source: str


class Factors(msgspec.Struct, frozen=True):
    """Child factors (case mix), all known before the first operation. None is unknown.

    `severity` is the condition's own class (a code of the child-factor code system), `severity_grade` its grade 0, 1 or 2.
    """

    gestation_weeks: float | None = None
    birth_weight_g: float | None = None
    major_cardiac_anomaly: bool | None = None
    chromosomal_anomaly: bool | None = None
    other_anomaly: bool | None = None
    antenatal_diagnosis: bool | None = None
    severity: str | None = None
    severity_grade: int | None = None


class CaseFacts(msgspec.Struct, frozen=True):
    case: str  # EpisodeOfCare id
    patient: str  # Patient id (the retained one after a merge)
    hospital: str  # ODS code of the operating hospital
    condition: str  # code of app.names.CONDITIONS
    sex: str
    birth_date: str | None  # as told: a year or month where no more is known
    index_date: str  # day of the first operation of the case
    as_of: str  # last day that counts: the horizon, or death, or the last day known, whichever comes first
    horizon_reached: bool  # as_of is the horizon or death
    factors: Factors = Factors()
    operations: tuple[Operation, ...] = ()  # inside index_date..as_of, by day
    infections: tuple[Infection, ...] = ()
    emergency_readmissions: int = 0  # within 30 days of a discharge (reported, not scored)
    quality_of_life: int | None = None  # level 0 (best) .. 3, at the horizon's follow-up
    quality_of_life_on: str | None = None
    died_on: str | None = None  # None: not known to have died

    def count(self, kind: OperationKind) -> int:
        """Operations of one kind until `as_of`."""
        return sum(operation.kind == kind for operation in self.operations)

    @property
    def outcome_known(self) -> bool:
        """Whether the score can be told without a guess: dead, or horizon reached with quality of life answered."""
        return self.died_on is not None or (self.horizon_reached and self.quality_of_life is not None)

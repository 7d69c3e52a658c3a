"""Counting: members of each population by hospital and stratum, what was expected of them, and which counts may leave."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from app.measures import disclosure
from app.measures.columns import Columns, Flags
from app.measures.comparison import Comparison, compare
from app.measures.definition import Definition
from app.measures.period import Period
from app.measures.rules import Rules
from app.outcomes import case_mix
from app.outcomes.case_mix import Model
from app.statistics.arrays import Floats, Integers

Members = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Cell:
    """One hospital (or all), as a whole or one stratum. Population counts are before exclusions, as R4 reports them."""

    stratum: str
    counts: dict[str, int]
    known: int
    observed: int
    unknown: int
    comparison: Comparison | None
    suppressed: bool

    @property
    def score(self) -> float | None:
        """The proportion, None without a case."""
        return self.observed / self.known if self.known else None

    @property
    def completeness(self) -> float | None:
        """Share of the eligible with a known outcome."""
        return self.known / (self.known + self.unknown) if self.known + self.unknown else None


@dataclass(frozen=True)
class Tally:
    """A measure over a period, counted but not yet compared. Boolean arrays are (n,) over the cases of `columns`.

    `hidden` is (hospitals + 1, 1 + strata), its last row for all hospitals together.
    """

    definition: Definition
    columns: Columns
    members: dict[str, Members]
    scored: Members
    eligible: Members
    strata: tuple[str, ...]
    stratum: Integers
    chances: Floats | None
    model: Model | None
    rules: Rules
    hidden: npt.NDArray[np.bool_]

    def reporting(self) -> list[int]:
        """The numbers of the hospitals that have cases in the period. Cases of which nobody said where count in the whole alone."""
        numbers = np.unique(self.columns.hospital[self.members["initial-population"]])
        return [int(number) for number in numbers if self.columns.hospitals[number]]

    def mask(self, hospital: int | None, column: int) -> Members:
        """Cases of a hospital (None: all) in a column (0: the whole)."""
        chosen = np.ones(len(self.scored), dtype=bool) if hospital is None else self.columns.hospital == hospital
        return chosen if column == 0 else chosen & (self.stratum == column - 1)

    def cell(self, hospital: int | None, column: int = 0, *, own: bool = False) -> Cell:
        """A cell with its comparison. `own`: the viewer may see small numbers."""
        chosen = self.mask(hospital, column)
        scored = chosen & self.scored
        known, eligible = int(scored.sum()), int((chosen & self.eligible).sum())
        observed = int((scored & self.members["numerator"]).sum())
        comparison = None
        if self.chances is not None:
            comparison = compare(
                observed,
                self.chances[scored],
                decrease=self.definition.decrease,
                completeness=known / eligible if eligible else 0.0,
                rules=self.rules,
            )
            if comparison is not None and hospital is None:  # all against themselves: nothing to judge
                comparison = replace(comparison, band="", signal="")
        return Cell(
            "" if column == 0 else self.strata[column - 1],
            {code: int((chosen & member).sum()) for code, member in self.members.items()},
            known,
            observed,
            eligible - known,
            comparison,
            not own and bool(self.hidden[-1 if hospital is None else hospital, column]),
        )


def tally(
    columns: Columns,
    flags: Flags,
    definition: Definition,
    period: Period,
    model: Model | None,
    rules: Rules,
    visible: Members | None = None,
) -> Tally:
    """Count a measure over a period, among the `visible` cases (None: all).

    A proportion scores denominator members without exclusions and exceptions; an exception never holds for a member of the numerator.
    """
    raw = flags.member
    initial = raw["initial-population"] & (columns.day >= period.start.toordinal()) & (columns.day <= period.end.toordinal())
    if visible is not None:
        initial = initial & visible
    denominator = initial & raw["denominator"]
    excluded = denominator & raw["denominator-exclusion"]
    eligible = denominator & ~excluded
    numerator = eligible & raw["numerator"]
    exception = eligible & ~numerator & raw["denominator-exception"]
    every = dict(zip(raw, (initial, denominator, excluded, exception, numerator), strict=True))
    scored = eligible & ~exception
    return Tally(
        definition,
        columns,
        {code: member for code, member in every.items() if code in definition.criteria},
        scored,
        eligible,
        flags.strata,
        flags.stratum,
        None if model is None else case_mix.expected(columns.design, model),
        model,
        rules,
        _hidden(
            columns,
            flags,
            (initial, denominator, initial & ~denominator),
            (denominator, excluded, numerator, scored & ~numerator, *([exception] if rules.suppress_unknown else [])),
            rules,
        ),
    )


def _hidden(
    columns: Columns, flags: Flags, children: tuple[Members, ...], outcomes: tuple[Members, ...], rules: Rules
) -> npt.NDArray[np.bool_]:
    hospitals, strata = len(columns.hospitals), len(flags.strata)

    def count(member: Members) -> Integers:
        whole = np.bincount(columns.hospital[member], minlength=hospitals)[:, None]
        inside = member & (flags.stratum >= 0)
        place = columns.hospital[inside] * strata + flags.stratum[inside]
        each = np.hstack([whole, np.bincount(place, minlength=hospitals * strata).reshape(hospitals, strata)])
        return np.vstack([each, each.sum(axis=0, keepdims=True)]).astype(np.int64)

    return disclosure.suppressed(
        np.stack([count(each) for each in children]), np.stack([count(each) for each in outcomes]), rules
    )

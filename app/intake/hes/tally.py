"""What an import did, in numbers."""

import msgspec

from app.fhir.errors import Issue
from app.intake.hes.child import Part
from app.intake.hes.spells import continuous, emergency_readmissions
from app.registry.operations import is_emergency_admission, is_infection, operation

SHOWN = 20  # refused rows that are told one by one


class Tally(msgspec.Struct):
    """Counts of one import: `rows` = `wrong` + `unfinished` + `episodes`; `repeated` are episodes told twice under one key.

    Spells and what follows are of linked children alone.
    """

    rows: int = 0
    wrong: int = 0
    unfinished: int = 0
    episodes: int = 0
    repeated: int = 0
    people: int = 0
    linked: int = 0
    not_linked: dict[str, int] = {}
    not_linked_rows: int = 0
    spells: int = 0
    stays: int = 0  # spells joined over transfers
    operations: int = 0  # theatre visits: child and day
    infections: int = 0  # spells with one
    readmissions: int = 0  # emergencies within 30 days of a discharge
    deaths: int = 0
    written: int = 0  # resources created or changed
    problems: list[str] = []
    already: bool = False  # this very file had been imported before, and nothing was done

    def refuse(self, issue: Issue) -> None:
        """Count a refused row."""
        self.wrong += 1
        if len(self.problems) < SHOWN:
            self.problems.append(str(issue))

    def add(self, part: Part) -> None:
        """Count a person."""
        self.people += 1
        self.repeated += part.repeated
        if part.link is None:
            self.not_linked[part.reason] = self.not_linked.get(part.reason, 0) + 1
            self.not_linked_rows += len(part.rows)
            return
        self.linked += 1
        stays = continuous(part.spells, part.variant)
        codes = [(code, day or e.start) for spell in part.spells for e in spell.episodes for code, day in e.operations]
        self.spells += len(part.spells)
        self.stays += len(stays)
        self.operations += len({day for code, day in codes if operation(code)})
        self.infections += sum(any(is_infection(code) for e in spell.episodes for code in e.diagnoses) for spell in part.spells)
        self.readmissions += emergency_readmissions(stays, is_emergency_admission)
        self.deaths += any(spell.died for spell in part.spells)

    def lines(self) -> list[tuple[str, int]]:
        """For a table: words and numbers."""
        return [
            ("rows read", self.rows),
            ("rows refused (kept with their line)", self.wrong),
            ("unfinished episodes passed over", self.unfinished),
            ("episodes", self.episodes),
            ("of them told twice", self.repeated),
            ("people", self.people),
            ("children linked", self.linked),
            *[(f"not linked: {reason}", count) for reason, count in sorted(self.not_linked.items())],
            ("rows of people not linked (kept)", self.not_linked_rows),
            ("provider spells", self.spells),
            ("continuous stays", self.stays),
            ("operations (theatre visits)", self.operations),
            ("spells with an infection", self.infections),
            ("emergency readmissions within 30 days", self.readmissions),
            ("deaths in hospital", self.deaths),
            ("resources written", self.written),
        ]

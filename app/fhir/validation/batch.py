"""Verdicts on many resources, one after the other: what `csor validate` prints."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from app.fhir.errors import FHIRError, Issue
from app.fhir.files import FileItem
from app.fhir.validation import Validator, validate


@dataclass(frozen=True, slots=True)
class Verdict:
    """An item and its issues; valid if there are none."""

    item: FileItem
    issues: tuple[Issue, ...]

    @property
    def is_valid(self) -> bool:
        return not self.issues

    def lines(self) -> Iterator[str]:
        """`file:line: Patient.gender: The code …`, one for each issue."""
        for issue in self.issues:
            yield f"{self.item.where}: {issue}"


@dataclass(slots=True)
class Tally:
    """Counts verdicts as they pass."""

    valid: int = 0
    invalid: int = 0

    def add(self, verdict: Verdict) -> None:
        """Count one."""
        if verdict.is_valid:
            self.valid += 1
        else:
            self.invalid += 1

    def __str__(self) -> str:
        return f"{self.valid} valid, {self.invalid} invalid"


def judge(items: Iterable[FileItem], validator: Validator | None = None) -> Iterator[Verdict]:
    """The verdict on each item, as it is read. Never raises for what is in the file."""
    judged = validator.validate if validator is not None else validate
    for item in items:
        try:
            issues = tuple(judged(item.decode()))
        except FHIRError as error:
            issues = error.issues
        yield Verdict(item, issues)

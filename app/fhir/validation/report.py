"""Collects what is wrong, with its FHIRPath location, and stops where there is too much of it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from app.fhir.errors import Issue

if TYPE_CHECKING:
    from app.fhir.validation.scope import Scope

MAX_ISSUES = 200

# Where we are: (parent, name) or (parent, name, index). Made for every object on the way down, written out only for an issue.
Path = tuple[Any, ...]


class Enough(Exception):
    """There are as many issues as anybody will read."""


def written(path: Path) -> str:
    """`Patient.name[0].given[1]`."""
    parts: list[str] = []
    here: Path | None = path
    while here is not None:
        parts.append(here[1] if len(here) == 2 else f"{here[1]}[{here[2]}]")
        here = here[0]
    return ".".join(reversed(parts))


class Report:
    """One validation: the root resource and the issues so far. `scope` is set where more than structure is judged."""

    __slots__ = ("asked", "issues", "notes", "root", "scope")

    def __init__(self, root: Any, asked: Sequence[str] = ()) -> None:
        self.root = root
        self.asked = asked  # profiles that the outermost resource must conform to
        self.issues: list[Issue] = []
        self.notes: list[Issue] = []  # warnings and information: apart, so that they never crowd out an error
        self.scope: Scope | None = None

    def add(self, code: str, path: Path, diagnostics: str) -> None:
        """An error. `code` is an R4 IssueType. Raises Enough at the limit."""
        if len(self.issues) >= MAX_ISSUES:
            self.issues.append(Issue("error", "too-costly", f"There are more than {MAX_ISSUES} errors; the rest is not listed."))
            raise Enough
        self.issues.append(Issue("error", code, diagnostics, written(path)))

    def note(self, severity: str, code: str, path: Path, diagnostics: str) -> None:
        """Something of any severity; beyond the limit only errors are kept."""
        if severity in ("error", "fatal"):
            self.add(code, path, diagnostics)
        elif len(self.notes) < MAX_ISSUES:
            self.notes.append(Issue(severity, code, diagnostics, written(path)))
        elif len(self.notes) == MAX_ISSUES:
            self.notes.append(
                Issue("information", "too-costly", f"There are more than {MAX_ISSUES} warnings; the rest is not listed.")
            )

    def all(self) -> list[Issue]:
        """Errors, then the rest; what two rules say alike of one place is said once."""
        return list(dict.fromkeys([*self.issues, *self.notes])) if self.notes or len(self.issues) > 1 else self.issues

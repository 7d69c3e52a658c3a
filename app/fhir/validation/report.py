"""Collects what is wrong, with its FHIRPath location, and stops where there is too much of it."""

from typing import Any

from app.fhir.errors import Issue

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
    """One validation: the root resource and the issues so far."""

    __slots__ = ("issues", "root")

    def __init__(self, root: Any) -> None:
        self.root = root
        self.issues: list[Issue] = []

    def add(self, code: str, path: Path, diagnostics: str) -> None:
        """An error. `code` is an R4 IssueType. Raises Enough at the limit."""
        if len(self.issues) >= MAX_ISSUES:
            self.issues.append(Issue("error", "too-costly", f"There are more than {MAX_ISSUES} errors; the rest is not listed."))
            raise Enough
        self.issues.append(Issue("error", code, diagnostics, written(path)))

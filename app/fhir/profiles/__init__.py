"""Profiles: snapshots made from differentials, slicing, extension definitions, and what they ask of a resource.

`Profiles` is what a validator holds. Everything is made when first asked for, and kept.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from app.fhir.definitions import r4
from app.fhir.fhirpath import Node
from app.fhir.profiles import extensions
from app.fhir.profiles.conformance import Conformance
from app.fhir.profiles.library import Library, Profile
from app.fhir.profiles.run import Item, Run, TooMuch, actual
from app.fhir.terminology import Terminology
from app.fhir.validation.compiler import Rule
from app.fhir.validation.report import Path, Report
from app.fhir.validation.scope import Scope

__all__ = ["Library", "Profile", "Profiles"]

MAX_PROFILES = 50  # of one resource


class Profiles:
    """R4's own profiles and extensions, and those given. `must_support`: tell where an element that must be supported is absent."""

    def __init__(
        self, structures: Iterable[Mapping[str, Any]] = (), terminology: Terminology | None = None, *, must_support: bool = False
    ) -> None:
        self.library = Library(structures)
        self._asking: set[tuple[int, str]] = set()
        self._conformance = Conformance(self.library, terminology or Terminology(), must_support)

    def rules_of(self, type_name: str) -> Iterable[Rule]:
        """What is asked of every object of a type: its extensions."""
        if type_name != "Element" and "extension" in r4().elements(
            type_name
        ):  # companions are judged with the object that has them
            yield extensions.rule_of(self._conformance, type_name)

    def declared(self, resource: Mapping[str, Any], path: Path, report: Report) -> None:
        """Judges a resource by what it claims in `meta.profile`; a claim that nobody here can check is a warning."""
        meta = resource.get("meta")
        claimed = meta.get("profile") if isinstance(meta, Mapping) else None
        for index, url in enumerate(claimed[:MAX_PROFILES] if isinstance(claimed, list) else ()):
            if isinstance(url, str):
                where: Path = ((path, "meta"), "profile", index)
                self._conform(resource, url, path, where, "warning", report)

    def asked(self, resource: Mapping[str, Any], urls: Sequence[str], path: Path, report: Report) -> None:
        """Judges a resource by the profiles that the caller names; one that is not known is an error."""
        for url in urls:
            self._conform(resource, url, path, path, "error", report)

    def conforms(self, node: Node, url: str, scope: Scope) -> bool | None:
        """What FHIRPath's conformsTo() asks; None where the profile is not known, or the answer would take too long."""
        mark = (id(node.value), url)
        if self.library.get(url) is None:
            return None
        if mark in self._asking:  # a profile that asks for itself
            return True
        self._asking.add(mark)
        try:
            return self._conformance.fits(Item(node.value, node.type, scope.path, node.extra), url, Run(None, scope))
        except TooMuch:
            return None
        finally:
            self._asking.discard(mark)

    def _conform(self, resource: Mapping[str, Any], url: str, path: Path, where: Path, unknown: str, report: Report) -> None:
        assert report.scope is not None
        profile = self.library.get(url)
        if profile is None:
            kind = self.library.type_of(url)
            if not kind or self.library.structure(url) is not None:
                report.note(unknown, "not-found", where, self.library.lacks(url))
            elif kind not in r4().ancestors(report.scope.type):
                report.add("invalid", where, f"This claims to be a {kind}, but is a {report.scope.type}.")
            return
        try:
            self._conformance.apply(profile, Item(resource, actual(resource, "Resource"), path), Run(report, report.scope))
        except TooMuch:
            report.note("warning", "too-costly", where, f"The resource is too large to be checked against the profile {url}.")

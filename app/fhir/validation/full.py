"""Everything: structure, invariants, bindings, Bundles, extensions and profiles, in one pass over the resource.

A `Judge` walks as the structure compiler does and keeps the scope (which resource, which container, which Bundle) at hand for the rules. What is
compiled is shared by all that is judged with it; it is safe to use from several threads.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from app.fhir.definitions import Definitions
from app.fhir.fhirpath import Node
from app.fhir.terminology import Terminology
from app.fhir.validation import bindings, bundles, invariants
from app.fhir.validation.compiler import Compiler, Rule, Rules, no_rules
from app.fhir.validation.report import Path, Report
from app.fhir.validation.scope import Entries, Scope

if TYPE_CHECKING:
    from app.fhir.profiles import Profiles


class Judge(Compiler):
    """`terminology` and `profiles` are judged only where they are given; invariants always. `warnings` False: only what makes a resource invalid."""

    def __init__(
        self,
        definitions: Definitions,
        terminology: Terminology | None = None,
        profiles: "Profiles | None" = None,
        rules: Rules = no_rules,
        warnings: bool = True,
    ) -> None:
        super().__init__(definitions, rules=rules)
        self._warnings = warnings
        self._terminology = terminology
        self._profiles = profiles

    def rules(self, type_name: str) -> Sequence[Rule]:
        """What is asked of every object of the type."""
        found = [*super().rules(type_name), *invariants.rules_of(self.definitions, type_name, warnings=self._warnings)]
        if self._terminology is not None:
            found += bindings.rules_of(self.definitions, self._terminology, type_name)
        if self._profiles is not None:
            found += self._profiles.rules_of(type_name)
        return found

    def resource(self, value: Any, path: Path, report: Report) -> None:
        """A resource in its own scope."""
        if type(value) is not dict:
            super().resource(value, path, report)
            return
        outer, root = report.scope, report.root
        contained = outer is not None and len(path) == 3 and path[1] == "contained"
        entries = outer.entries if outer is not None else None
        if value.get("resourceType") == "Bundle":
            entries = Entries(value)
        member_of = self._terminology.member_of if self._terminology is not None else None
        scope = Scope(value, outer.root if contained and outer is not None else value, path, entries, member_of)
        report.scope, report.root = scope, scope.root
        if contained and outer is not None:
            scope.seen, scope.budget = outer.seen, outer.budget
        if self._profiles is not None:
            scope.env.conforms = self._conforms(scope)
        try:
            super().resource(value, path, report)
            self._beyond(value, path, report, () if outer is not None else report.asked)
        finally:
            report.scope, report.root = outer, root
            scope.env.conforms = None  # else it would hold itself

    def _conforms(self, scope: Scope) -> Callable[[Node, str], bool | None]:
        profiles = self._profiles
        assert profiles is not None
        return lambda node, url: profiles.conforms(node, url, scope)

    def _beyond(self, value: Mapping[str, Any], path: Path, report: Report, asked: Sequence[str]) -> None:
        if value.get("resourceType") == "Bundle":
            bundles.full_urls(self.definitions, value, path, report)
        if self._profiles is None or report.scope is None or report.scope.type not in self.definitions.resources:
            return
        if "meta" in value:
            self._profiles.declared(value, path, report)
        if asked:
            self._profiles.asked(value, asked, path, report)

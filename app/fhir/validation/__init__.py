"""Structure validation of R4 resources, compiled from the table: `validate` lists every issue, `check` raises them.

It judges cardinality, unknown elements, primitive values, choices, required codes, companions, references' types, contained
resources, extensions and narratives. The rules in FHIRPath are not judged here: a `Validator` can be handed them.
"""

import functools
from collections.abc import Mapping
from typing import Any

from app.fhir.definitions import Definitions, r4
from app.fhir.errors import Invalid, Issue
from app.fhir.validation.compiler import Compiler, Rule, Rules, no_rules
from app.fhir.validation.report import Enough, Path, Report, written

__all__ = ["Path", "Report", "Rule", "Rules", "Validator", "check", "validate", "written"]


class Validator:
    """A validator of structure and, where `rules` gives some for a type, of those rules."""

    def __init__(self, definitions: Definitions | None = None, rules: Rules = no_rules) -> None:
        self._compiler = Compiler(definitions or r4(), rules)

    def validate(self, resource: Mapping[str, Any], *, type: str | None = None) -> list[Issue]:
        """Every issue, in the order of the document; none if valid. `type` is the resource type that is expected."""
        report = Report(resource)
        kind = resource.get("resourceType") if isinstance(resource, Mapping) else None
        path: Path = (None, kind if isinstance(kind, str) else "Resource")
        try:
            if type is not None and isinstance(kind, str) and kind != type:
                report.add("invalid", path, f"A {type} is expected here, but this is a {kind[:64]}.")
            self._compiler.resource(resource, path, report)
        except Enough:
            pass
        except RecursionError:
            report.issues.append(Issue("error", "too-costly", "The resource is nested too deeply."))
        return report.issues

    def check(self, resource: Mapping[str, Any], *, type: str | None = None) -> None:
        """Raises Invalid with every issue."""
        issues = self.validate(resource, type=type)
        if issues:
            raise Invalid(issues=issues)


@functools.cache
def _structure() -> Validator:
    return Validator()


def validate(resource: Mapping[str, Any], *, type: str | None = None) -> list[Issue]:
    """Every structural issue of a resource, with FHIRPath locations; none if valid."""
    return _structure().validate(resource, type=type)


def check(resource: Mapping[str, Any], *, type: str | None = None) -> None:
    """Raises Invalid with every structural issue."""
    _structure().check(resource, type=type)

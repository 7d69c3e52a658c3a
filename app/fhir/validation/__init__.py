"""Validation of R4 resources: `validate` lists every issue, `check` raises the errors, `Validator` knows profiles and packages.

`validate(resource)` judges structure, compiled from the table: cardinality, unknown elements, primitive values, choices, required codes, companions,
references' types, contained resources, extensions and narratives. With `invariants=True` it asks R4's rules in FHIRPath and Bundle rules too.
A `Validator` judges everything: these, extensible bindings, extensions against their definitions, `meta.profile` and the profiles that are asked for.
"""

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path as FilePath
from threading import Lock
from typing import Any

from app.fhir.definitions import Definitions, r4
from app.fhir.errors import Invalid, Issue
from app.fhir.packages import Package, load
from app.fhir.terminology import Terminology, standard
from app.fhir.validation.compiler import Compiler, Rule, Rules, no_rules
from app.fhir.validation.full import Judge
from app.fhir.validation.report import Enough, Path, Report, written

__all__ = ["Path", "Report", "Rule", "Rules", "Structure", "Validator", "check", "validate", "written"]


class _Judging:
    """What both validators do: run a compiler over a resource and gather the issues."""

    def __init__(self, compiler: Compiler) -> None:
        self._compiler = compiler

    def _report(self, resource: Mapping[str, Any], type: str | None, profiles: Sequence[str] = ()) -> Report:
        report = Report(resource, profiles)
        kind = resource.get("resourceType") if isinstance(resource, dict) else None
        path: Path = (None, kind if isinstance(kind, str) else "Resource")
        try:
            if type is not None and isinstance(kind, str) and kind != type:
                report.add("invalid", path, f"A {type} is expected here, but this is a {kind[:64]}.")
            self._compiler.resource(resource, path, report)
        except Enough:
            pass
        except RecursionError:
            report.issues.append(Issue("error", "too-costly", "The resource is nested too deeply."))
        return report


class Structure(_Judging):
    """A validator of structure and, where `rules` gives some for a type, of those rules; with `invariants` of R4's rules too.

    Without `warnings` only what makes a resource invalid is asked.
    """

    def __init__(
        self,
        definitions: Definitions | None = None,
        rules: Rules = no_rules,
        *,
        invariants: bool = False,
        warnings: bool = True,
    ) -> None:
        definitions = definitions or r4()
        super().__init__(Judge(definitions, rules=rules, warnings=warnings) if invariants else Compiler(definitions, rules=rules))

    def validate(self, resource: Mapping[str, Any], *, type: str | None = None) -> list[Issue]:
        """Every issue, in the order of the document; none if valid. `type` is the resource type that is expected."""
        return self._report(resource, type).all()

    def check(self, resource: Mapping[str, Any], *, type: str | None = None) -> None:
        """Raises Invalid with every issue if any is an error."""
        report = self._report(resource, type)
        if report.issues:
            raise Invalid(issues=report.all())


class Validator(_Judging):
    """A validator of everything.

    `profiles`: StructureDefinitions. `packages`: paths of FHIR packages (.tgz, or a directory of JSON and XML), or loaded ones.
    `terminology`: CodeSystems and ValueSets, or a `Terminology`. All of them stand beside R4's own, and before them where they have the same URL.
    Raises what `packages.load` raises; what in a package could not be used is in `problems`.
    """

    def __init__(
        self,
        profiles: Iterable[Mapping[str, Any]] = (),
        packages: Iterable[Package | FilePath | str] = (),
        terminology: Terminology | Iterable[Mapping[str, Any]] = (),
        *,
        must_support: bool = False,
    ) -> None:
        from app.fhir.profiles import (
            Profiles,
        )  # rules of profiles use those of validation; who checks structure only never loads them

        loaded = [each if isinstance(each, Package) else load(each) for each in packages]
        self.problems: list[Issue] = [problem for each in loaded for problem in each.problems]
        if not isinstance(terminology, Terminology):
            terminology = Terminology(self._sound(terminology), over=standard())
        for resource in self._sound(resource for package in loaded for resource in package.terminology):
            terminology.add(resource)
        structures = self._sound([*(structure for package in loaded for structure in package.structures), *profiles])
        self.profiles = Profiles(structures, terminology, must_support=must_support)
        super().__init__(Judge(r4(), terminology, self.profiles))
        self._one_at_a_time = (
            Lock()
        )  # what is compiled on the way must not be met half made; the interpreter runs one at a time anyway

    def _sound(self, resources: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
        """Those whose structure is that of R4: whoever reads them later need not doubt their shape. The others are problems."""
        for resource in resources:
            issues = validate(resource)
            if issues:
                name = resource.get("url") if isinstance(resource, Mapping) else None
                self.problems.append(Issue("warning", "not-supported", f"{name} is not valid R4 and was left out: {issues[0]}"))
            else:
                yield resource

    def validate(self, resource: Mapping[str, Any], profiles: Sequence[str] = (), *, type: str | None = None) -> list[Issue]:
        """Every issue, errors first; warnings and information do not make a resource invalid.

        `profiles`: URLs that the resource must conform to beside those in its `meta.profile`.
        """
        with self._one_at_a_time:
            return self._report(resource, type, profiles).all()

    def check(self, resource: Mapping[str, Any], profiles: Sequence[str] = (), *, type: str | None = None) -> None:
        """Raises Invalid with every issue if any is an error."""
        issues = self.validate(resource, profiles, type=type)
        if any(issue.severity in ("error", "fatal") for issue in issues):
            raise Invalid(issues=issues)


@functools.cache
def _shared(invariants: bool, warnings: bool = True) -> Structure:
    return Structure(invariants=invariants, warnings=warnings)


def validate(resource: Mapping[str, Any], *, type: str | None = None, invariants: bool = False) -> list[Issue]:
    """Every structural issue of a resource, with FHIRPath locations; none if valid. With `invariants` R4's rules too, warnings among them."""
    return _shared(invariants).validate(resource, type=type)


def check(resource: Mapping[str, Any], *, type: str | None = None, invariants: bool = True) -> None:
    """Raises Invalid with every issue if any is an error: what a write is held to. Structure and R4's rules; structure alone without `invariants`."""
    _shared(invariants, False).check(resource, type=type)

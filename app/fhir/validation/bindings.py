"""Bindings that no quick list can judge: extensible ones (a warning), and required ones to sets made by a grammar or loaded later."""

from collections.abc import Iterator, Mapping
from typing import Any

from app.fhir.definitions import Definitions, Element
from app.fhir.terminology import Terminology
from app.fhir.validation.compiler import Quiet, Rule
from app.fhir.validation.primitives import quoted
from app.fhir.validation.report import Path, Report

BINDABLE = frozenset(["code", "string", "uri", "Coding", "CodeableConcept", "Quantity"])


def rules_of(definitions: Definitions, terminology: Terminology, type_name: str) -> Iterator[Rule]:
    """One rule for each element of the type that has such a binding."""
    for element in definitions.elements(type_name).values():
        if element.binding and not element.codes and (not element.is_extensible or terminology.knows(element.binding)):
            for key, kind in element.json_names.items():
                if kind in BINDABLE:
                    yield _rule(element, key, terminology)


def _rule(element: Element, key: str, terminology: Terminology) -> Rule:
    strength = "extensible" if element.is_extensible else "required"

    def rule(value: Mapping[str, Any], path: Path, report: Report) -> None:
        found = value.get(key)
        if found is None:
            return
        for index, each in enumerate(found if type(found) is list else (found,)):
            where = (path, element.name, index) if element.is_list else (path, element.name)
            judge(each, element.binding, strength, terminology, where, report)

    return Quiet(rule, frozenset([key]))


def judge(value: Any, value_set: str, strength: str, terminology: Terminology, path: Path, report: Report) -> None:
    """Reports a code that is certainly outside: an error of a required binding, a warning of an extensible one."""
    complaint = outside(value, value_set, strength, terminology)
    if complaint:
        report.note("error" if strength == "required" else "warning", "code-invalid", path, complaint + ".")


def outside(value: Any, value_set: str, strength: str, terminology: Terminology) -> str | None:
    """What is wrong with a code, as a sentence without its full stop; None where it is in the set or nobody can tell."""
    if terminology.judge(value_set, value) is not False:
        return None
    return (
        f"{_shown(value)} is not in {value_set}: use a code of that set{'' if strength == 'required' else ' if one of them fits'}"
    )


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return f"The code {quoted(value)}"
    codings = value.get("coding", [value]) if isinstance(value, dict) else []
    codes = [quoted(each["code"]) for each in codings if isinstance(each, dict) and isinstance(each.get("code"), str)]
    return f"The code {', '.join(codes[:3])}"

"""The shared questionnaire cases, against the recorded outcomes of two validators.

One of them (`brianpos`) names the rule of each issue in the vocabulary that we use too: agreement is the same rules with the same severities.
The other (`java`) does not: agreement is the same severities at the same items. Every case must agree with one; `differences.toml` lists
where the other judges differently.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from app.fhir import codec
from app.fhir.errors import Issue
from app.forms import validate_response
from tests.conformance.differences import differences

SUITE, CORE = "questionnaire-response-validation-cases", "hl7.fhir.r4.core-4.0.1"
# What a terminology service answers for two of the cases' value sets; those of the core package come from there.
COUNTRIES = [
    {"system": "urn:iso:std:iso:3166", "code": code, "display": display}
    for code, display in (("AU", "Australia"), ("BD", "Bangladesh"), ("US", "United States of America"))
]
Outcomes = dict[str, tuple[list[Issue], dict[str, Any], dict[str, Any] | None]]


def outcomes(suite: Path, core: Path) -> Outcomes:
    """By case: our issues, and the outcomes of the two validators (the second was not recorded for three)."""
    root = next(suite.rglob("manifest.json")).parents[1]
    items = json.loads(next(core.rglob("CodeSystem-item-type.json")).read_bytes())
    types = [{"system": items["url"], **{key: one[key] for key in ("code", "display")}} for one in _concepts(items["concept"])]
    known = {"http://hl7.org/fhir/ValueSet/jurisdiction": COUNTRIES, "http://hl7.org/fhir/ValueSet/item-type": types}
    found: Outcomes = {}
    for case in json.loads((root / "cases" / "manifest.json").read_bytes())["test-cases"]:
        recorded = [root / "outcomes" / who / f"R4.{case['name']}-base.json" for who in ("brianpos", "java")]
        if not recorded[0].exists():
            continue
        response = codec.decode((root / "cases" / Path(case["file"]).name).read_bytes())
        questionnaire = codec.decode((root / "cases" / Path(case["supporting"][0]).name).read_bytes())
        first, second = (json.loads(path.read_bytes()) if path.exists() else None for path in recorded)
        found[case["name"]] = (validate_response(questionnaire, response, options=known.get), first, second)
    return found


def _concepts(concepts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [each for concept in concepts for each in (concept, *_concepts(concept.get("concept", [])))]


def _severity(issue: Mapping[str, Any]) -> str:
    return str(issue["severity"]).replace("fatal", "error")


def agrees_by_rule(ours: list[Issue], theirs: Mapping[str, Any]) -> bool:
    mine = sorted((issue.severity, getattr(issue, "rule", issue.code)) for issue in ours)
    return mine == sorted((_severity(issue), issue["details"]["coding"][0]["code"]) for issue in theirs.get("issue", []))


def agrees_by_place(ours: list[Issue], theirs: Mapping[str, Any]) -> bool:
    mine = sorted((issue.severity, _item(issue.expression)) for issue in ours)
    issues = [issue for issue in theirs.get("issue", []) if issue["severity"] != "information"]
    return mine == sorted((_severity(issue), _item(issue.get("expression", [""])[0])) for issue in issues)


def _item(place: str | None) -> str:
    return (place or "").partition(".value")[0]


def agrees_by_severity(ours: list[Issue], theirs: Mapping[str, Any]) -> bool:
    """Whether they are equally grave; how many issues are made of one fault is a matter of taste."""
    return {issue.severity for issue in ours} == {_severity(i) for i in theirs.get("issue", [])} - {"information"}


def agreements(found: Outcomes) -> tuple[set[str], dict[str, str]]:
    """The cases that agree with neither, and those that differ from one: with which."""
    neither: set[str] = set()
    differ: dict[str, str] = {}
    for name, (ours, first, second) in found.items():
        by_rule = agrees_by_rule(ours, first)
        if not by_rule:
            differ[name] = "brianpos"
            if second is None or not agrees_by_place(ours, second):
                neither.add(name)
        elif second is not None and not agrees_by_severity(ours, second):
            differ[name] = "java"
    return neither, differ


@pytest.mark.conformance
def test_each_case_agrees_with_one_validator_and_every_difference_is_written_down(csor_data: Callable[[str], Path]) -> None:
    found = outcomes(csor_data(SUITE), csor_data(CORE))
    neither, differ = agreements(found)
    assert len(found) == 73
    assert neither == set()
    assert differ == {name: entry["differs-from"] for name, entry in differences("questionnaire-responses").items()}

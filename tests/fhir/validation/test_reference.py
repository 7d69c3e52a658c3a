"""docs/reference/validation.md says what is there: its code runs, every exception and option is named."""

import re
from pathlib import Path

from app.commands.validate import validate as command
from app.fhir import packages
from app.fhir.definitions import published, r4
from app.fhir.validation import invariants

TEXT = (Path(__file__).resolve().parents[3] / "docs" / "reference" / "validation.md").read_text()


def test_its_code_runs() -> None:
    (block,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    exec(block, {})


def test_every_exception_is_named() -> None:
    keys = {*invariants.ELSEWHERE, *invariants.CORRECTED, *invariants.UNKNOWN_PASSES, *invariants.OUTERMOST}
    (table,) = re.findall(r"## Invariants that are not asked as published\n(.*?)\nEvery other", TEXT, re.DOTALL)
    assert set(re.findall(r"`([a-z]+-\d+)`", table)) == keys


def test_every_option_of_the_command_is_there_and_no_other() -> None:
    known = {name for option in command.params for name in option.opts if name.startswith("--")}
    assert set(re.findall(r"(--[a-z-]+)", TEXT)) - {"---"} == known


def test_the_counts_are_those_of_the_standard() -> None:
    rules = {rule.key for kind in r4().types.values() for rule in kind.invariants}
    rules |= {rule.key for kind in r4().types.values() for element in kind.own for rule in element.invariants}
    kinds = [str(each["resourceType"]) for each in published.terminology()]
    assert f"R4's {len(rules)} invariants" in TEXT
    assert f"{len(published.profiles())} profiles and extensions" in TEXT
    assert f"{kinds.count('ValueSet'):,} value sets and {kinds.count('CodeSystem'):,} code systems" in TEXT
    assert f"{packages.MAX_FILE >> 20} MB" in TEXT and f"{packages.MAX_FILES:,} files" in TEXT

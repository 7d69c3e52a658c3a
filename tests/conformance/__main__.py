"""`make conformance`: one table of every outside suite, run against the data that is there.

Each row: the suite, its cases, how many pass, how many differ or are refused, and the file with the reason for each of those.
"""

import os
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

DATA = Path(os.environ.get("CSOR_DATA") or Path(__file__).resolve().parents[2] / ".." / "shared" / "data")


class Row(NamedTuple):
    """One suite. `reasons` names the file that says why the rest differs."""

    suite: str
    cases: int
    passed: int
    reasons: str = ""

    @property
    def is_explained(self) -> bool:
        return self.passed == self.cases or bool(self.reasons)


Unpack = Callable[[str], Path]


def fhirpath(unpack: Unpack) -> list[Row]:
    from tests.conformance import test_fhirpath_suite as suite

    directory = next(unpack("fhirpath-r4-suite").rglob("tests-fhir-r4.xml")).parent
    nodes = {}
    cases = list(suite.cases(directory))
    for case in cases:
        if case.input not in nodes:
            nodes[case.input] = suite.load(directory, case.input)
    passed = sum(suite.problem(case, nodes[case.input]) is None for case in cases)
    return [Row("FHIRPath, official R4 suite", len(cases), passed)]


def patch(unpack: Unpack) -> list[Row]:
    from tests.conformance import test_patch_suite as suite

    directory = next(unpack("fhir-patch-suite").rglob("json-patch-tests.json")).parent
    rows = []
    for name, run in (
        ("JSON Patch", suite.json_failures),
        ("FHIRPath Patch", suite.fhirpath_failures),
        ("XML Patch", suite.xml_failures),
    ):
        count, failures = run(directory)
        rows.append(Row(name, count, count - len(failures)))
    return rows


def questionnaires(unpack: Unpack) -> list[Row]:
    from tests.conformance import test_questionnaire_responses as suite

    found = suite.outcomes(unpack(suite.SUITE), unpack(suite.CORE))
    neither, differ = suite.agreements(found)
    reasons = "tests/conformance/differences.toml"
    return [
        Row("QuestionnaireResponse, agree with one of two validators", len(found), len(found) - len(neither)),
        Row("QuestionnaireResponse, agree with both", len(found), len(found) - len(differ), reasons),
    ]


def examples(unpack: Unpack) -> list[Row]:
    from app.fhir import xml
    from app.fhir.files import read_resources
    from app.fhir.validation import Validator, validate
    from tests.conformance import test_examples as suite

    count = valid = whole = same = 0
    everything = Validator()
    for item in read_resources([unpack(suite.EXAMPLES)]):
        value = item.decode()
        count += 1
        valid += not validate(value)
        whole += not any(issue.severity == "error" for issue in everything.validate(value))
        same += not suite._differs(xml.decode(xml.encode(value)), value)
    return [
        Row("R4 examples, structure valid", count, valid, "tests/conformance/test_examples.py"),
        Row("R4 examples, valid by invariants, bindings, profiles", count, whole, "tests/conformance/test_examples.py"),
        Row("R4 examples, JSON to XML to JSON equal", count, same),
    ]


def second_opinions(unpack: Unpack) -> list[Row]:
    """The same examples as judged by others: how many they judge as we do."""
    from tests.conformance import json_schema, test_json_schema, test_second_opinion
    from tests.conformance.test_examples import EXAMPLES

    directory, rows = unpack(EXAMPLES), []
    try:
        with tempfile.TemporaryDirectory() as scratch:
            schema = json_schema.Schema(json_schema.fetched(Path(scratch)))
        count, differing = test_json_schema.disagreements(schema, directory)
        rows.append(
            Row("R4 examples, JSON schema of HL7 agrees", count, count - differing.total(), "tests/conformance/json_schema.toml")
        )
    except json_schema.Absent as error:
        print(f"JSON schema: {error}", file=sys.stderr)
    count, agreed, *_ = test_second_opinion.judged(directory)
    rows.append(Row("R4 examples up to 300 kB, fhir.resources agrees", count, agreed, "tests/conformance/test_second_opinion.py"))
    return rows


def snapshots(unpack: Unpack) -> list[Row]:
    from tests.conformance import test_profiles as suite

    structures = suite.constraints(unpack(suite.PACKAGE))
    differing, _ = suite.compared(structures)
    return [
        Row(
            "R4 profiles, snapshots as HL7's own",
            len(structures),
            len(structures) - len(differing),
            "tests/conformance/test_profiles.py",
        )
    ]


def searching(_unpack: Unpack) -> list[Row]:
    from app.fhir.definitions import r4
    from tests.fhir.search import test_every_parameter as suite

    wanted = sum(len(suite.wanted(name)) for name in r4().resources)
    missing = sum(len(codes) for codes in suite.unfound().values())
    reasons = "tests/fhir/search/test_every_parameter.py"
    return [Row("R4 search parameters, each on each type, give entries", wanted, wanted - missing, reasons)]


SUITES: tuple[tuple[str, Callable[[Unpack], list[Row]]], ...] = (
    ("fhirpath-r4-suite", fhirpath),
    ("fhir-patch-suite", patch),
    ("questionnaire-response-validation-cases", questionnaires),
    ("", searching),
    ("hl7.fhir.r4.core-4.0.1", snapshots),
    ("hl7.fhir.r4.examples-4.0.1", examples),
    ("hl7.fhir.r4.examples-4.0.1", second_opinions),
)


def unpacker(scratch: Path) -> Unpack:
    """Archives of CSOR_DATA unpack to `scratch`; a directory of the same name is taken as it is."""

    def unpack(name: str) -> Path:
        if (DATA / name).is_dir():
            return DATA / name
        target = scratch / name
        if not target.exists():
            with tarfile.open(DATA / f"{name}.tar.xz") as archive:
                archive.extractall(target, filter="data")
        return target

    return unpack


def table(rows: list[Row]) -> str:
    width = max(len(row.suite) for row in rows)
    lines = [f"{'suite':{width}}  {'cases':>6}  {'pass':>6}  {'differ':>6}  reasons"]
    lines += [
        f"{row.suite:{width}}  {row.cases:>6}  {row.passed:>6}  {row.cases - row.passed:>6}  {row.reasons if row.passed < row.cases else ''}".rstrip()
        for row in rows
    ]
    return "\n".join(lines)


def main() -> int:
    """0 if every difference is explained."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as scratch:
        unpack = unpacker(Path(scratch))
        for name, run in SUITES:
            if name and not (DATA / name).is_dir() and not (DATA / f"{name}.tar.xz").exists():
                print(f"{name}: not in {DATA}; name the directory that has it in CSOR_DATA", file=sys.stderr)
                continue
            started = time.monotonic()
            found = run(unpack)
            print(f"{run.__name__.replace('_', ' ')}: {time.monotonic() - started:.1f} s", file=sys.stderr)
            rows += found
    print(table(rows))
    return 0 if rows and all(row.is_explained for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())

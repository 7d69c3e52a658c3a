"""HL7's FHIRPath R4 suite. The floor only rises; the standard's own rules apply throughout (`strict`)."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from app.fhir import codec, xml
from app.fhir.errors import FHIRError
from app.fhir.fhirpath import Environment, Node, compile
from app.fhir.fhirpath.functions.conversions import as_string
from app.fhir.fhirpath.values import system

FLOOR = 935
TOTAL = 935
SCHEMA_LOCATION = re.compile(rb"""\s(xmlns:xsi|xsi:schemaLocation)=["'][^"']*["']""")


class Case:
    def __init__(self, test: ET.Element) -> None:
        expression = test.find("expression")
        assert expression is not None
        self.name = test.get("name", "")
        self.text = expression.text or ""
        self.invalid = expression.get("invalid")
        self.predicate = test.get("predicate") == "true"
        self.input = test.get("inputfile")
        self.outputs = [(output.get("type"), output.text or "") for output in test.findall("output")]
        self.ordered = test.get("ordered") != "false"


def cases(suite: Path) -> Iterator[Case]:
    for test in ET.parse(suite / "tests-fhir-r4.xml").getroot().iter("test"):
        yield Case(test)


def load(directory: Path, name: str | None) -> Node:
    if name is None:
        return Node({}, "")
    path = directory / "inputs" / name
    raw = path.read_bytes()
    resource = xml.decode(SCHEMA_LOCATION.sub(b"", raw)) if path.suffix == ".xml" else codec.decode(raw)
    return Node(resource, resource["resourceType"])


def shown(item: Any) -> str:
    value = system(item)
    return as_string(value) or ""


def same(item: Any, kind: str | None, text: str) -> bool:
    mine = shown(item)
    text = text.removeprefix("@").removeprefix("T") if kind in ("date", "dateTime", "time", "instant", None) else text
    if kind == "decimal" or (kind is None and isinstance(system(item), Decimal)):
        return Decimal(mine) == Decimal(text)
    if kind == "Quantity":
        return Decimal(mine.split()[0]) == Decimal(text.split()[0]) and mine.split()[1:] == text.split()[1:]
    return mine == text


def problem(case: Case, node: Node) -> str | None:
    """None if the case passes, else what went wrong."""
    try:
        items = compile(case.text, strict=True).items(node, Environment(node))
    except FHIRError as error:
        return None if case.invalid else f"raised {error}"
    if case.predicate:
        items = [bool(items) if len(items) != 1 or not isinstance(system(items[0]), bool) else system(items[0])]
    if case.invalid and not case.outputs:
        return f"not refused, gives {items}"
    if len(items) != len(case.outputs):
        return f"gives {items}, expected {case.outputs}"
    wrong = [item for item, (kind, text) in zip(items, case.outputs, strict=True) if not same(item, kind, text)]
    return f"gives {[shown(item) for item in items]}, expected {case.outputs}" if wrong else None


@pytest.mark.conformance
def test_the_official_suite_stays_above_its_floor(csor_data: Callable[[str], Path]) -> None:
    found = next(csor_data("fhirpath-r4-suite").rglob("tests-fhir-r4.xml")).parent
    nodes: dict[str | None, Node] = {}
    failures, count = {}, 0
    for case in cases(found):
        count += 1
        if case.input not in nodes:
            nodes[case.input] = load(found, case.input)
        why = problem(case, nodes[case.input])
        if why is not None:
            failures[f"{case.name}: {case.text.strip()}"] = why
    assert count == TOTAL
    passed = TOTAL - len(failures)
    print(f"FHIRPath suite: {passed} of {TOTAL}")
    assert passed >= FLOOR, "\n".join(f"{name}\n    {why}" for name, why in failures.items())

"""The JSON schema that HL7 publishes judges what we judge: where it says otherwise, json_schema.toml says why."""

import json
import tomllib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.fhir import codec
from app.fhir.files import read_resources
from app.fhir.validation import validate
from tests.conformance import json_schema
from tests.fhir import samples
from tests.fhir.test_validation import BENDS, places

pytestmark = [pytest.mark.conformance, pytest.mark.slow]
EXAMPLES = "hl7.fhir.r4.examples-4.0.1"


@pytest.fixture(scope="session")
def schema(tmp_path_factory: pytest.TempPathFactory) -> json_schema.Schema:
    pytest.importorskip("jsonschema_rs", reason="jsonschema-rs is not installed")
    try:
        return json_schema.Schema(json_schema.fetched(tmp_path_factory.mktemp("schema")))
    except json_schema.Absent as error:
        pytest.skip(f"the published JSON schema is not to be had: {error}")


def disagreement(schema: json_schema.Schema, raw: bytes) -> tuple[str, str] | None:
    """(who refuses, why), where one of the two does; fails where no rule explains it."""
    theirs = schema.complaints(json.loads(raw))
    ours = [str(issue) for issue in validate(codec.decode(raw))]
    if bool(theirs) == bool(ours):
        return None
    key = json_schema.reason(theirs, ours)
    assert key is not None, (theirs, ours, raw[:2000])
    return ("they" if theirs else "we"), key


def disagreements(schema: json_schema.Schema, directory: Path) -> tuple[int, Counter[tuple[str, str]]]:
    """How many official examples there are, and why the two disagree on some."""
    count, found = 0, Counter[tuple[str, str]]()
    for item in read_resources([directory]):
        count += 1
        if differs := disagreement(schema, item.raw):
            found[differs] += 1
    return count, found


def test_official_examples(schema: json_schema.Schema, csor_data: Callable[[str], Path]) -> None:
    count, found = disagreements(schema, csor_data(EXAMPLES))
    assert count == 5298
    assert found == {
        ("they", "fhirVersion"): 634,
        ("they", "no-break-space"): 8,
        ("they", "canonical-companion"): 30,
        ("we", "required-primitive"): 11,
    }


def _mutants() -> list[dict[str, Any]]:
    """Every bend of every element of the samples, and the samples."""
    found = [make() for make in samples.ALL.values()]
    for make in samples.ALL.values():
        for index in range(len(list(places(make())))):
            for bend in BENDS:
                resource = make()
                holder, key = list(places(resource))[index]
                bend(holder, key)
                found.append(resource)
    return found


def test_mutants(schema: json_schema.Schema) -> None:
    """We refuse every mutant; the schema lets some pass, each for a reason, and refuses a sample only for a known one."""
    found = Counter(disagreement(schema, codec.encode(resource)) for resource in _mutants())
    assert found[None] > 600
    assert sum(found.values()) - found[None] > 50


_VALUES = st.sampled_from(
    [
        "",
        " ",
        "x",
        "a b",
        "2024-02-30",
        "2023-02-29",
        "25:00:00",
        "not base64",
        "\u00a0",
        "urn:oid:9",
        "Observation/1",
        "#none",
        -1,
        2**31,
        1.5,
        True,
    ]
)


@settings(max_examples=250, deadline=None)
@given(st.sampled_from(sorted(samples.ALL)), st.data(), _VALUES)
def test_odd_values(schema: json_schema.Schema, name: str, data: st.DataObject, value: Any) -> None:
    resource = samples.ALL[name]()
    holder, key = data.draw(
        st.sampled_from([place for place in places(resource) if not isinstance(place[0][place[1]], dict | list)])
    )
    holder[key] = value
    disagreement(schema, json.dumps(resource, default=float).encode())


def test_every_reason_is_needed(schema: json_schema.Schema) -> None:
    """None is left from a disagreement that is no more."""
    patient: dict[str, Any] = {"resourceType": "Patient"}
    extension = {"url": "urn:a", "valueCode": "b"}
    cases: list[dict[str, Any]] = [
        {
            "resourceType": "CapabilityStatement",
            "status": "draft",
            "date": "2020",
            "kind": "capability",
            "fhirVersion": "4.0.1",
            "format": ["json"],
        },
        {**patient, "name": [{"family": "a\u00a0b"}]},
        {
            "resourceType": "StructureDefinition",
            "url": "urn:a",
            "name": "a",
            "status": "draft",
            "kind": "logical",
            "abstract": True,
            "type": "a",
            "differential": {
                "element": [
                    {"path": "a", "type": [{"code": "a", "profile": ["urn:a"], "_profile": [{"extension": [extension]}]}]}
                ]
            },
        },
        {**patient, "name": [{"given": ["a", None], "_given": [None, {"extension": [extension]}]}]},
        {"resourceType": "Observation", "code": {"text": "a"}},
        {**patient, "name": []},
        {**patient, "name": [{"given": [None]}]},
        {**patient, "birthDate": "2023-02-30"},
        {**patient, "name": [5]},
        {
            "resourceType": "AllergyIntolerance",
            "patient": {"reference": "Patient/1"},
            "clinicalStatus": {"coding": [{"system": "a:b", "code": "c"}]},
        },
        {**patient, "extension": [{"url": "a", "valueCode": "b"}]},
        {**patient, "deceasedBoolean": True, "deceasedDateTime": "2020"},
        {**patient, "text": {"status": "generated", "div": "plain"}},
        {**patient, "managingOrganization": {"reference": "Patient/1"}},
        {**patient, "contained": [{"resourceType": "Organization", "name": "a"}]},
        {**patient, "name": [{"given": ["a", "b"], "_given": [{"extension": [extension]}]}]},
    ]
    found = {differs[1] for case in cases if (differs := disagreement(schema, json.dumps(case).encode()))}
    rules = tomllib.loads(json_schema.REASONS.read_text())
    assert {rule["key"] for side in rules.values() for rule in side} - found == set()

"""R4's invariants: all asked but those in a list, each breach found at its place, nothing passed over that would have been a breach."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.fhir.definitions import Invariant, r4
from app.fhir.fhirpath import Environment, Node
from app.fhir.fhirpath import compile as compile_fhirpath
from app.fhir.validation import check, invariants, validate
from tests.fhir import samples

DIV = {"status": "generated", "div": samples.DIV}


def rules() -> list[tuple[str, str, Invariant]]:
    """(type to ask it of, element or "", rule) for every invariant in the table."""
    found = []
    for kind in r4().types.values():
        found += [(kind.name, "", rule) for rule in kind.invariants]
        found += [(kind.name, element.name, rule) for element in kind.own for rule in element.invariants]
    return found


def breaches(resource: dict[str, Any], severity: str = "error") -> dict[str, str]:
    """key -> location of each breach of an invariant of that severity."""
    issues = [issue for issue in validate(resource, invariants=True) if issue.severity == severity]
    return {issue.diagnostics.rpartition("(")[2].rstrip(")."): issue.expression or "" for issue in issues}


def test_what_is_asked_elsewhere_is_exactly_what_is_left_out() -> None:
    keys = {rule.key for _, _, rule in rules()}
    assert len(keys) == 238
    assert invariants.ELSEWHERE.keys() < keys and invariants.CORRECTED.keys() < keys and invariants.UNKNOWN_PASSES.keys() < keys
    assert set(invariants.ELSEWHERE) == {"dom-2", "dom-3", "ele-1", "ext-1", "ref-1", "txt-1", "txt-2"}
    assert all(len(reason) > 20 for reason in [*invariants.ELSEWHERE.values(), *invariants.UNKNOWN_PASSES.values()])


def test_every_rule_compiles_for_every_type_that_carries_it() -> None:
    count = sum(1 for name in r4().types for _ in invariants.rules_of(r4(), name))
    assert count > 400


BROKEN: list[tuple[str, dict[str, Any], str]] = [
    ("pat-1", {"resourceType": "Patient", "contact": [{"name": {"text": "a"}}, {"gender": "male"}]}, "Patient.contact[1]"),
    ("cpt-2", {"resourceType": "Patient", "telecom": [{"value": "1"}]}, "Patient.telecom[0]"),
    ("org-1", {"resourceType": "Organization", "active": True}, "Organization"),
    (
        "org-2",
        {"resourceType": "Organization", "name": "a", "address": [{"use": "work"}, {"use": "home"}]},
        "Organization.address[1]",
    ),
    (
        "org-3",
        {"resourceType": "Organization", "name": "a", "telecom": [{"system": "phone", "use": "home", "value": "1"}]},
        "Organization.telecom[0]",
    ),
    ("per-1", {"resourceType": "Patient", "name": [{"period": {"start": "2021", "end": "2020"}}]}, "Patient.name[0].period"),
    ("att-1", {"resourceType": "Patient", "photo": [{"data": "aGVsbG8="}]}, "Patient.photo[0]"),
    ("qty-3", samples.observation() | {"valueQuantity": {"value": 1, "code": "kg"}}, "Observation.value"),
    ("obs-6", samples.observation() | {"dataAbsentReason": {"text": "none"}}, "Observation"),
    (
        "obs-7",
        samples.observation() | {"component": [{"code": {"coding": [{"system": "http://loinc.org", "code": "29463-7"}]}}]},
        "Observation",
    ),
    ("obs-3", samples.observation() | {"referenceRange": [{"age": {"low": {"value": 1}}}]}, "Observation.referenceRange[0]"),
    (
        "sqty-1",
        samples.observation() | {"referenceRange": [{"low": {"value": 1, "comparator": "<"}}]},
        "Observation.referenceRange[0].low",
    ),
    (
        "rng-2",
        {
            "resourceType": "Observation",
            "status": "final",
            "code": {"text": "a"},
            "valueRange": {"low": {"value": 2}, "high": {"value": 1}},
        },
        "Observation.value",
    ),
    (
        "rat-1",
        {"resourceType": "Observation", "status": "final", "code": {"text": "a"}, "valueRatio": {"numerator": {"value": 2}}},
        "Observation.value",
    ),
    (
        "con-5",
        {
            "resourceType": "Condition",
            "subject": {"reference": "Patient/1"},
            "clinicalStatus": {
                "coding": [{"system": "http://terminology.hl7.org/CodeSystem/condition-clinical", "code": "active"}]
            },
            "verificationStatus": {
                "coding": [{"system": "http://terminology.hl7.org/CodeSystem/condition-ver-status", "code": "entered-in-error"}]
            },
        },
        "Condition",
    ),
    (
        "que-2",
        {"resourceType": "Questionnaire", "status": "draft", "item": [{"linkId": "1", "type": "string"}] * 2},
        "Questionnaire",
    ),
    (
        "que-13",
        {
            "resourceType": "Questionnaire",
            "status": "draft",
            "item": [{"linkId": "1", "type": "string", "initial": [{"valueString": "a"}, {"valueString": "b"}]}],
        },
        "Questionnaire.item[0]",
    ),
    (
        "que-7",
        {
            "resourceType": "Questionnaire",
            "status": "draft",
            "item": [
                {"linkId": "1", "type": "string", "enableWhen": [{"question": "2", "operator": "exists", "answerString": "a"}]},
                {"linkId": "2", "type": "string"},
            ],
        },
        "Questionnaire.item[0].enableWhen[0]",
    ),
    (
        "qrs-1",
        {
            "resourceType": "QuestionnaireResponse",
            "status": "completed",
            "item": [{"linkId": "1", "answer": [{"valueString": "a"}], "item": [{"linkId": "2"}]}],
        },
        "QuestionnaireResponse.item[0]",
    ),
    ("bdl-1", {"resourceType": "Bundle", "type": "collection", "total": 1}, "Bundle"),
    (
        "bdl-3",
        {"resourceType": "Bundle", "type": "transaction", "entry": [{"resource": {"resourceType": "Patient"}}]},
        "Bundle",
    ),
    ("bdl-5", {"resourceType": "Bundle", "type": "collection", "entry": [{"fullUrl": "urn:uuid:1"}]}, "Bundle.entry[0]"),
    (
        "bdl-7",
        {
            "resourceType": "Bundle",
            "type": "collection",
            "entry": [{"fullUrl": "https://example.org/Patient/1", "resource": {"resourceType": "Patient", "id": "1"}}] * 2,
        },
        "Bundle",
    ),
    (
        "bdl-8",
        {
            "resourceType": "Bundle",
            "type": "collection",
            "entry": [{"fullUrl": "https://example.org/Patient/1/_history/2", "resource": {"resourceType": "Patient"}}],
        },
        "Bundle.entry[0]",
    ),
    (
        "dom-4",
        {"resourceType": "Patient", "contained": [{"resourceType": "Group", "id": "g", "meta": {"versionId": "1"}}]},
        "Patient",
    ),
    (
        "dom-3",
        {"resourceType": "Patient", "contained": [{"resourceType": "Organization", "id": "gp", "name": "a"}]},
        "Patient.contained[0]",
    ),
    (
        "ref-1",
        {"resourceType": "Patient", "managingOrganization": {"reference": "#gp"}},
        "Patient.managingOrganization.reference",
    ),
]


@pytest.mark.parametrize(("key", "resource", "where"), BROKEN, ids=[each[0] for each in BROKEN])
def test_a_breach_is_found_at_its_place(key: str, resource: dict[str, Any], where: str) -> None:
    assert breaches(resource).get(key) == where


def test_the_valid_samples_break_no_rule() -> None:
    for make in samples.ALL.values():
        assert [
            str(issue) for issue in validate(make(), invariants=True) if issue.severity == "error" and issue.code == "invariant"
        ] == []


def test_a_warning_is_told_and_refuses_nothing() -> None:
    bare = {"resourceType": "Patient"}
    assert breaches(bare, "warning") == {"dom-6": "Patient"}
    check(bare)
    assert breaches(bare | {"text": DIV}, "warning") == {}
    contained = {"resourceType": "Patient", "text": DIV, "contained": [{"resourceType": "Organization", "id": "o", "name": "a"}]}
    assert breaches(contained | {"managingOrganization": {"reference": "#o"}}, "warning") == {}


def test_structure_and_rules_are_told_together() -> None:
    issues = validate({"resourceType": "Patient", "gender": "boy", "contact": [{"gender": "male"}]}, invariants=True)
    assert {issue.expression for issue in issues if issue.severity == "error"} == {"Patient.gender", "Patient.contact[0]"}


def test_a_rule_on_broken_structure_raises_nothing() -> None:
    for odd in (
        {"contact": {"name": 1}},
        {"telecom": [5, None, "x"]},
        {"contained": [5, {"resourceType": "Nope"}]},
        {"": 1},
        {"_": [{}]},
    ):
        assert validate({"resourceType": "Patient", **odd}, invariants=True)


def test_a_contained_resource_may_name_its_container() -> None:
    related = {"resourceType": "Provenance", "id": "p", "target": [{"reference": "#"}], "recorded": "2020-01-01T00:00:00Z"}
    related["agent"] = [{"who": {"display": "a"}}]
    assert breaches({"resourceType": "Patient", "contained": [related]}) == {}
    assert breaches(samples.observation() | {"focus": [{"reference": "#"}]}) == {"ref-1": "Observation.focus[0].reference"}


def test_the_contained_resources_of_a_bundle_entry_are_its_own() -> None:
    inner = {"resourceType": "Patient", "contained": [{"resourceType": "Organization", "id": "o", "name": "a"}]}
    inner["managingOrganization"] = {"reference": "#o"}
    other = {"resourceType": "Patient", "managingOrganization": {"reference": "#o"}}
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": inner}, {"resource": other}]}
    assert breaches(bundle) == {"ref-1": "Bundle.entry[1].resource.managingOrganization.reference"}


def test_a_thousand_contained_resources_are_judged_in_one_walk() -> None:
    contained = [{"resourceType": "Organization", "id": f"o{n}", "name": "a"} for n in range(1000)]
    patient = {
        "resourceType": "Patient",
        "contained": contained,
        "generalPractitioner": [{"reference": f"#o{n}"} for n in range(999)],
    }
    assert breaches(patient) == {"dom-3": "Patient.contained[999]"}


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_what_is_passed_over_would_have_held(data: st.DataObject) -> None:
    """The shortcut by elements present gives what asking gives, on objects with any choice of an object's own elements."""
    patient = {
        **samples.patient(),
        **samples.observation(),
        **samples.questionnaire(),
        "contained": [{"meta": {"versionId": "1"}}],
    }
    on_resources = [each for each in rules() if not each[1] and r4().types[each[0]].kind == "resource"]
    name, _, rule = data.draw(st.sampled_from([each for each in on_resources if each[2].key not in invariants.ELSEWHERE]))
    keys = data.draw(st.sets(st.sampled_from(sorted(patient))))
    value = {key: patient[key] for key in keys}
    question = invariants.Question(r4(), name, rule)
    if question.heads is not None and question.heads.isdisjoint(value):
        node = Node(value, name)
        text = invariants.CORRECTED.get(rule.key, rule.expression)
        assert compile_fhirpath(text).program(name).test(node, Environment(node)) is True, rule.key

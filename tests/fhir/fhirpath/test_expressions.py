"""What an expression gives on a resource: paths, types, choices, extensions, references, plain values out."""

from decimal import Decimal
from typing import Any

import pytest

from app.fhir.fhirpath import FHIRPathError, compile

PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "p1",
    "active": True,
    "name": [
        {
            "use": "official",
            "family": "Windsor",
            "given": ["Ada", None],
            "_given": [None, {"extension": [{"url": "x", "valueCode": "y"}]}],
        },
        {"use": "nickname", "given": ["Addie"]},
    ],
    "birthDate": "2021-03",
    "_birthDate": {"id": "b", "extension": [{"url": "http://t", "valueDateTime": "2021-03-04T05:06:07Z"}]},
    "deceasedDateTime": "2024-02-29T10:00:00+01:00",
    "generalPractitioner": [
        {"reference": "Practitioner/1"},
        {"reference": "#org"},
        {"reference": "https://x/fhir/Organization/2/_history/3"},
    ],
    "contained": [{"resourceType": "Organization", "id": "org", "name": "Contained"}],
    "contact": [{"name": {"family": "Windsor"}}],
}
OBSERVATION: dict[str, Any] = {
    "resourceType": "Observation",
    "id": "o1",
    "status": "final",
    "code": {"coding": [{"system": "http://loinc.org", "code": "29463-7"}]},
    "subject": {"type": "Patient", "identifier": {"value": "7"}},
    "valueQuantity": {"value": Decimal("3.40"), "unit": "kg", "system": "http://unitsofmeasure.org", "code": "kg"},
    "component": [{"code": {"text": "a"}, "valueString": "low"}, {"code": {"text": "b"}, "valueInteger": 4}],
}


@pytest.mark.parametrize(
    ("expression", "resource", "expected"),
    [
        ("Patient.name.where(use = 'official').family", PATIENT, ["Windsor"]),
        ("name.given", PATIENT, ["Ada", "Addie"]),
        ("name.given.count()", PATIENT, [3]),  # one of them has extensions only
        ("name.given.select(hasValue())", PATIENT, [True, False, True]),
        ("Observation.value", PATIENT, []),
        ("birthDate.extension('http://t').value", PATIENT, ["2021-03-04T05:06:07Z"]),
        ("birthDate.id", PATIENT, ["b"]),
        ("deceased is dateTime", PATIENT, [True]),
        ("deceased is boolean", PATIENT, [False]),
        ("Patient.deceased.exists() and Patient.deceased != false", PATIENT, [True]),
        ("contact.name.family | name.family", PATIENT, ["Windsor"]),
        ("contact.name.family.combine(name.family)", PATIENT, ["Windsor", "Windsor"]),
        ("generalPractitioner.where(resolve() is Practitioner).reference", PATIENT, ["Practitioner/1"]),
        ("generalPractitioner.where(resolve() is Organization).count()", PATIENT, [2]),
        ("generalPractitioner.resolve().name", PATIENT, ["Contained"]),
        ("Observation.subject.where(resolve() is Patient).identifier.value", OBSERVATION, ["7"]),
        ("Observation.value.as(Quantity).unit", OBSERVATION, ["kg"]),
        ("(Observation.value as Quantity).value", OBSERVATION, [Decimal("3.40")]),
        ("Observation.value > 3000 'g'", OBSERVATION, [True]),
        ("Observation.value = 3.4 'kg'", OBSERVATION, [True]),
        ("component.value.ofType(integer)", OBSERVATION, [4]),
        ("component.value", OBSERVATION, ["low", 4]),
        ("component[1].code.text", OBSERVATION, ["b"]),
        ("component.select($index)", OBSERVATION, [0, 1]),
        ("component.value.ofType(integer).aggregate($this + $total, 10)", OBSERVATION, [14]),
        ("descendants().ofType(string).where($this = 'low')", OBSERVATION, ["low"]),
        ("%resource.id & '-' & %context.status", OBSERVATION, ["o1-final"]),
        ("3 days", OBSERVATION, [{"value": Decimal(3), "unit": "day", "system": "http://unitsofmeasure.org", "code": "day"}]),
        ("@2024-01-31 + 1 month", OBSERVATION, ["2024-02-29"]),
    ],
)
def test_gives(expression: str, resource: dict[str, Any], expected: list[Any]) -> None:
    assert compile(expression).evaluate(resource) == expected


def test_dates_compare_at_the_precision_they_have() -> None:
    assert compile("birthDate < @2021-04").evaluate(PATIENT) == [True]
    assert compile("birthDate < @2021-03-15").evaluate(PATIENT) == []  # could be either
    assert compile("birthDate = @2021-03-15").evaluate(PATIENT) == []
    assert compile("birthDate = @2021").evaluate(PATIENT) == []
    assert compile("deceased = @2024-02-29T09:00:00Z").evaluate(PATIENT) == [True]


def test_as_a_criterion_empty_is_false_and_one_item_is_true() -> None:
    assert compile("name.family").holds(PATIENT) is True
    assert compile("photo").holds(PATIENT) is False
    assert compile("active.not()").holds(PATIENT) is False
    with pytest.raises(FHIRPathError, match="several"):
        compile("name").holds(PATIENT)


def test_an_element_is_evaluated_with_its_type() -> None:
    name = {"family": "Windsor", "_family": {"extension": [{"url": "own", "valueString": "von"}]}}
    assert compile("family.extension('own').value").evaluate(name, type="HumanName") == ["von"]
    assert compile("low.value <= high.value").evaluate(
        {"low": {"value": 1}, "high": {"value": Decimal("1.5")}}, type="Range"
    ) == [True]


def test_json_of_no_known_type_is_walked_by_name() -> None:
    thing = {"answer": [{"valueDate": "2024-01-02"}, {"valueCoding": {"code": "x"}}], "list": [1, 2]}
    assert compile("answer.value.ofType(date)").evaluate(thing) == ["2024-01-02"]
    assert compile("answer.value.code").evaluate(thing) == ["x"]
    assert compile("list.count()").evaluate(thing) == [2]


def test_variables_and_the_resolver_come_from_the_caller() -> None:
    variables = {"launch": OBSERVATION, "weight": Decimal("3.1"), "none": None, "many": [1, 2]}
    assert compile("%launch.value.value > %weight").evaluate(PATIENT, variables=variables) == [True]
    assert compile("%none").evaluate(PATIENT, variables=variables) == []
    assert compile("%many.count()").evaluate(PATIENT, variables=variables) == [2]
    asked: list[str] = []

    def resolve(reference: str) -> dict[str, Any] | None:
        asked.append(reference)
        return {"resourceType": "Practitioner", "id": "1", "active": True} if reference == "Practitioner/1" else None

    assert compile("generalPractitioner.resolve().ofType(Practitioner).active").evaluate(PATIENT, resolve=resolve) == [True]
    assert asked == ["Practitioner/1", "https://x/fhir/Organization/2/_history/3"]
    with pytest.raises(FHIRPathError, match="%nothing"):
        compile("%nothing").evaluate(PATIENT)


def test_contained_resources_know_their_root() -> None:
    assert compile("%rootResource.id & %resource.id").evaluate(
        PATIENT["contained"][0], root=PATIENT, resource=PATIENT["contained"][0]
    ) == ["p1org"]


def test_references_within_a_bundle_resolve() -> None:
    bundle = {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [
            {"fullUrl": "urn:uuid:1", "resource": PATIENT},
            {"resource": {**OBSERVATION, "subject": {"reference": "urn:uuid:1"}}},
        ],
    }
    assert compile("Bundle.entry.resource.ofType(Observation).subject.resolve().id").evaluate(bundle) == ["p1"]


def test_member_of_asks_the_callers_terminology_and_is_empty_without() -> None:
    expression = compile("code.memberOf('http://vs')")
    assert expression.evaluate(OBSERVATION) == []
    assert expression.evaluate(OBSERVATION, member_of=lambda value, url: url == "http://vs" and "coding" in value) == [True]


def test_trace_shows_and_changes_nothing() -> None:
    shown: list[tuple[str, list[Any]]] = []
    assert compile("name.family.trace('f', length())").evaluate(PATIENT, trace=lambda *each: shown.append(each)) == ["Windsor"]
    assert shown == [("f", [7])]


def test_the_input_is_never_changed() -> None:
    import copy

    before = copy.deepcopy(PATIENT)
    for expression in ("descendants()", "name.given.combine(name.family)", "children().repeat(children())", "name.sort(-family)"):
        compile(expression).evaluate(PATIENT)
    assert before == PATIENT


def test_strict_refuses_what_lenient_leaves_empty() -> None:
    assert compile("Patient.nme").evaluate(PATIENT) == []
    with pytest.raises(FHIRPathError, match="no element 'nme'"):
        compile("Patient.nme", strict=True).evaluate(PATIENT)
    two = {**OBSERVATION, "component": [{"code": {}, "valueInteger": 1}, {"code": {}, "valueInteger": 2}]}
    assert compile("Observation.component.value.as(integer)").evaluate(two) == [1, 2]
    with pytest.raises(FHIRPathError, match="several"):
        compile("Observation.component.value.as(integer)", strict=True).evaluate(two)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("defineVariable('a', 1).select(%a)", [1]),
        ("name.first().defineVariable('n', family).given.select(%n & ' ' & $this)", ["Windsor Ada", "Windsor "]),
        ("name.defineVariable('all').first().select(%all.count())", [2]),
        ("name.select(defineVariable('f', family).given.first() & '|' & (%f | 'none').first())", None),
        ("name.given.defineVariable('g').exists() and name.exists()", [True]),
        ("defineVariable('a', 1).defineVariable('b', %a + 1).select(%a + %b)", [3]),
        ("name.where(defineVariable('u', use).select(%u = 'official')).family", ["Windsor"]),
        ("defineVariable('a', 1).select(%a) | defineVariable('a', 2).select(%a)", [1, 2]),
        ("defineVariable('a', 1).active | %a", None),
        ("name.select(defineVariable('f', family)).exists(%f = 'Windsor')", None),
        ("defineVariable('a', 1).defineVariable('a', 2)", None),
        ("defineVariable('resource', 1)", None),
        ("defineVariable('loinc', 1)", None),
        ("defineVariable(1)", None),
        ("defineVariable({}, 1)", None),
    ],
)
def test_variables_of_an_expression(text: str, expected: list[Any] | None) -> None:
    """Known to the end of their chain and no further; a name is taken once."""
    if expected is None:
        with pytest.raises(FHIRPathError):
            compile(text).evaluate(PATIENT)
    else:
        assert compile(text).evaluate(PATIENT) == expected


def test_variables_of_an_expression_leave_those_given_alone() -> None:
    given = {"a": 5}
    expression = compile("defineVariable('b', %a).select(%b + %a)")
    assert expression.evaluate(PATIENT, variables=given) == expression.evaluate(PATIENT, variables=given) == [10]
    assert given == {"a": 5}
    assert compile("defineVariable('b', 1).select(%b = 1)").holds(PATIENT)
    with pytest.raises(FHIRPathError):
        compile("defineVariable('a', 1)").evaluate(PATIENT, variables=given)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("given.select('a' & $this)", ["aAda", "a"]),
        ("given.select($this > 'A')", [True]),
        ("given.select('a' + $this)", ["aAda"]),
        ("given.select(length())", [3]),
        ("given.select(upper())", ["ADA"]),
    ],
)
def test_a_primitive_without_a_value_is_as_good_as_absent(text: str, expected: list[Any]) -> None:
    assert compile(f"name.first().{text}").evaluate(PATIENT) == expected

"""Structure validation: what is valid passes, every way of breaking it is found, and found where it is."""

from collections.abc import Iterator
from copy import deepcopy
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.fhir import codec
from app.fhir.definitions import r4
from app.fhir.errors import Invalid
from app.fhir.validation import Path, Report, Rule, Structure, check, validate
from app.fhir.validation.report import MAX_ISSUES
from tests.fhir import samples

PATIENT = {"resourceType": "Patient"}


def found(resource: Any, **options: Any) -> dict[str | None, str]:
    return {issue.expression: issue.diagnostics for issue in validate(resource, **options)}


def patient(**elements: Any) -> dict[str, Any]:
    return {**PATIENT, **elements}


def extended(**value: Any) -> dict[str, Any]:
    return patient(extension=[{"url": "https://example.org/e", **value}])


# ---- valid ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", samples.ALL)
def test_the_samples_are_valid(name: str) -> None:
    assert found(samples.ALL[name]()) == {}


@pytest.mark.parametrize(
    "value",
    [
        {"valueDate": "2020"},
        {"valueDate": "2020-12"},
        {"valueDate": "2000-02-29"},
        {"valueDate": "0001-01-01"},
        {"valueDateTime": "2020-01-01T00:00:00Z"},
        {"valueDateTime": "2020-01-01T23:59:60+01:00"},
        {"valueDateTime": "2020-01-01T10:00:00.123456789-13:59"},
        {"valueInstant": "2020-01-01T10:00:00+14:00"},
        {"valueTime": "23:59:59.5"},
        {"valueDecimal": Decimal("1E+5")},
        {"valueDecimal": 7},
        {"valueInteger": -(2**31)},
        {"valuePositiveInt": 2**31 - 1},
        {"valueUnsignedInt": 0},
        {"valueString": "a\r\n\tb\u00a0\u2028"},
        {"valueString": " "},
        {"valueCode": "a b"},
        {"valueId": "a" * 64},
        {"valueOid": "urn:oid:1.2.0.3"},
        {"valueUuid": "urn:uuid:c757873d-ec9a-4326-a141-556f43239520"},
        {"valueBase64Binary": "aGVs\n bG8="},
        {"valueUri": "urn:x:ü"},
        {"_valueString": {"extension": [{"url": "https://example.org/why", "valueCode": "masked"}]}},
        {"valueBoolean": False},
        {"valueReference": {"reference": "Patient/1/_history/2"}},
        {"valueReference": {"reference": "https://example.org/fhir/Anything/1"}},
        {"valueReference": {"reference": "#"}},
        {"valueReference": {"identifier": {"value": "1"}, "type": "Patient"}},
        {"valueReference": {"reference": "Patient?identifier=x|1"}},
    ],
)
def test_valid_values(value: dict[str, Any]) -> None:
    assert found(extended(**value)) == {}


def test_an_empty_resource_is_valid_where_nothing_is_required() -> None:
    assert found(PATIENT) == {}


# ---- invalid ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "at"),
    [
        ({"valueDate": "2023-02-29"}, "valueDate"),
        ({"valueDate": "2023-02-30"}, "valueDate"),
        ({"valueDate": "2023-04-31"}, "valueDate"),
        ({"valueDate": "1900-02-29"}, "valueDate"),
        ({"valueDate": "2023-13"}, "valueDate"),
        ({"valueDate": "0000"}, "valueDate"),
        ({"valueDate": "23-01-01"}, "valueDate"),
        ({"valueDate": "2023-01-01T00:00:00Z"}, "valueDate"),
        ({"valueDate": "2023-01-01\n"}, "valueDate"),
        ({"valueDate": "２０２３"}, "valueDate"),
        ({"valueDate": 2023}, "valueDate"),
        ({"valueDateTime": "2020-01-01T10:00:00"}, "valueDateTime"),
        ({"valueDateTime": "2020-01-01T10:00Z"}, "valueDateTime"),
        ({"valueDateTime": "2020-01-01T24:00:00Z"}, "valueDateTime"),
        ({"valueDateTime": "2020-01-01T10:00:00+14:30"}, "valueDateTime"),
        ({"valueDateTime": "2020-01-01 10:00:00Z"}, "valueDateTime"),
        ({"valueDateTime": "2020-02-30T10:00:00Z"}, "valueDateTime"),
        ({"valueInstant": "2020-01-01"}, "valueInstant"),
        ({"valueTime": "10:00"}, "valueTime"),
        ({"valueTime": "10:00:00Z"}, "valueTime"),
        ({"valueBoolean": "true"}, "valueBoolean"),
        ({"valueBoolean": 1}, "valueBoolean"),
        ({"valueInteger": "1"}, "valueInteger"),
        ({"valueInteger": True}, "valueInteger"),
        ({"valueInteger": Decimal("1.0")}, "valueInteger"),
        ({"valueInteger": 2**31}, "valueInteger"),
        ({"valueUnsignedInt": -1}, "valueUnsignedInt"),
        ({"valuePositiveInt": 0}, "valuePositiveInt"),
        ({"valueDecimal": "1.0"}, "valueDecimal"),
        ({"valueDecimal": True}, "valueDecimal"),
        ({"valueDecimal": Decimal("NaN")}, "valueDecimal"),
        ({"valueString": ""}, "valueString"),
        ({"valueString": "a\x00b"}, "valueString"),
        ({"valueString": "a\uffff"}, "valueString"),
        ({"valueUri": "urn:\ufffe"}, "valueUri"),
        ({"valueString": "x" * 1_048_577}, "valueString"),
        ({"valueString": 5}, "valueString"),
        ({"valueString": None}, "valueString"),
        ({"valueString": ["a"]}, "valueString"),
        ({"valueString": {"a": 1}}, "valueString"),
        ({"valueCode": " a"}, "valueCode"),
        ({"valueCode": "a  b"}, "valueCode"),
        ({"valueId": "a" * 65}, "valueId"),
        ({"valueId": "a_b"}, "valueId"),
        ({"valueOid": "1.2.3"}, "valueOid"),
        ({"valueOid": "urn:oid:3.1"}, "valueOid"),
        ({"valueUuid": "urn:uuid:C757873D-EC9A-4326-A141-556F43239520"}, "valueUuid"),
        ({"valueUri": "a b"}, "valueUri"),
        ({"valueUrl": ""}, "valueUrl"),
        ({"valueBase64Binary": "a"}, "valueBase64Binary"),
        ({"valueBase64Binary": "aGVsbG8"}, "valueBase64Binary"),
        ({"valueBase64Binary": "a$=="}, "valueBase64Binary"),
        ({"valueQuantity": {}}, "valueQuantity"),
        ({"valueQuantity": []}, "valueQuantity"),
        ({"valueQuantity": "1 kg"}, "valueQuantity"),
        ({"valueQuantity": {"value": 1, "weight": 2}}, "valueQuantity.weight"),
        ({"valueQuantity": {"comparator": "=="}}, "valueQuantity.comparator"),
        ({"valueCodeableConcept": {"coding": {"code": "x"}}}, "valueCodeableConcept.coding"),
        ({"valueCodeableConcept": {"coding": []}}, "valueCodeableConcept.coding"),
        ({"valueCodeableConcept": {"coding": [None]}}, "valueCodeableConcept.coding[0]"),
        ({"valuePeriod": {"id": "x"}}, "valuePeriod"),
        ({"valueReference": {"reference": "Nobody/1"}}, "valueReference.reference"),
        ({"valueReference": {"reference": "Patient/a_b"}}, "valueReference.reference"),
        ({"valueBanana": "x"}, "valueBanana"),
        ({"valueString": "a", "valueCode": "b"}, "value"),
        ({"valueString": "a", "_valueCode": {"id": "b"}}, "value"),
        ({"valueString": "a", "extension": [{"url": "b", "valueCode": "c"}]}, ""),
        ({}, ""),
        ({"_valueString": {}}, "valueString"),
        ({"_valueString": {"id": "x"}}, "valueString"),
    ],
)
def test_invalid_values_are_found_where_they_are(value: dict[str, Any], at: str) -> None:
    issues = found(extended(**value))
    name, _, rest = at.partition(".")
    where = "value" if name.startswith("value") and name != "valueBanana" else name
    expected = ".".join(part for part in ("Patient.extension[0]", where, rest) if part)
    assert expected in issues, issues
    assert len(issues) == 1 or value.get("valueBanana") == "x"


@pytest.mark.parametrize(
    ("resource", "expected"),
    [
        (patient(birthdate="2020"), {"Patient.birthdate": "Patient has no element 'birthdate': did you mean 'birthDate'?"}),
        (
            patient(deceased=True),
            {"Patient.deceased": "Patient has no element 'deceased': name the type, as in 'deceasedBoolean'."},
        ),
        (patient(gender="m"), {"Patient.gender": "The code 'm' is not one of female, male, other, unknown."}),
        (patient(active=None), {"Patient.active": "null is not a value: leave the element out, or give it one."}),
        (
            patient(name={"family": "x"}),
            {"Patient.name": "This element repeats, so JSON needs an array here: put [ ] around the value."},
        ),
        (
            patient(maritalStatus=[{"text": "x"}]),
            {
                "Patient.maritalStatus": "This element does not repeat, so JSON must not have an array here: "
                "take the [ ] away and keep one value."
            },
        ),
        (patient(name=[]), {"Patient.name": "The array is empty: leave the element out, or give it an item."}),
        (
            {"resourceType": "Observation", "status": "final"},
            {"Observation.code": "The element 'code' is required, but missing."},
        ),
        ({"resourceType": "Patience"}, {"Patience": "'Patience' is not an R4 resource type."}),
        ({"id": "1"}, {"Resource": "A resource must say what it is in 'resourceType'."}),
        ({"resourceType": 5}, {"Resource": "5 is not an R4 resource type."}),
        ({"resourceType": "DomainResource"}, {"DomainResource": "'DomainResource' is not an R4 resource type."}),
        (
            {
                "resourceType": "Encounter",
                "status": "finished",
                "class": {"code": "IMP"},
                "subject": {"reference": "Practitioner/1"},
            },
            {
                "Encounter.subject.reference": "The reference points to a Practitioner, but this element takes only Group, Patient."
            },
        ),
        (
            patient(contained=[{"resourceType": "Device", "id": "d"}], managingOrganization={"reference": "#d"}),
            {
                "Patient.managingOrganization.reference": "The contained resource '#d' is a Device, "
                "but this element takes only Organization."
            },
        ),
        (
            {"resourceType": "MedicationStatement", "status": "active", "subject": {"reference": "Patient/1"}},
            {"MedicationStatement.medication": "The element 'medication[x]' is required: give one of its types."},
        ),
        (
            {"resourceType": "Condition", "clinicalStatus": {"text": "active"}, "subject": {"reference": "Patient/1"}},
            {"Condition.clinicalStatus": "One coding must be from http://hl7.org/fhir/ValueSet/condition-clinical."},
        ),
    ],
)
def test_sentences_say_what_is_wrong_and_how_to_repair_it(resource: dict[str, Any], expected: dict[str, str]) -> None:
    assert found(resource) == expected


@pytest.mark.parametrize(
    ("resource", "at"),
    [
        (patient(name=[{"given": ["a", ""]}]), "Patient.name[0].given[1]"),
        (patient(name=[{"given": [None]}]), "Patient.name[0].given[0]"),
        (patient(name=[{"given": ["a"], "_given": [None, {"id": "x"}]}]), "Patient.name[0].given"),
        (patient(name=[{"given": ["a", None], "_given": [None, None]}]), "Patient.name[0].given[1]"),
        (patient(name=[{"_given": [None]}]), "Patient.name[0].given[0]"),
        (patient(name=[{"_given": []}]), "Patient.name[0].given"),
        (patient(name=[{"_given": {"id": "x"}}]), "Patient.name[0].given"),
        (patient(_birthDate={"extension": []}), "Patient.birthDate.extension"),
        (patient(_birthDate="x"), "Patient.birthDate"),
        (patient(_birthDate={"valueCode": "x"}), "Patient.birthDate.valueCode"),
        (patient(_birthDate={"id": "x"}), "Patient.birthDate"),
        (patient(_birthDate=[{"id": "x"}]), "Patient.birthDate"),
        (patient(_name={"id": "x"}), "Patient._name"),
        (patient(contact=[{}]), "Patient.contact[0]"),
        (patient(contact=[{"id": "only"}]), "Patient.contact[0]"),
        (patient(contact=[{"resourceType": "Patient", "gender": "male"}]), "Patient.contact[0].resourceType"),
        (patient(text={"status": "generated"}), "Patient.text.div"),
        (patient(extension=[{"valueCode": "x"}]), "Patient.extension[0].url"),
        (patient(extension=[{"url": "relative", "valueCode": "x"}]), "Patient.extension[0].url"),
        (patient(contained=[{"resourceType": "Organization", "name": "x"}]), "Patient.contained[0].id"),
        (
            patient(
                contained=[{"resourceType": "List", "id": "l", "status": "current", "mode": "working", "contained": [PATIENT]}]
            ),
            "Patient.contained[0]",
        ),
        (
            patient(contained=[{"resourceType": "Organization", "id": "l", "name": name} for name in ("one", "other")]),
            "Patient.contained[1].id",
        ),
        ({"resourceType": "Bundle", "type": "batch", "entry": [{"resource": {"resourceType": "X"}}]}, "Bundle.entry[0].resource"),
        ({"resourceType": "Bundle", "type": "batch", "entry": [{"resource": patient(id="a b")}]}, "Bundle.entry[0].resource.id"),
        ({"resourceType": "Parameters", "parameter": [{"name": "a", "resource": {}}]}, "Parameters.parameter[0].resource"),
        ({"resourceType": "Parameters", "parameter": [{"valueString": "a"}]}, "Parameters.parameter[0].name"),
        (patient(link=[{"other": {"reference": "Patient/1"}, "type": "see-also"}]), "Patient.link[0].type"),
        (patient(id=1), "Patient.id"),
        (patient(meta=[]), "Patient.meta"),
    ],
)
def test_locations(resource: dict[str, Any], at: str) -> None:
    assert at in found(resource)


def div(inside: str) -> dict[str, Any]:
    return patient(text={"status": "generated", "div": f'<div xmlns="http://www.w3.org/1999/xhtml">{inside}</div>'})


@pytest.mark.parametrize(
    "inside",
    [
        "plain",
        '<table class="x"><tr><td colspan="2">1</td></tr></table>',
        '<img src="#i" alt="x"/>',
        '<a href="https://x">x</a>',
        " ",
    ],
)
def test_narratives_that_format(inside: str) -> None:
    assert found(div(inside)) == {}


@pytest.mark.parametrize(
    "inside",
    [
        "<script>alert(1)</script>",
        "<p onclick='x()'>x</p>",
        '<a href="javascript:x()">x</a>',
        '<a href=" JavaScript:x()">x</a>',
        "<iframe/>",
        "<form><input/></form>",
        "<object/>",
        '<svg xmlns="http://www.w3.org/2000/svg"/>',
        "<p>not closed",
        "&nbsp;",
        "<p a=1>x</p>",
        "",
    ],
)
def test_narratives_that_do_not_or_that_run(inside: str) -> None:
    assert list(found(div(inside))) == ["Patient.text.div"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain",
        "<p>x</p>",
        "<div>x</div>",
        '<!DOCTYPE div [<!ENTITY a "b">]><div xmlns="http://www.w3.org/1999/xhtml">&a;</div>',
        5,
    ],
)
def test_narratives_that_are_no_div(text: Any) -> None:
    assert list(found(patient(text={"status": "generated", "div": text}))) == ["Patient.text.div"]


# ---- bending the samples ------------------------------------------------------------------------------------------------------

Place = tuple[Any, str]  # the object, and a key of it


def places(value: Any) -> Iterator[Place]:
    """Every key of every object in a resource."""
    if isinstance(value, dict):
        for key in list(value):
            yield value, key
            yield from places(value[key])
    elif isinstance(value, list):
        for each in value:
            yield from places(each)


def _null(holder: Any, key: str) -> None:
    holder[key] = None


def _empty_object(holder: Any, key: str) -> None:
    holder[key] = {}


def _empty_array(holder: Any, key: str) -> None:
    holder[key] = []


def _other_number_of(holder: Any, key: str) -> None:
    holder[key] = holder[key][0] if isinstance(holder[key], list) else [holder[key]]


def _unknown_neighbour(holder: Any, _key: str) -> None:
    holder["notAnElement"] = "x"


def _renamed(holder: Any, key: str) -> None:
    holder[key + "X"] = holder.pop(key)


def _wrong_json_type(holder: Any, key: str) -> None:
    holder[key] = [[True]] if isinstance(holder[key], list) else {"x": 1} if not isinstance(holder[key], dict) else "x"


BENDS = (_null, _empty_object, _empty_array, _other_number_of, _unknown_neighbour, _renamed, _wrong_json_type)


@pytest.mark.parametrize("bend", BENDS, ids=lambda bend: bend.__name__.strip("_"))
@pytest.mark.parametrize("name", samples.ALL)
def test_every_bend_of_every_element_is_found(name: str, bend: Any) -> None:
    survivors = []
    for index, (_, key) in enumerate(places(samples.ALL[name]())):
        resource = samples.ALL[name]()
        holder, _ = list(places(resource))[index]
        bend(holder, key)
        if not validate(resource):
            survivors.append(key)
    assert survivors == []


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4) | st.decimals(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "extension", "url", "reference", "coding", "resourceType", "contained", "_given", "x"]), inner
        )
    ),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(samples.ALL)), st.data(), _json)
def test_no_value_in_any_place_makes_it_crash(name: str, data: st.DataObject, value: Any) -> None:
    resource = samples.ALL[name]()
    holder, key = data.draw(st.sampled_from(list(places(resource))))
    holder[key] = value
    assert all(issue.diagnostics for issue in validate(resource))


@pytest.mark.parametrize("name", samples.ALL)
def test_every_required_element_is_missed_when_it_is_gone(name: str) -> None:
    definitions = r4()
    gone = 0
    for index, (_, key) in enumerate(places(samples.ALL[name]())):
        resource = samples.ALL[name]()
        holder, _ = list(places(resource))[index]
        kind = holder.get("resourceType")
        element = definitions.element(kind, key) if kind else None
        if element is not None and element.min > 0:
            del holder[key]
            gone += 1
            assert validate(resource), key
    assert gone or name == "patient"


def test_all_issues_come_at_once_in_the_order_of_the_document() -> None:
    resource = samples.patient()
    resource["gender"] = "x"
    resource["name"][0]["family"] = ""
    resource["birthDate"] = "2020-02-30"
    assert list(found(resource)) == ["Patient.name[0].family", "Patient.gender", "Patient.birthDate"]


# ---- the interface ----------------------------------------------------------------------------------------------------------


def test_check_raises_every_issue_as_one_operation_outcome() -> None:
    with pytest.raises(Invalid) as caught:
        check(patient(gender="x", active="yes"))
    outcome = caught.value.outcome()
    assert validate(outcome) == []
    assert [issue["expression"] for issue in outcome["issue"]] == [["Patient.gender"], ["Patient.active"]]
    check(samples.patient())


def test_the_expected_type_is_held() -> None:
    assert "expected" in found(PATIENT, type="Observation")["Patient"]
    assert found(PATIENT, type="Patient") == {}


def test_validation_changes_nothing() -> None:
    for make in samples.ALL.values():
        resource = make()
        before = deepcopy(resource)
        validate(resource)
        assert resource == before


def test_issues_are_capped() -> None:
    issues = validate(patient(name=[{"given": [""] * 10_000}]))
    assert len(issues) == MAX_ISSUES + 1
    assert issues[-1].code == "too-costly"


def test_a_body_of_unknown_keys_gets_a_hint_only_for_the_first_few() -> None:
    issues = validate(patient(**{f"birthDat{number}": "x" for number in range(150)}))
    assert len(issues) == 150
    assert "did you mean 'birthDate'?" in issues[0].diagnostics
    assert "did you mean" not in issues[-1].diagnostics


def test_depth_beyond_the_codec_is_an_issue_not_a_crash() -> None:
    nested: dict[str, Any] = {"url": "https://example.org/e", "valueCode": "x"}
    for _ in range(2000):
        nested = {"url": "https://example.org/e", "extension": [nested]}
    assert validate(patient(extension=[nested]))[-1].code == "too-costly"


def test_long_and_odd_values_do_not_flood_the_sentence() -> None:
    (sentence,) = found(patient(gender="\x1b" * 5000)).values()
    assert len(sentence) < 200
    assert "\x1b" not in sentence


def test_further_rules_can_be_handed_in() -> None:
    def no_test_names(value: Any, path: Path, report: Report) -> None:
        if value.get("family") == "Test":
            report.add("business-rule", (path, "family"), "No test names.")

    def rules(type_name: str) -> tuple[Rule, ...]:
        return (no_test_names,) if type_name == "HumanName" else ()

    validator = Structure(rules=rules)
    (issue,) = validator.validate(patient(name=[{"family": "Real"}, {"family": "Test"}]))
    assert (issue.code, issue.expression) == ("business-rule", "Patient.name[1].family")
    assert validate(patient(name=[{"family": "Test"}])) == []


def test_every_type_of_the_standard_compiles() -> None:
    for name in r4().resources:
        assert all(issue.code == "required" for issue in validate({"resourceType": name}))


def test_decimals_from_the_codec_are_judged_as_numbers() -> None:
    raw = codec.encode(samples.observation())
    assert validate(codec.decode(raw)) == []

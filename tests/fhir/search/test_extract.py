"""Index entries of a resource, a kind at a time."""

from decimal import Decimal
from typing import Any

import pytest

from app.fhir.errors import BadRequest
from app.fhir.fhirpath import FHIRPathError
from app.fhir.search.extract import Extraction, extract
from app.fhir.search.parameters import default
from app.fhir.search.types import Composite, Date, Number, OfType, Quantity, Reference, String, Token, Uri
from app.fhir.search.values import DAY, OPEN, SECOND, date_range


def day(text: str) -> int:
    span = date_range(text)
    assert span is not None
    return span[0]


def of(entries: list[Any], param: str) -> list[Any]:
    return [entry for entry in entries if entry.param == param]


def observation(**more: Any) -> dict[str, Any]:
    return {"resourceType": "Observation", "status": "final", "code": {"coding": [{"system": "s", "code": "c"}]}, **more}


def test_tokens_of_every_sort() -> None:
    entries = extract(
        {
            "resourceType": "Patient",
            "meta": {
                "profile": ["http://p"],
                "tag": [{"system": "t", "code": "x"}],
                "security": [{"code": "R"}],
                "source": "urn:s",
            },
            "active": False,
            "gender": "female",
            "deceasedBoolean": False,
            "identifier": [
                {
                    "type": {"coding": [{"system": "v2", "code": "MR"}], "text": "Médical record"},
                    "system": "http://mrn",
                    "value": "A|1",
                },
                {"system": "no-value"},
            ],
            "telecom": [{"system": "phone", "value": "0123"}, {"system": "email", "value": "a@b"}],
            "maritalStatus": {"text": "x"},
        }
    )
    assert of(entries.tokens, "active") == [Token("active", "", "false")]
    assert of(entries.tokens, "gender") == [Token("gender", "http://hl7.org/fhir/administrative-gender", "female")]
    assert of(entries.tokens, "deceased") == [Token("deceased", "", "false")]
    assert of(entries.tokens, "identifier") == [Token("identifier", "http://mrn", "A|1", "medical record")]
    assert entries.of_types == [OfType("identifier", "v2", "MR", "A|1")]
    assert of(entries.tokens, "phone") == [Token("phone", "", "0123")]
    assert of(entries.tokens, "telecom") == [Token("telecom", "", "0123"), Token("telecom", "", "a@b")]
    assert of(entries.tokens, "_tag") == [Token("_tag", "t", "x")]
    assert of(entries.tokens, "_security") == [Token("_security", "", "R")]
    assert entries.uris == [Uri("_profile", "http://p"), Uri("_source", "urn:s")]


def test_a_concepts_own_text_is_found_beside_its_codes() -> None:
    entries = extract(
        observation(code={"coding": [{"system": "s", "code": "c", "display": "Weight"}], "text": "Poids à la naissance"})
    )
    assert of(entries.tokens, "code") == [Token("code", "s", "c", "weight"), Token("code", "", "", "poids a la naissance")]


def test_names_and_addresses_fall_into_folded_parts() -> None:
    entries = extract(
        {
            "resourceType": "Patient",
            "name": [{"family": "Ångström  Çelik", "given": ["Zoë", "O'Neil"]}],
            "address": [{"line": ["1 Rue"], "city": "Orléans", "postalCode": "45000"}],
        }
    )
    assert of(entries.strings, "family") == [String("family", "angstrom celik", "Ångström  Çelik")]
    assert [entry.folded for entry in of(entries.strings, "name")] == ["angstrom celik", "zoe", "o'neil"]
    assert [entry.folded for entry in of(entries.strings, "address")] == ["1 rue", "orleans", "45000"]
    assert of(entries.strings, "address-city") == [String("address-city", "orleans", "Orléans")]


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ({"reference": "Patient/1"}, Reference("subject", "Patient", "1")),
        ({"reference": "Patient/1/_history/4"}, Reference("subject", "Patient", "1")),
        ({"reference": "https://a.b/fhir/Patient/1"}, Reference("subject", "Patient", "", "https://a.b/fhir/Patient/1")),
        ({"reference": "urn:uuid:1-2"}, Reference("subject", "", "", "urn:uuid:1-2")),
        ({"type": "Patient", "identifier": {"system": "s", "value": "v"}}, Reference("subject", "Patient", "", "", "", "s", "v")),
        (
            {"reference": "Patient/1", "identifier": {"system": "s", "value": "v"}},
            Reference("subject", "Patient", "1", "", "", "s", "v"),
        ),
        ({"reference": "#here"}, None),
        ({"display": "somebody"}, None),
    ],
)
def test_references(reference: dict[str, Any], expected: Reference | None) -> None:
    found = of(extract(observation(subject=reference)).references, "subject")
    assert found == ([] if expected is None else [expected])


def test_own_absolute_references_become_relative_when_the_base_is_known() -> None:
    entries = Extraction(default(), "https://a.b/fhir/")(observation(subject={"reference": "https://a.b/fhir/Patient/1"}))
    assert of(entries.references, "subject") == [Reference("subject", "Patient", "1")]


def test_patient_entries_are_only_of_patients_and_told_without_fetching() -> None:
    on_group = extract(observation(subject={"reference": "Group/1"}))
    assert of(on_group.references, "subject") and not of(on_group.references, "patient")
    on_patient = extract(observation(subject={"reference": "https://a.b/fhir/Patient/1"}))
    assert of(on_patient.references, "patient")


def test_canonicals_split_off_their_version() -> None:
    entries = extract({"resourceType": "QuestionnaireResponse", "status": "completed", "questionnaire": "http://q|2.0"})
    assert of(entries.references, "questionnaire") == [Reference("questionnaire", "", "", "http://q", "2.0")]


@pytest.mark.parametrize(
    ("element", "low", "high"),
    [
        ({"effectiveDateTime": "2024"}, day("2024-01-01"), day("2025-01-01")),
        ({"effectiveDateTime": "2024-02"}, day("2024-02-01"), day("2024-03-01")),
        ({"effectiveDateTime": "2024-12"}, day("2024-12-01"), day("2025-01-01")),
        ({"effectiveDateTime": "2024-02-29"}, day("2024-02-29"), day("2024-03-01")),
        (
            {"effectiveDateTime": "2024-02-29T23:30:00-01:00"},
            day("2024-03-01") + 1800 * SECOND,
            day("2024-03-01") + 1801 * SECOND,
        ),
        (
            {"effectiveInstant": "2024-02-29T00:00:00.5Z"},
            day("2024-02-29") + SECOND // 2,
            day("2024-02-29") + SECOND // 2 + SECOND // 10,
        ),
        ({"effectivePeriod": {"start": "2024-02-29"}}, day("2024-02-29"), OPEN),
        ({"effectivePeriod": {"end": "2024-02-29"}}, -OPEN, day("2024-02-29") + DAY),
        ({"effectivePeriod": {"start": "2024", "end": "2024-02"}}, day("2024-01-01"), day("2024-03-01")),
        ({"effectiveTiming": {"event": ["2024-02-29"]}}, day("2024-02-29"), day("2024-03-01")),
    ],
)
def test_dates_are_ranges_at_the_precision_written(element: dict[str, Any], low: int, high: int) -> None:
    assert of(extract(observation(**element)).dates, "date") == [Date("date", low, high)]


def test_what_is_no_date_gives_no_entry() -> None:
    assert extract(observation(effectiveDateTime="2023-02-30")).dates == []


@pytest.mark.parametrize(
    ("element", "low", "high"),
    [
        ({"value": Decimal("5.40"), "unit": "mg", "system": "u", "code": "mg"}, 5.4, 5.4),
        ({"value": 5, "comparator": "<", "unit": "mg", "system": "u", "code": "mg"}, float("-inf"), 5.0),
        ({"value": 5, "comparator": ">=", "unit": "mg", "system": "u", "code": "mg"}, 5.0, float("inf")),
    ],
)
def test_quantities(element: dict[str, Any], low: float, high: float) -> None:
    entries = extract(observation(valueQuantity=element))
    assert of(entries.quantities, "value-quantity") == [Quantity("value-quantity", low, high, "u", "mg", "mg")]


def test_numbers_ranges_and_money() -> None:
    risk = {
        "resourceType": "RiskAssessment",
        "status": "final",
        "subject": {},
        "prediction": [{"probabilityDecimal": Decimal("0.80")}],
    }
    assert extract(risk).numbers == [Number("probability", 0.8, 0.8)]
    condition = {"resourceType": "Condition", "onsetRange": {"low": {"value": 2, "unit": "a"}}}
    assert of(extract(condition).quantities, "onset-age") == [Quantity("onset-age", 2.0, float("inf"), "", "", "a")]
    invoice = {"resourceType": "Invoice", "status": "draft", "totalNet": {"value": Decimal("9.99"), "currency": "GBP"}}
    assert extract(invoice).quantities == [Quantity("totalnet", 9.99, 9.99, "urn:iso:std:iso:4217", "GBP", "GBP")]


def test_composites_keep_what_belongs_together() -> None:
    def component(code: str, value: int) -> dict[str, Any]:
        return {"code": {"coding": [{"system": "s", "code": code}]}, "valueQuantity": {"value": value, "code": "mm"}}

    entries = extract(observation(component=[component("sys", 107), component("dia", 60)]))
    found = of(entries.composites, "component-code-value-quantity")
    assert found == [
        Composite("component-code-value-quantity", ((Token("component-code", "s", code),), (quantity,)))
        for code, quantity in (
            ("sys", Quantity("component-value-quantity", 107.0, 107.0, "", "mm")),
            ("dia", Quantity("component-value-quantity", 60.0, 60.0, "", "mm")),
        )
    ]
    assert of(entries.composites, "code-value-quantity") == []  # the panel itself has no value


def test_a_primitive_with_extensions_only_is_passed_over() -> None:
    entries = extract(
        {"resourceType": "Patient", "_birthDate": {"extension": []}, "_gender": {"id": "g"}, "name": [{"given": [None, "A"]}]}
    )
    assert entries.dates == [] and not of(entries.tokens, "gender")
    assert [entry.exact for entry in of(entries.strings, "given")] == ["A"]


def test_a_value_of_the_wrong_shape_is_an_error_of_the_family() -> None:
    with pytest.raises(FHIRPathError, match="Patient cannot be indexed"):
        extract({"resourceType": "Patient", "name": ["x"]})


CUSTOM = {
    "resourceType": "SearchParameter",
    "url": "http://own/case-severity",
    "code": "severity-class",
    "type": "token",
    "base": ["Condition"],
    "expression": "Condition.extension('http://own/severity').value.ofType(CodeableConcept)",
}


def test_a_custom_parameter_is_indexed_beside_r4s_own() -> None:
    extraction = Extraction(default().with_custom([CUSTOM]))
    condition = {
        "resourceType": "Condition",
        "code": {"text": "x"},
        "extension": [{"url": "http://own/severity", "valueCodeableConcept": {"coding": [{"system": "s", "code": "2"}]}}],
    }
    tokens = extraction(condition).tokens
    assert of(tokens, "severity-class") == [Token("severity-class", "s", "2")]
    assert of(tokens, "code")
    assert not of(extract(condition).tokens, "severity-class")  # the shared set is untouched


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"type": "tokken"}, "type that R4 has"),
        ({"base": ["Conditon"]}, "resource types"),
        ({"expression": ""}, "needs an expression"),
        ({"expression": "Condition.where("}, "expected"),
        ({"code": ""}, "code"),
    ],
)
def test_a_custom_parameter_that_cannot_work_is_refused(change: dict[str, Any], says: str) -> None:
    with pytest.raises(BadRequest, match=says):
        default().with_custom([{**CUSTOM, **change}])

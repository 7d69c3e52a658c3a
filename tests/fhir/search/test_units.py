"""Quantities in UCUM units: found in whatever unit they are written and asked, and never by accident."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.fhir.search.extract import extract
from app.fhir.search.query import parse
from app.fhir.search.types import IN_BASE_UNITS, Match, QuantityValue
from app.fhir.ucum import SYSTEM
from tests.fhir.search.naive import indexed, matches


def observation(value: Any, code: str, system: str = SYSTEM) -> dict[str, Any]:
    quantity = {"value": Decimal(str(value)), "unit": code, "system": system, "code": code}
    coding = {"coding": [{"system": "http://loinc.org", "code": "29463-7"}]}
    return {"resourceType": "Observation", "id": "o", "status": "final", "code": coding, "valueQuantity": quantity}


def found(resource: dict[str, Any], value: str, name: str = "value-quantity") -> bool:
    one = indexed(resource)
    return matches(parse("Observation", [(name, value)], strict=True), one, {"Observation/o": one})


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (f"gt3|{SYSTEM}|kg", True),
        (f"gt4|{SYSTEM}|kg", False),
        (f"3400|{SYSTEM}|g", True),
        (f"3.40|{SYSTEM}|kg", True),
        (f"3.41|{SYSTEM}|kg", False),
        (f"ne3.4|{SYSTEM}|kg", False),
        (f"ap3.5|{SYSTEM}|kg", True),
        (f"lt120|{SYSTEM}|[oz_av]", True),
        (f"gt3|{SYSTEM}|L", False),
        (f"gt3000|{SYSTEM}|L,gt3|{SYSTEM}|kg", True),
        (f"gt3000|{SYSTEM}|frob,gt3|{SYSTEM}|kg", True),
        (f"gt3|{SYSTEM}|frob", False),
        ("gt3000||g", True),
        ("gt3||kg", False),
        ("gt3000", True),
        ("lt4", False),
        ("gt3000|urn:other|g", False),
    ],
)
def test_a_weight_in_grams(value: str, expected: bool) -> None:
    assert found(observation(3400, "g"), value) is expected


def test_the_unit_of_another_system_is_not_ucum() -> None:
    assert not found(observation(3400, "g", "urn:other"), f"gt3|{SYSTEM}|kg")
    assert found(observation(3400, "g", "urn:other"), "gt3000|urn:other|g")


def test_composites_too() -> None:
    resource, name = observation(3400, "g"), "code-value-quantity"
    assert found(resource, f"http://loinc.org|29463-7$gt3|{SYSTEM}|kg", name)
    assert not found(resource, f"http://loinc.org|29463-7$gt4|{SYSTEM}|kg", name)
    assert not found(resource, f"http://loinc.org|other$gt3|{SYSTEM}|kg", name)
    assert found(resource, "http://loinc.org|29463-7$gt3000", name)
    assert not found(resource, "http://loinc.org|29463-7$lt100", name)


def test_a_number_alone_never_meets_base_units() -> None:
    assert not found(observation(5, "kg"), "gt100") and found(observation(5, "kg"), "5")


def test_entries_are_those_of_base_units() -> None:
    entries = extract(observation("5.4", "mg/dL")).quantities
    assert [(each.param, each.low, each.system, each.code) for each in entries] == [
        ("value-quantity", 5.4, SYSTEM, "mg/dL"),
        ("value-quantity", 54.0, IN_BASE_UNITS, "g.m-3"),
    ]
    below = observation(5, "mg")
    below["valueQuantity"]["comparator"] = "<"
    assert [each.low for each in extract(below).quantities] == [float("-inf")] * 2


def test_a_plan_asks_in_base_units_where_it_can() -> None:
    [clause] = parse("Observation", [("value-quantity", f"gt3|{SYSTEM}|kg,gt3||kg")]).where
    assert isinstance(clause, Match)
    assert [(value.low, value.system, value.code) for value in clause.values if isinstance(value, QuantityValue)] == [
        (3000.0, IN_BASE_UNITS, "g"),
        (3.0, None, "kg"),
    ]


@given(
    st.decimals(Decimal("0.001"), Decimal("99999"), places=3),
    st.sampled_from([("g", "kg", 3), ("mg", "g", 3), ("ug/mL", "mg/L", 0), ("mm", "m", 3)]),
)
@settings(max_examples=60, deadline=None)
def test_the_same_amount_is_equal_whatever_the_unit(value: Decimal, units: tuple[str, str, int]) -> None:
    small, large, places = units
    in_large = f"{value.scaleb(-places):f}"
    resource = observation(value, small)
    for prefix in ("", "ge", "le"):
        assert found(resource, f"{prefix}{in_large}|{SYSTEM}|{large}")
    for prefix in ("gt", "lt", "sa", "eb"):
        assert not found(resource, f"{prefix}{in_large}|{SYSTEM}|{large}")

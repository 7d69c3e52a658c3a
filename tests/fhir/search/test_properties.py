"""The two halves of search meet: what is written at any precision is found by what contains it."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from app.fhir.search.query import parse
from app.fhir.search.values import date_range, escape, fold, split, unescape
from tests.fhir.search.naive import indexed, matches

MOMENTS = st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)).map(lambda moment: moment.replace(microsecond=0, tzinfo=UTC))
FORMS = ["%Y", "%Y-%m", "%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ"]


def observation(**more: Any) -> dict[str, Any]:
    return {"resourceType": "Observation", "id": "o", "status": "final", "code": {"text": "x"}, **more}


def found(resource: dict[str, Any], name: str, value: str) -> bool:
    one = indexed(resource)
    return matches(parse(one.type, [(name, value)], strict=True), one, {f"{one.type}/{one.id}": one})


@given(MOMENTS, st.sampled_from(range(4)), st.sampled_from(range(4)))
@settings(max_examples=150, deadline=None)
def test_a_date_is_found_by_every_interval_that_contains_it(moment: datetime, mine: int, asked: int) -> None:
    resource = observation(effectiveDateTime=moment.strftime(FORMS[mine]))
    text = moment.strftime(FORMS[asked])
    assert found(resource, "date", text) is (asked <= mine)
    assert found(resource, "date", "ne" + text) is not (asked <= mine)
    assert found(resource, "date", "ap" + text)


@given(MOMENTS, MOMENTS, st.sampled_from(FORMS), st.sampled_from(FORMS))
@settings(max_examples=150, deadline=None)
def test_date_prefixes_agree_with_the_order_of_time(one: datetime, other: datetime, mine: str, asked: str) -> None:
    resource = observation(effectiveDateTime=one.strftime(mine))
    low, high = date_range(one.strftime(mine)) or (0, 0)
    start, end = date_range(other.strftime(asked)) or (0, 0)
    answers = {
        prefix: found(resource, "date", prefix + other.strftime(asked)) for prefix in ("gt", "lt", "ge", "le", "sa", "eb", "eq")
    }
    assert answers["sa"] is (low >= end) and answers["eb"] is (high <= start)
    assert answers["ge"] is (answers["gt"] or answers["eq"]) and answers["le"] is (answers["lt"] or answers["eq"])
    assert answers["gt"] or answers["lt"] or answers["eq"]  # nothing falls between
    if answers["sa"]:
        assert answers["gt"] and not answers["lt"]


@given(st.decimals(-1000, 1000, places=3), st.integers(0, 3))
@settings(max_examples=150, deadline=None)
def test_a_number_is_found_by_itself_at_any_precision(value: Decimal, places: int) -> None:
    resource = observation(valueQuantity={"value": value, "unit": "kg"})
    rounded = value.quantize(Decimal(1).scaleb(-places))
    assert found(resource, "value-quantity", f"{rounded:f}")
    assert found(resource, "value-quantity", f"ge{value:f}") and found(resource, "value-quantity", f"le{value:f}")
    assert not found(resource, "value-quantity", f"gt{value:f}") and not found(resource, "value-quantity", f"sa{value:f}")
    assert found(resource, "value-quantity", f"gt{value - 1:f}") and found(resource, "value-quantity", f"lt{value + 1:f}")


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30), st.integers(0, 30))
@settings(max_examples=150, deadline=None)
def test_a_name_is_found_by_its_beginning_and_its_middle(name: str, cut: int) -> None:
    if not fold(name):
        return
    patient = {"resourceType": "Patient", "id": "p", "name": [{"family": name}]}
    assert found(patient, "family:exact", escape(name))
    part = fold(name)[: cut + 1]
    if part.strip() and fold(part) == part:
        assert found(patient, "family", escape(part)) and found(patient, "name:contains", escape(part))


@given(st.text(max_size=40))
@settings(max_examples=200, deadline=None)
def test_folding_twice_is_folding_once(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@given(st.lists(st.text(alphabet="a,|$\\ é", max_size=6), min_size=1, max_size=5), st.sampled_from(",|$"))
@settings(max_examples=200, deadline=None)
def test_escaped_values_come_apart_as_they_were_put_together(parts: list[str], separator: str) -> None:
    assert [unescape(part) for part in split(separator.join(map(escape, parts)), separator)] == parts


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20), st.text(min_size=1, max_size=20))
@settings(max_examples=100, deadline=None)
def test_an_identifier_is_found_by_system_and_value_whatever_they_hold(system: str, value: str) -> None:
    if not value.strip() or not system.strip():
        return
    patient = {"resourceType": "Patient", "id": "p", "identifier": [{"system": system, "value": value}]}
    assert found(patient, "identifier", f"{escape(system)}|{escape(value)}")
    assert not found(patient, "identifier", f"|{escape(value)}")
    assert found(patient, "identifier:not", f"{escape(system)}x|{escape(value)}")

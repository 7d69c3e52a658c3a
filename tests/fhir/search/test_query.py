"""Query strings to plans: every kind of value and clause, and every way of being wrong."""

from urllib.parse import parse_qsl

import pytest

from app.fhir.errors import BadRequest, FHIRError, NotSupported, TooCostly
from app.fhir.search.query import parse, self_params
from app.fhir.search.types import (
    AnyOf,
    Chain,
    Clause,
    CompositeValue,
    DateValue,
    Has,
    Ids,
    Match,
    Missing,
    Nothing,
    NumberValue,
    Plan,
    QuantityValue,
    ReferenceValue,
    StringValue,
    TokenValue,
    UriValue,
    Value,
)
from app.fhir.search.values import date_range


def plan(types: str, query: str, **options: object) -> Plan:
    return parse(types, parse_qsl(query, keep_blank_values=True), **options)  # type: ignore[arg-type]


def clause(types: str, query: str, **options: object) -> Clause:
    (only,) = plan(types, query, **options).where
    return only


def values(types: str, query: str, **options: object) -> tuple[Value, ...]:
    found = clause(types, query, **options)
    assert isinstance(found, Match)
    return found.values


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("identifier=A1", TokenValue(None, "A1")),
        ("identifier=http://s|A1", TokenValue("http://s", "A1")),
        ("identifier=http://s|", TokenValue("http://s", None)),
        ("identifier=|A1", TokenValue("", "A1")),
        (r"identifier=A\|1\,2\\", TokenValue(None, "A|1,2\\")),
        (r"identifier=a$b", TokenValue(None, "a$b")),
        ("identifier:of-type=http://v2|MR|12", TokenValue("http://v2", "MR", "12")),
        ("name=%20Zo%C3%AB%20%20B", StringValue("zoe b", " Zoë  B")),
        ("organization=1", ReferenceValue("Organization", "1")),
        ("general-practitioner=1", ReferenceValue(None, "1")),
        ("general-practitioner:Practitioner=1", ReferenceValue("Practitioner", "1")),
        ("organization=Organization/1", ReferenceValue("Organization", "1")),
        ("organization=Organization/1/_history/2", ReferenceValue("Organization", "1")),
        ("organization=https://own/fhir/Organization/1", ReferenceValue("Organization", "1")),
        ("organization=https://x/Organization/1", ReferenceValue("Organization", None, "https://x/Organization/1")),
        ("organization:identifier=s|v", ReferenceValue(system="s", value="v")),
    ],
)
def test_values_on_a_patient(query: str, expected: Value) -> None:
    assert values("Patient", query, base_url="https://own/fhir") == (expected,)


@pytest.mark.parametrize("prefix", ["eq", "ne", "gt", "lt", "ge", "le", "sa", "eb"])
def test_dates_carry_their_prefix_and_precision(prefix: str) -> None:
    span = date_range("2024-02")
    assert span is not None
    assert values("Patient", f"birthdate={prefix}2024-02") == (DateValue(prefix, *span),)  # type: ignore[arg-type]


def test_a_plus_that_became_a_space_in_a_zone_is_put_back() -> None:
    assert values("Patient", "birthdate=2024-02-29T10:00:00+01:00") == values("Patient", "birthdate=2024-02-29T10:00:00%2B01:00")


def test_about_a_date_widens_with_distance() -> None:
    (about,) = values("Patient", "birthdate=ap1990-06-15")
    span = date_range("1990-06-15")
    assert isinstance(about, DateValue) and span is not None
    assert about.low < span[0] - 365 * 86_400_000_000 and about.high > span[1] + 365 * 86_400_000_000


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("5", 4.5, 5.5),
        ("5.40", 5.395, 5.405),
        ("1e2", 50.0, 150.0),
        ("ne5", 4.5, 5.5),
        ("gt5.40", 5.4, 5.4),
        ("ap10", 9.0, 11.0),
        ("-5", -5.5, -4.5),
    ],
)
def test_numbers_are_ranges_at_their_precision_after_eq_and_points_after_gt(text: str, low: float, high: float) -> None:
    (value,) = values("RiskAssessment", f"probability={text}")
    assert isinstance(value, NumberValue) and (value.low, value.high) == pytest.approx((low, high))


def test_quantities() -> None:
    assert values("Observation", "value-quantity=gt5.4|http://u|mg") == (QuantityValue("gt", 5.4, 5.4, "http://u", "mg"),)
    assert values("Observation", "value-quantity=gt5.4||mg") == (QuantityValue("gt", 5.4, 5.4, None, "mg"),)
    assert values("Observation", "value-quantity=gt5.4") == (QuantityValue("gt", 5.4, 5.4, None, None),)


def test_composites_uris_and_alternatives() -> None:
    (value,) = values("Observation", r"code-value-quantity=http://l|1$gt5")
    assert value == CompositeValue((TokenValue("http://l", "1"), QuantityValue("gt", 5.0, 5.0, None, None)))
    assert values("ValueSet", "url:below=http://a/b,http://c") == (UriValue("http://a/b"), UriValue("http://c"))
    assert values("Patient", r"name=a\,b,c") == (StringValue("a,b", "a,b"), StringValue("c", "c"))


def test_chains_reach_every_type_that_has_the_parameter() -> None:
    name = clause("Observation", "subject:Patient.name:exact=Ada")
    assert (
        isinstance(name, Chain)
        and name.targets == ("Patient",)
        and isinstance(name.where, Match)
        and name.where.modifier == "exact"
    )
    either = clause("Observation", "subject.name=ada")
    assert isinstance(either, Chain) and set(either.targets) == {"Patient", "Location"}
    differing = clause("Observation", "subject.identifier=1")
    assert isinstance(differing, Chain | AnyOf)
    deep = clause("Observation", "subject:Patient.organization.partof._id=o1")
    assert isinstance(deep, Chain) and isinstance(deep.where, Chain) and isinstance(deep.where.where, Chain)
    assert deep.where.where.where == Ids(("o1",))


def test_has_nests() -> None:
    found = clause("Patient", "_has:Observation:patient:_has:AuditEvent:entity:agent=Practitioner/1")
    assert (
        isinstance(found, Has)
        and found.source == "Observation"
        and isinstance(found.where, Has)
        and found.where.source == "AuditEvent"
    )
    chained = clause("Patient", "_has:Observation:subject:performer.name=x")
    assert isinstance(chained, Has) and isinstance(chained.where, Chain | AnyOf)


def test_missing_ids_and_value_sets() -> None:
    assert isinstance(clause("Patient", "birthdate:missing=true"), Missing)
    assert clause("Patient", "_id=a,b,not/an/id") == Ids(("a", "b"))
    assert clause("Patient", "_id=not/an/id") == Nothing()
    found = clause("Observation", "code:in=http://vs", value_sets=lambda url: [("s", "a"), ("s", "b")])
    assert isinstance(found, Match) and found.values == (TokenValue("s", "a"), TokenValue("s", "b")) and found.modifier is None
    assert clause("Observation", "code:in=http://vs", value_sets=lambda url: []) == Nothing()
    without = clause("Observation", "code:not-in=http://vs", value_sets=lambda url: [("s", "a")])
    assert isinstance(without, Match) and without.modifier == "not"


def test_result_parameters() -> None:
    found = plan(
        "Patient",
        "_sort=-birthdate,_id&_count=5000&_include=Patient:organization&_include:iterate=Organization:partof:Organization"
        "&_revinclude=Observation:*&_total=accurate&_summary=data&_elements=id,name&_cursor=abc&_format=json",
    )
    assert [(key.param.code, key.descending) for key in found.sort] == [("birthdate", True), ("_id", False)]
    assert found.count == 1000 and found.total == "accurate" and found.summary == "data" and found.elements == ("id", "name")
    assert found.cursor == "abc" and found.includes[1].iterate and found.includes[1].target == "Organization"
    assert {param.code for param in found.revincludes[0].params} >= {"subject", "patient", "encounter"}
    assert found.ignored == () and all(name not in ("_cursor", "_format") for name, _ in found.used)
    assert plan("Patient", "_count=0").summary == "count"


def test_several_types_share_what_they_all_have() -> None:
    found = parse([], parse_qsl("_type=Patient,Practitioner&name=a"))
    assert found.types == ("Patient", "Practitioner") and len(found.where) == 1
    assert parse([], parse_qsl("_type=Patient,Practitioner&birthdate=2020")).ignored == ("birthdate",)
    assert parse([], parse_qsl("_lastUpdated=gt2024")).types == ()


def test_the_self_link_says_what_was_understood() -> None:
    found = plan("Patient", "name=a&colour=red&_count=9999")
    assert found.ignored == ("colour",)
    assert self_params(found) == [("name", "a"), ("_count", "1000")]
    assert self_params(found, "next")[-1] == ("_cursor", "next")
    assert parse("Patient", self_params(found)).where == found.where


def test_unknown_parameters_are_told_and_refused_when_strict() -> None:
    assert plan("Patient", "colour=red&subject.name=x&name=").ignored == ("colour", "subject.name", "name")
    for query in ("colour=red", "name=", "_sort=colour"):
        with pytest.raises(BadRequest):
            plan("Patient", query, strict=True)


@pytest.mark.parametrize(
    ("types", "query", "error"),
    [
        ("Patient", "birthdate=yesterday", BadRequest),
        ("Patient", "birthdate=2023-02-30", BadRequest),
        ("Patient", "birthdate=gt", BadRequest),
        ("Patient", "birthdate:missing=maybe", BadRequest),
        ("Patient", "identifier=|", BadRequest),
        ("Patient", "identifier=a|b|c", BadRequest),
        ("Patient", "identifier:of-type=a|b", BadRequest),
        ("Patient", "name=,", BadRequest),
        ("Patient", "name:loud=x", BadRequest),
        ("Patient", "name:below=x", NotSupported),
        ("Patient", "birthdate:exact=2020", NotSupported),
        ("Patient", "gender:in=http://vs", NotSupported),
        ("Patient", "_filter=name eq x", NotSupported),
        ("Patient", "_list=1", NotSupported),
        ("Patient", "organization=Organisation/1", BadRequest),
        ("Patient", "organization:Patient.name=x", BadRequest),
        ("Patient", "name.family=x", BadRequest),
        ("Patient", "_has:Observation:code:code=1", BadRequest),
        ("Patient", "_has:Observation=1", BadRequest),
        ("Patient", "_has:Observatoin:patient:code=1", BadRequest),
        ("Patient", "_count=-1", BadRequest),
        ("Patient", "_count=ten", BadRequest),
        ("Patient", "_total=some", BadRequest),
        ("Patient", "_include=Patient:name", BadRequest),
        ("Patient", "_revinclude=*", NotSupported),
        ("Patient", "_type=Pateint", BadRequest),
        ("Pateint", "", BadRequest),
        ("RiskAssessment", "probability=high", BadRequest),
        ("RiskAssessment", "probability=nan", BadRequest),
        ("Observation", "value-quantity=5|a|b|c", BadRequest),
        ("Observation", "code-value-quantity=a", BadRequest),
        ("Observation", ".".join(["derived-from:Observation"] * 9) + ".code=1", TooCostly),
        ("Provenance", "target.subject.subject.subject=1", TooCostly),
        ("Patient", "_id=" + ",".join(map(str, range(2000))), TooCostly),
        ("Patient", "&".join(["name=a"] * 200), TooCostly),
    ],
)
def test_what_means_nothing_is_refused_and_named(types: str, query: str, error: type[FHIRError]) -> None:
    with pytest.raises(error) as caught:
        plan(types, query)
    name = query.partition("=")[0].partition(":")[0].partition(".")[0]
    assert name[:20] in str(caught.value) or error is TooCostly or "resource type" in str(caught.value)

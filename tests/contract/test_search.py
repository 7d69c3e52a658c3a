"""Search by every kind of parameter, order, paging, includes and totals, from hand-made plans."""

import dataclasses
from typing import Any

import pytest

from app.fhir.errors import BadRequest, TooCostly
from app.fhir.search.types import (
    AnyOf,
    Chain,
    CompositeValue,
    DateValue,
    Has,
    Ids,
    Include,
    LastUpdated,
    Match,
    Missing,
    Nothing,
    Param,
    Plan,
    QuantityValue,
    ReferenceValue,
    SortKey,
    StringValue,
    TokenValue,
    UriValue,
)
from app.security.access import SYSTEM
from app.store.paging import every
from app.store.protocol import Delete, Put, Store
from tests.contract.builders import (
    BIRTHDATE,
    CODE,
    CODE_VALUE,
    DATE,
    DAY,
    FAMILY,
    GENDER,
    IDENTIFIER,
    SUBJECT,
    VALUE,
    by_family,
    observation,
    of_patient,
    on_days,
    patient,
)

URL = Param("url", "uri")
QUESTIONNAIRE = Param("questionnaire", "reference", ("Questionnaire",))
ORGANIZATION = Param("organization", "reference", ("Organization",))
PERFORMER = Param("performer", "reference", ("Patient",))
GIVEN = Param("given", "string")
UCUM = "http://unitsofmeasure.org"


async def found(store: Store, *where, type: str = "Patient", **options) -> list[str]:
    result = await store.search(SYSTEM, Plan((type,), tuple(where), **options))
    return [stored.id for stored in result.matches]


@pytest.fixture
async def children(store: Store) -> Store:
    """Four children: two names, three birth dates of three precisions, identifiers of two systems."""
    await store.commit(
        SYSTEM,
        [
            Put(patient("a", "Ångström", gender="male", birthDate="2020-05-05", identifier=[{"system": "urn:x", "value": "1"}])),
            Put(patient("b", "Angus", gender="female", birthDate="2020-05", identifier=[{"system": "urn:y", "value": "1"}])),
            Put(patient("c", "Beta", gender="female", birthDate="2021", identifier=[{"value": "1"}])),
            Put(patient("d", "van Beta", active=True)),
            Put(patient("gone", "Angus", gender="male")),
        ],
    )
    await store.commit(SYSTEM, [Delete("Patient", "gone")])
    return store


TOKENS: list[tuple[Any, Any, list[str]]] = [
    (TokenValue("urn:x", "1"), None, ["a"]),
    (TokenValue(None, "1"), None, ["a", "b", "c"]),
    (TokenValue("", "1"), None, ["c"]),
    (TokenValue("urn:y", None), None, ["b"]),
    (TokenValue("urn:x", "2"), None, []),
    (TokenValue(None, "1"), "not", ["d"]),
    (TokenValue("urn:x", "1"), "not", ["b", "c", "d"]),
]


@pytest.mark.parametrize(("value", "modifier", "expected"), TOKENS)
async def test_tokens(children: Store, value, modifier, expected) -> None:
    assert await found(children, Match(IDENTIFIER, (value,), modifier)) == expected


async def test_several_tokens_are_alternatives(children: Store) -> None:
    values = (TokenValue("urn:x", "1"), TokenValue("urn:y", "1"))
    assert await found(children, Match(IDENTIFIER, values)) == ["a", "b"]
    assert await found(children, Match(IDENTIFIER, (*values, TokenValue("", "1")))) == ["a", "b", "c"]
    assert await found(children, Match(IDENTIFIER, values, "not")) == ["c", "d"]


async def test_text_and_type_of_a_token(store: Store) -> None:
    kind = {"coding": [{"system": "urn:kind", "code": "MR"}]}
    await store.commit(
        SYSTEM,
        [
            Put(observation("o", "a", "x")),
            Put(patient("p", identifier=[{"type": kind, "system": "urn:x", "value": "7"}, {"system": "urn:z", "value": "8"}])),
        ],
    )
    assert await found(store, Match(CODE, (TokenValue(None, "display"),), "text"), type="Observation") == ["o"]
    assert await found(store, Match(CODE, (TokenValue(None, "play"),), "text"), type="Observation") == []
    assert await found(store, Match(IDENTIFIER, (TokenValue("urn:kind", "MR", "7"),), "of-type")) == ["p"]
    assert await found(store, Match(IDENTIFIER, (TokenValue("urn:kind", "MR", "8"),), "of-type")) == []


async def test_strings(children: Store) -> None:
    assert await found(children, by_family("ang")) == ["a", "b"]
    assert await found(children, by_family("beta")) == ["c"]
    assert await found(children, by_family("beta", "contains")) == ["c", "d"]
    assert await found(children, Match(FAMILY, (StringValue("angus", "Angus"),), "exact")) == ["b"]
    assert await found(children, Match(FAMILY, (StringValue("angus", "ANGUS"),), "exact")) == []
    assert await found(children, Match(FAMILY, (StringValue("angus", ""), StringValue("beta", "")))) == ["b", "c"]


@pytest.mark.parametrize("sign", ["x", ".", "\N{GRINNING FACE}"])
async def test_a_string_to_be_contained_has_a_longest_length(children: Store, sign: str) -> None:
    await children.commit(SYSTEM, [Put(patient("long", "ang" + sign * 5000))])
    assert await found(children, by_family(sign * 4000, "contains")) == ["long"]
    with pytest.raises(BadRequest, match="contains"):
        await found(children, by_family(sign * 4001, "contains"))
    assert await found(children, by_family("ang" + sign * 4001)) == ["long"]


MAY = 18383  # 2020-05-01 in days since 1970


@pytest.mark.parametrize(
    ("prefix", "low", "days", "expected"),
    [
        ("eq", MAY + 4, 1, ["a"]),
        ("eq", MAY, 31, ["a", "b"]),
        ("eq", MAY + 5, 1, []),
        ("ne", MAY + 4, 1, ["b", "c"]),
        ("ne", MAY, 31, ["c"]),
        ("gt", MAY + 4, 1, ["b", "c"]),
        ("gt", MAY, 31, ["c"]),
        ("lt", MAY + 4, 1, ["b"]),
        ("ge", MAY + 4, 1, ["a", "b", "c"]),
        ("ge", MAY, 31, ["a", "b", "c"]),
        ("ge", MAY + 31, 30, ["c"]),
        ("le", MAY + 4, 1, ["a", "b"]),
        ("le", MAY, 1, []),
        ("le", MAY + 1, 1, ["b"]),
        ("sa", MAY, 31, ["c"]),
        ("sa", MAY - 1, 1, ["a", "b", "c"]),
        ("eb", MAY + 31, 1, ["a", "b"]),
        ("eb", MAY, 1, []),
        ("ap", MAY + 4, 1, ["a", "b"]),
    ],
)
async def test_dates_are_ranges(children: Store, prefix, low, days, expected) -> None:
    assert await found(children, on_days(prefix, low, days)) == expected
    # The same answer where another clause leads and the date is only probed.
    assert await found(children, Ids(("a", "b", "c", "d")), on_days(prefix, low, days)) == expected


@pytest.fixture
async def measured(store: Store) -> Store:
    """Observations of two codes with values 1 to 5 in mg, and one without value."""
    await store.commit(SYSTEM, [Put(patient("p")), Put(patient("q", "Beta"))])
    made = [observation(f"o{n}", "p" if n < 4 else "q", "a" if n % 2 else "b", n, f"2024-01-0{n}") for n in range(1, 6)]
    await store.commit(SYSTEM, [Put(one) for one in [*made, observation("none", "p", "a")]])
    return store


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("eq", ["o3"]),
        ("ne", ["o1", "o2", "o4", "o5"]),
        ("gt", ["o4", "o5"]),
        ("lt", ["o1", "o2"]),
        ("ge", ["o3", "o4", "o5"]),
        ("le", ["o1", "o2", "o3"]),
        ("sa", ["o4", "o5"]),
        ("eb", ["o1", "o2"]),
        ("ap", ["o3"]),
    ],
)
async def test_quantities(measured: Store, prefix, expected) -> None:
    exact = prefix in ("gt", "lt", "ge", "le", "sa", "eb")
    low, high = (3.0, 3.0) if exact else (2.5, 3.5)
    for system, code in ((UCUM, "mg"), (None, "mg"), (None, None)):
        value = QuantityValue(prefix, low, high, system, code)
        assert await found(measured, Match(VALUE, (value,)), type="Observation") == expected
    other = QuantityValue(prefix, low, high, UCUM, "kg")
    assert await found(measured, Match(VALUE, (other,)), type="Observation") == []


async def test_composites_hold_within_one_element(measured: Store) -> None:
    def pair(code: str, low: float, prefix: Any = "ge") -> Match:
        return Match(CODE_VALUE, (CompositeValue((TokenValue("urn:code", code), QuantityValue(prefix, low, low, None, None))),))

    assert await found(measured, pair("a", 3.0), type="Observation") == ["o3", "o5"]
    assert await found(measured, pair("b", 3.0), type="Observation") == ["o4"]
    assert await found(measured, pair("c", 3.0), type="Observation") == []
    assert await found(measured, Ids(("o4", "o5")), pair("a", 0.0), type="Observation") == ["o5"]


async def test_components_do_not_mix(store: Store) -> None:
    component = [
        {
            "code": {"coding": [{"system": "urn:code", "code": code}]},
            "valueQuantity": {"value": value, "system": UCUM, "code": "mg"},
        }
        for code, value in (("x", 1), ("y", 2))
    ]
    await store.commit(SYSTEM, [Put({**observation("o", "p"), "component": component})])
    param = Param(
        "component-code-value-quantity",
        "composite",
        (),
        (Param("component-code", "token"), Param("component-value-quantity", "quantity")),
    )

    async def pair(code: str, value: float) -> list[str]:
        values = CompositeValue((TokenValue(None, code), QuantityValue("eq", value - 0.5, value + 0.5, None, None)))
        return await found(store, Match(param, (values,)), type="Observation")

    assert (await pair("x", 1), await pair("y", 2)) == (["o"], ["o"])
    assert (await pair("x", 2), await pair("y", 1)) == ([], [])


async def test_references(measured: Store) -> None:
    assert await found(measured, of_patient("q"), type="Observation") == ["o4", "o5"]
    for value in (ReferenceValue(None, "q"), ReferenceValue("Patient", "q")):
        assert await found(measured, Match(SUBJECT, (value,)), type="Observation") == ["o4", "o5"]
    assert await found(measured, Match(SUBJECT, (ReferenceValue("Group", "q"),)), type="Observation") == []


async def test_logical_and_absolute_references(store: Store) -> None:
    logical = {"identifier": {"system": "urn:x", "value": "7"}}
    absolute = {"reference": "http://other.example/fhir/Patient/9"}
    await store.commit(
        SYSTEM, [Put({**observation("l", "-"), "subject": logical}), Put({**observation("u", "-"), "subject": absolute})]
    )

    async def by(value: ReferenceValue, modifier: Any = None) -> list[str]:
        return await found(store, Match(SUBJECT, (value,), modifier), type="Observation")

    assert await by(ReferenceValue(system="urn:x", value="7"), "identifier") == ["l"]
    assert await by(ReferenceValue(value="7"), "identifier") == ["l"]
    assert await by(ReferenceValue(system="urn:y", value="7"), "identifier") == []
    assert await by(ReferenceValue(url="http://other.example/fhir/Patient/9")) == ["u"]
    assert await by(ReferenceValue("Patient", "9")) == []


async def test_uris(store: Store) -> None:
    for id, url in (("a", "http://x.example/fhir/A"), ("b", "http://x.example/fhir/A/B"), ("c", "http://x.example/fhir/AB")):
        await store.commit(SYSTEM, [Put({"resourceType": "ValueSet", "id": id, "status": "draft", "url": url})])

    async def by(uri: str, modifier: Any = None) -> list[str]:
        return await found(store, Match(URL, (UriValue(uri),), modifier), type="ValueSet")

    assert await by("http://x.example/fhir/A") == ["a"]
    assert await by("http://x.example/fhir/a") == []
    assert await by("http://x.example/fhir/A", "below") == ["a", "b"]
    assert await by("http://x.example/fhir/", "below") == ["a", "b", "c"]
    assert await by("http://x.example/fhir/A/B/C", "above") == ["a", "b"]


async def test_missing(children: Store) -> None:
    assert await found(children, Missing(BIRTHDATE, True)) == ["d"]
    assert await found(children, Missing(BIRTHDATE, False)) == ["a", "b", "c"]
    assert await found(children, Missing(BIRTHDATE, False), Missing(GENDER, False)) == ["a", "b", "c"]


async def test_chains_and_has(measured: Store) -> None:
    beta = Chain(SUBJECT, ("Patient",), by_family("beta"))
    assert await found(measured, beta, type="Observation") == ["o4", "o5"]
    assert await found(measured, Ids(("o1", "o5")), beta, type="Observation") == ["o5"]
    assert await found(
        measured, Chain(SUBJECT, ("Patient",), Ids(("p",))), Match(CODE, (TokenValue(None, "b"),)), type="Observation"
    ) == ["o2"]
    high = Match(VALUE, (QuantityValue("gt", 4.0, 4.0, None, None),))
    assert await found(measured, Has("Observation", SUBJECT, high)) == ["q"]
    assert await found(measured, Ids(("p", "q")), Has("Observation", SUBJECT, high)) == ["q"]
    nested = Has("Observation", SUBJECT, Chain(SUBJECT, ("Patient",), by_family("beta")))
    assert await found(measured, nested) == ["q"]


async def test_a_chain_to_a_deleted_resource_finds_nothing(measured: Store) -> None:
    await measured.commit(SYSTEM, [Delete("Patient", "q")])
    assert await found(measured, Chain(SUBJECT, ("Patient",), by_family("beta")), type="Observation") == []
    without = Chain(SUBJECT, ("Patient",), Missing(BIRTHDATE, True))
    assert await found(measured, without, type="Observation") == ["o1", "o2", "o3", "none"]


async def test_negation_inside_a_chain(measured: Store) -> None:
    not_beta = Match(FAMILY, (StringValue("beta", "Beta"),), "not")
    assert await found(measured, Chain(SUBJECT, ("Patient",), not_beta), type="Observation") == ["o1", "o2", "o3", "none"]
    assert await found(measured, Has("Observation", SUBJECT, Missing(VALUE, True))) == ["p"]


@pytest.mark.parametrize("many", [10_000, 0])
async def test_canonicals_lead_to_their_resource(store: Store, monkeypatch: pytest.MonkeyPatch, many: int) -> None:
    monkeypatch.setattr(
        "app.store.mongo.clauses.MANY", many
    )  # 0: a chain is asked of candidates, as with ten thousand ids on the way
    form = {"resourceType": "Questionnaire", "status": "draft", "url": "http://x.example/q"}
    await store.commit(
        SYSTEM,
        [
            Put({**form, "id": "q1", "version": "1", "title": "One"}),
            Put({**form, "id": "q2", "version": "2", "title": "Two"}),
            Put(
                {
                    "resourceType": "QuestionnaireResponse",
                    "id": "r",
                    "status": "completed",
                    "questionnaire": "http://x.example/q|2",
                }
            ),
            Put(
                {
                    "resourceType": "QuestionnaireResponse",
                    "id": "any",
                    "status": "completed",
                    "questionnaire": "http://x.example/q",
                }
            ),
        ],
    )
    by = ReferenceValue(url="http://x.example/q")
    assert await found(store, Match(QUESTIONNAIRE, (by,)), type="QuestionnaireResponse") == ["r", "any"]
    exact = ReferenceValue(url="http://x.example/q", version="2")
    assert await found(store, Match(QUESTIONNAIRE, (exact,)), type="QuestionnaireResponse") == ["r"]
    title = Param("title", "string")
    two = Chain(QUESTIONNAIRE, ("Questionnaire",), Match(title, (StringValue("two", "Two"),)))
    assert await found(store, two, type="QuestionnaireResponse") == ["r", "any"]
    one = Chain(QUESTIONNAIRE, ("Questionnaire",), Match(title, (StringValue("one", "One"),)))
    assert await found(store, one, type="QuestionnaireResponse") == ["any"]
    assert await found(store, Ids(("r",)), one, type="QuestionnaireResponse") == []
    plan = Plan(("QuestionnaireResponse",), (Ids(("any",)),), includes=(Include("QuestionnaireResponse", (QUESTIONNAIRE,)),))
    assert {stored.id for stored in (await store.search(SYSTEM, plan)).included} == {"q1", "q2"}


async def test_several_types_and_all_types(measured: Store) -> None:
    both = Plan(("Patient", "Observation"), total="accurate")
    assert (await measured.search(SYSTEM, both)).total == 8
    everything = await measured.search(SYSTEM, Plan((), (Ids(("p", "o1")),)))
    assert {stored.reference for stored in everything.matches} == {"Patient/p", "Observation/o1"}
    assert (await measured.search(SYSTEM, Plan((), (), total="accurate"))).total == 8


async def test_last_updated(measured: Store) -> None:
    at = (await measured.read(SYSTEM, "Patient", "p")).updated
    exact = DateValue("eq", at, at + 1000)
    assert "p" in await found(measured, LastUpdated((exact,)))
    assert await found(measured, LastUpdated((DateValue("lt", at, at + 1000),))) == []
    assert await found(measured, LastUpdated((DateValue("ge", at, at + 1000),))) == ["p", "q"]
    assert await found(measured, LastUpdated((DateValue("sa", at + DAY, at + DAY),))) == []
    assert await found(measured, LastUpdated((DateValue("eb", at, at + 1000), exact))) == ["p", "q"]


async def test_nothing_and_any_of(children: Store) -> None:
    assert await found(children, Nothing()) == []
    assert await found(children, by_family("ang"), Nothing()) == []
    assert await found(children, AnyOf((by_family("beta"), by_family("angus")))) == ["b", "c"]
    assert await found(children, AnyOf((by_family("beta"), Missing(BIRTHDATE, True)))) == ["c", "d"]
    assert await found(children, AnyOf((by_family("beta"), Nothing()))) == ["c"]
    assert await found(children, Ids(("a", "b")), AnyOf((by_family("beta"), by_family("angus")))) == ["b"]


async def test_an_update_moves_a_resource_in_the_index(children: Store) -> None:
    await children.commit(SYSTEM, [Put(patient("a", "Zeta"))])
    assert await found(children, by_family("zeta")) == ["a"]
    assert await found(children, by_family("ang")) == ["b"]
    assert await found(children, Match(GENDER, (TokenValue(None, "male"),))) == []


SORTS = [
    ((SortKey(FAMILY),), ["a", "b", "c", "d"]),
    ((SortKey(FAMILY, True),), ["d", "c", "b", "a"]),
    ((SortKey(BIRTHDATE),), ["b", "a", "c", "d"]),
    ((SortKey(BIRTHDATE, True),), ["c", "a", "b", "d"]),
    ((SortKey(GENDER), SortKey(FAMILY, True)), ["c", "b", "a", "d"]),
    ((SortKey(GENDER, True), SortKey(FAMILY)), ["a", "b", "c", "d"]),
    ((SortKey(Param("_id", "token"), True),), ["d", "c", "b", "a"]),
    ((SortKey(Param("_lastUpdated", "date")), SortKey(Param("_id", "token"), True)), ["d", "c", "b", "a"]),
]


@pytest.mark.parametrize(("sort", "expected"), SORTS)
@pytest.mark.parametrize("count", [1, 2, 3, 10])
async def test_sorting_and_its_pages(children: Store, sort, expected, count) -> None:
    assert await pages(children, Plan(("Patient",), sort=sort, count=count)) == expected


async def pages(store: Store, plan: Plan) -> list[str]:
    ids: list[str] = []
    while True:
        page = await store.search(SYSTEM, plan)
        assert len(page.matches) <= plan.count
        ids += [stored.id for stored in page.matches]
        if page.cursor is None:
            return ids
        plan = dataclasses.replace(plan, cursor=page.cursor)


async def test_ties_are_broken_by_id(store: Store) -> None:
    await store.commit(SYSTEM, [Put(patient(id)) for id in ("m", "c", "x", "a")])
    for count in (1, 2, 5):
        assert await pages(store, Plan(("Patient",), sort=(SortKey(FAMILY),), count=count)) == ["a", "c", "m", "x"]


@pytest.mark.parametrize("sort", [(), (SortKey(FAMILY),), (SortKey(BIRTHDATE, True), SortKey(FAMILY))])
async def test_paging_neither_repeats_nor_hides_while_others_write(store: Store, sort) -> None:
    await store.commit(SYSTEM, [Put(patient(f"p{n:02}", f"F{n % 5}", gender="male")) for n in range(40)])
    plan = Plan(("Patient",), (Match(GENDER, (TokenValue(None, "male"),)),), sort=sort, count=7)
    seen: list[str] = []
    for step in range(100):
        page = await store.search(SYSTEM, plan)
        seen += [stored.id for stored in page.matches]
        await store.commit(SYSTEM, [Put(patient(f"new{step}", f"F{step % 6}", gender="male")), Delete("Patient", seen[0])])
        if page.cursor is None:
            break
        plan = dataclasses.replace(plan, cursor=page.cursor)
    assert len(seen) == len(set(seen))
    assert {f"p{n:02}" for n in range(40)} <= set(seen)


async def test_a_cursor_belongs_to_its_search(children: Store) -> None:
    plan = Plan(("Patient",), sort=(SortKey(FAMILY),), count=1)
    cursor = (await children.search(SYSTEM, plan)).cursor
    assert cursor is not None
    assert "Ang" not in cursor
    for other in (
        dataclasses.replace(plan, cursor=cursor, sort=(SortKey(BIRTHDATE),)),
        dataclasses.replace(plan, cursor=cursor, where=(by_family("b"),)),
        dataclasses.replace(plan, cursor=("A" if cursor[0] != "A" else "B") + cursor[1:]),
        dataclasses.replace(plan, cursor="not a cursor!"),
    ):
        with pytest.raises(BadRequest):
            await children.search(SYSTEM, other)
    assert await found(children, sort=(SortKey(FAMILY),), count=5, cursor=cursor) == ["b", "c", "d"]


async def test_totals(children: Store) -> None:
    def plan(**more) -> Plan:
        return Plan(("Patient",), (by_family("ang"),), count=1, **more)

    assert (await children.search(SYSTEM, plan())).total is None
    assert (await children.search(SYSTEM, plan(total="accurate"))).total == 2
    counted = await children.search(SYSTEM, plan(summary="count"))
    assert (counted.total, counted.matches) == (2, [])
    assert (await children.search(SYSTEM, Plan(("Observation",), total="accurate"))).total == 0
    assert (await children.search(SYSTEM, Plan(("Patient",), count=0, total="accurate"))).total == 4


async def test_includes_and_their_rounds(store: Store) -> None:
    part_of = Param("partof", "reference", ("Organization",))
    await store.commit(
        SYSTEM,
        [
            Put({"resourceType": "Organization", "id": "top", "name": "t"}),
            Put({"resourceType": "Organization", "id": "mid", "name": "m", "partOf": {"reference": "Organization/top"}}),
            Put({"resourceType": "Organization", "id": "low", "name": "l", "partOf": {"reference": "Organization/mid"}}),
            Put(patient("p", managingOrganization={"reference": "Organization/low"})),
            Put(patient("q", managingOrganization={"reference": "Organization/low"})),
            Put(observation("o", "p")),
        ],
    )

    async def included(plan: Plan) -> list[str]:
        result = await store.search(SYSTEM, plan)
        return [stored.id for stored in result.included]

    patients = Plan(("Patient",), includes=(Include("Patient", (ORGANIZATION,)),))
    assert await included(patients) == ["low"]
    up = Include("Organization", (part_of,))
    assert await included(dataclasses.replace(patients, includes=(*patients.includes, up))) == ["low"]
    again = Include("Organization", (part_of,), iterate=True)
    assert sorted(await included(dataclasses.replace(patients, includes=(*patients.includes, again)))) == ["low", "mid", "top"]
    assert await included(Plan(("Observation",), includes=(Include("Observation", (SUBJECT,), "Patient"),))) == ["p"]
    assert await included(Plan(("Observation",), includes=(Include("Observation", (SUBJECT,), "Group"),))) == []
    reverse = Plan(("Organization",), (Ids(("low",)),), revincludes=(Include("Patient", (ORGANIZATION,)),))
    assert sorted(await included(reverse)) == ["p", "q"]
    further = dataclasses.replace(reverse, revincludes=(*reverse.revincludes, Include("Observation", (SUBJECT,), iterate=True)))
    assert sorted(await included(further)) == ["o", "p", "q"]


async def test_a_page_includes_all_or_says_that_it_is_too_much(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often a resource refers to a match."""

    def performed(id: str, by: str) -> Put:
        return Put(observation(id, by) | {"performer": [{"reference": f"Patient/{by}"}]})

    for module in ("sqlite", "mongo"):
        monkeypatch.setattr(f"app.store.{module}.search.MAX_INCLUDED", 6)
    monkeypatch.setattr("app.store.mongo.search.WORDS", 3)
    ids = [f"{by}{n}" for by in "pq" for n in range(3)]
    await store.commit(SYSTEM, [Put(patient("p")), Put(patient("q")), *(performed(id, id[0]) for id in ids)])
    plan = Plan(("Patient",), revincludes=(Include("Observation", (SUBJECT, PERFORMER)),))
    assert sorted(one.id for one in (await store.search(SYSTEM, plan)).included) == ids
    await store.commit(SYSTEM, [performed("q3", "q")])
    with pytest.raises(TooCostly, match="_count"):
        await store.search(SYSTEM, plan)


async def test_what_is_a_match_is_not_included_again(store: Store) -> None:
    await store.commit(SYSTEM, [Put(patient("p")), Put(observation("o", "p"))])
    plan = Plan(("Patient", "Observation"), includes=(Include("Observation", (SUBJECT,)),))
    result = await store.search(SYSTEM, plan)
    assert len(result.matches) == 2
    assert result.included == []


async def test_a_period_stands_where_it_begins(store: Store) -> None:
    await store.commit(
        SYSTEM,
        [
            Put(observation("late", "p", day="2024-03-01")),
            Put({**observation("period", "p"), "effectivePeriod": {"start": "2024-01-01", "end": "2024-06-01"}}),
            Put(observation("early", "p", day="2024-02-01")),
        ],
    )
    assert await found(store, type="Observation", sort=(SortKey(DATE),)) == ["period", "early", "late"]
    assert await found(store, type="Observation", sort=(SortKey(DATE, True),)) == ["late", "early", "period"]


async def test_reindexing_changes_nothing(measured: Store) -> None:
    assert await measured.reindex() == 8
    assert await measured.check() == []
    assert await measured.reindex(["Patient"]) == 2
    assert await found(measured, of_patient("q"), type="Observation") == ["o4", "o5"]


async def test_pages_go_on_after_a_quantity_that_is_open_below(store: Store) -> None:
    """`<1` reaches from minus infinity, which JSON has no number for."""
    for n, comparator in enumerate(["<", None, ">", None, "<"]):
        one = observation(f"o{n}", "p", value=n + 1)
        if comparator:
            one["valueQuantity"]["comparator"] = comparator
        await store.commit(SYSTEM, [Put(one)])
    await store.commit(SYSTEM, [Put(observation("none", "p"))])
    for descending in (False, True):
        plan = Plan(("Observation",), sort=(SortKey(VALUE, descending),))
        whole = [one.id for one in (await store.search(SYSTEM, plan)).matches]
        assert [one.id async for one in every(store, SYSTEM, dataclasses.replace(plan, count=1))] == whole
        assert len(whole) == 6

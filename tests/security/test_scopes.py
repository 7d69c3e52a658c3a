"""SMART v2 scopes: the grammar, and that they narrow only."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.narrow import narrow
from app.fhir.errors import BadRequest, Forbidden
from app.fhir.search.query import parse
from app.security.access import Access
from app.security.scopes import parse_scopes, permits, require


def vendor(scopes: str) -> Access:
    return Access("client/x", "vendor", frozenset(["RXX"]), parse_scopes(scopes))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("system/Patient.rs", {"system/Patient.rs"}),
        ("system/*.cruds user/Observation.r", {"system/*.cruds", "user/Observation.r"}),
        ("system/Patient.read system/Condition.write user/*.*", {"system/Patient.rs", "system/Condition.cud", "user/*.cruds"}),
        ("", set()),
    ],
)
def test_understood(text: str, expected: set[str]) -> None:
    assert parse_scopes(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "Patient.rs",
        "system/Patient",
        "system/Patient.sr",
        "system/Patient.rr",
        "system/Patient.x",
        "patient/Patient.rs",
        "openid",
        "system/Observation.rs?category=laboratory",
        "system/.rs",
        "system/Patient.",
    ],
)
def test_refused(text: str) -> None:
    with pytest.raises(BadRequest):
        parse_scopes(text)


def test_each_letter_stands_for_itself() -> None:
    access = vendor("system/Patient.rs system/Observation.c")
    allowed = {(t, v) for t in ("Patient", "Observation", "Condition") for v in "cruds" if permits(access, t, v)}
    assert allowed == {("Patient", "r"), ("Patient", "s"), ("Observation", "c")}
    with pytest.raises(Forbidden):
        require(access, "Patient", "u")


def test_no_scopes_means_what_the_role_allows() -> None:
    assert permits(vendor(""), "Patient", "c")
    for role in ("parent", "public"):
        assert not permits(Access("x", role, scopes=parse_scopes("system/*.cruds")), "Patient", "r")  # type: ignore[arg-type]


@given(
    st.sets(st.sampled_from(["Patient", "Observation", "Condition", "*"])), st.sampled_from(["Patient", "Observation", "Group"])
)
def test_scopes_never_widen(types: set[str], asked: str) -> None:
    scopes = " ".join(f"system/{type}.r" for type in types)
    access = vendor(scopes)
    if permits(access, asked, "r"):
        assert not types or asked in types or "*" in types
    assert not types or not permits(access, asked, "u")


def test_chains_and_has_are_held_to_the_scopes_of_what_they_look_into() -> None:
    access = vendor("system/Observation.rs")
    for query in ([("subject:Patient.family", "x")], [("_has:Condition:encounter:code", "x")]):
        with pytest.raises(Forbidden):
            narrow(access, parse("Observation" if query[0][0][0] == "s" else "Encounter", query))
    both = vendor("system/Observation.rs system/Patient.rs")
    narrowed = narrow(both, parse("Observation", [("subject.name", "x")]))
    assert "Patient" in repr(narrowed.where) and "Practitioner'" not in repr(narrowed.where)


def test_a_search_over_all_types_is_cut_to_those_allowed() -> None:
    assert narrow(vendor("system/Patient.rs"), parse(["Patient", "Observation"], [])).types == ("Patient",)
    with pytest.raises(Forbidden):
        narrow(vendor("system/Patient.rs"), parse(["Observation"], []))

"""Value sets as questions: yes, no, and nobody here can tell."""

from typing import Any

import pytest

from app.fhir.terminology import Terminology, standard
from app.fhir.terminology.code_systems import CodeSystem
from app.fhir.terminology.grammars import GRAMMARS

R4 = "http://hl7.org/fhir/ValueSet/"
SYSTEM = {
    "resourceType": "CodeSystem",
    "url": "urn:s",
    "content": "complete",
    "concept": [
        {"code": "a", "concept": [{"code": "b", "concept": [{"code": "c"}]}]},
        {"code": "d", "property": [{"code": "subsumedBy", "valueCode": "b"}, {"code": "kind", "valueString": "x"}]},
        {"code": "E"},
    ],
}


def value_set(url: str = "urn:v", **compose: Any) -> dict[str, Any]:
    return {"resourceType": "ValueSet", "url": url, "compose": compose}


def filtered(op: str, value: str, name: str = "concept") -> dict[str, Any]:
    return {"system": "urn:s", "filter": [{"property": name, "op": op, "value": value}]}


@pytest.mark.parametrize(
    ("include", "inside", "outside"),
    [
        ({"system": "urn:s"}, "abcdE", "xe"),
        ({"system": "urn:s", "concept": [{"code": "c"}]}, "c", "ab"),
        (filtered("is-a", "b"), "bcd", "aE"),
        (filtered("descendent-of", "b"), "cd", "abE"),
        (filtered("is-not-a", "b"), "aE", "bcd"),
        (filtered("generalizes", "c"), "abc", "dE"),
        (filtered("=", "x", "kind"), "d", "abc"),
        (filtered("in", "x,y", "kind"), "d", "abc"),
        (filtered("not-in", "x", "kind"), "abc", "d"),
        (filtered("exists", "true", "kind"), "d", "abc"),
        (filtered("regex", "[a-c]", "code"), "abc", "dE"),
        ({"valueSet": ["urn:inner"]}, "ab", "c"),
        ({"system": "urn:s", "valueSet": ["urn:inner", "urn:inner2"]}, "b", "ac"),
    ],
)
def test_what_a_set_includes(include: dict[str, Any], inside: str, outside: str) -> None:
    inner = value_set("urn:inner", include=[{"system": "urn:s", "concept": [{"code": "a"}, {"code": "b"}]}])
    inner2 = value_set("urn:inner2", include=[{"system": "urn:s", "concept": [{"code": "b"}, {"code": "c"}]}])
    terminology = Terminology([SYSTEM, inner, inner2, value_set(include=[include])])
    assert {code: terminology.member("urn:v", code, "urn:s") for code in inside + outside} == {
        **dict.fromkeys(inside, True),
        **dict.fromkeys(outside, False),
    }


def test_what_a_set_excludes() -> None:
    terminology = Terminology([SYSTEM, value_set(include=[{"system": "urn:s"}], exclude=[filtered("is-a", "b")])])
    assert [terminology.member("urn:v", code, "urn:s") for code in "abE"] == [True, False, True]


def test_a_system_that_is_not_loaded_leaves_only_its_own_codes_open() -> None:
    terminology = Terminology([SYSTEM, value_set(include=[{"system": "http://snomed.info/sct"}, {"system": "urn:s"}])])
    assert terminology.member("urn:v", "123", "http://snomed.info/sct") is None
    assert terminology.member("urn:v", "123", "urn:s") is False
    assert terminology.member("urn:v", "123", "urn:other") is False
    assert terminology.member("urn:nowhere", "1") is None


def test_a_fragment_says_yes_but_never_no() -> None:
    fragment = {**SYSTEM, "content": "fragment"}
    terminology = Terminology([fragment, value_set(include=[{"system": "urn:s"}])])
    assert (terminology.member("urn:v", "a", "urn:s"), terminology.member("urn:v", "z", "urn:s")) == (True, None)


def test_case_counts_unless_the_system_says_not() -> None:
    assert CodeSystem({**SYSTEM, "caseSensitive": False}).has("e") is True
    assert CodeSystem(SYSTEM).has("e") is False


def test_a_set_that_includes_itself_ends() -> None:
    loop = [value_set("urn:1", include=[{"valueSet": ["urn:2"]}]), value_set("urn:2", include=[{"valueSet": ["urn:1"]}])]
    assert Terminology(loop).member("urn:1", "a") is None


def test_a_stored_expansion_is_enough() -> None:
    stored = {
        "resourceType": "ValueSet",
        "url": "urn:v",
        "expansion": {"contains": [{"system": "urn:s", "code": "a", "contains": [{"system": "urn:s", "code": "b"}]}]},
    }
    terminology = Terminology([stored])
    assert [terminology.member("urn:v", code, "urn:s") for code in "abc"] == [True, True, False]


def test_elements_are_judged_by_any_of_their_codings() -> None:
    terminology = Terminology([SYSTEM, value_set(include=[{"system": "urn:s"}])])
    good, bad = {"system": "urn:s", "code": "a"}, {"system": "urn:x", "code": "a"}
    assert terminology.judge("urn:v", {"coding": [bad, good]}) is True
    assert terminology.judge("urn:v", {"coding": [bad]}) is False
    assert terminology.judge("urn:v", {"text": "words"}) is None
    assert terminology.judge("urn:v", good) is True
    assert terminology.judge("urn:v", {"code": "a"}) is False  # a Coding without its system says nothing that can be in a set
    assert terminology.judge("urn:v", "a") is True
    assert terminology.judge("urn:v", 5) is None


def test_what_is_loaded_stands_before_what_is_below() -> None:
    below = Terminology([SYSTEM, value_set(include=[{"system": "urn:s"}])])
    over = Terminology([value_set(include=[{"system": "urn:s", "concept": [{"code": "a"}]}])], over=below)
    assert (over.member("urn:v", "b", "urn:s"), below.member("urn:v", "b", "urn:s")) == (False, True)


def test_r4s_own_sets_answer() -> None:
    r4 = standard()
    assert r4.member(R4 + "administrative-gender", "male", "http://hl7.org/fhir/administrative-gender") is True
    assert r4.member(R4 + "condition-code", "1", "http://snomed.info/sct") is None
    assert r4.member(R4 + "mimetypes|4.0.1", "no type") is False
    assert r4.knows(R4 + "languages") and not r4.knows("urn:nowhere")


@pytest.mark.parametrize(
    ("system", "good", "bad"),
    [
        ("urn:ietf:bcp:13", ["text/plain", "application/fhir+xml; fhirVersion=4.0", "image/*"], ["text", "text/", "a b/c"]),
        ("urn:ietf:bcp:47", ["en", "en-GB", "zh-Hant-TW", "x-private"], ["e", "en_GB", "en-", "a language"]),
        ("urn:iso:std:iso:4217", ["GBP"], ["gbp", "£", "GBPS"]),
        ("urn:iso:std:iso:3166", ["GB", "GBR", "826"], ["gb", "UK of", "8"]),
    ],
)
def test_grammars(system: str, good: list[str], bad: list[str]) -> None:
    assert [GRAMMARS[system](code) for code in good] == [True] * len(good)
    assert [GRAMMARS[system](code) for code in bad] == [False] * len(bad)


def test_a_unit_is_possible_or_impossible_but_never_certain() -> None:
    assert (GRAMMARS["http://unitsofmeasure.org"]("mm[Hg]"), GRAMMARS["http://unitsofmeasure.org"]("mm Hg")) == (None, False)

"""Junk anywhere in a resource or in a profile: the answer is a list of issues, whatever it was."""

import copy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from app.fhir.definitions import published
from app.fhir.errors import Issue
from app.fhir.validation import Validator
from tests.fhir import samples

BASE = "http://hl7.org/fhir/StructureDefinition/"
VALIDATOR = Validator(must_support=True)
JUNK: list[Any] = [
    *(
        None,
        True,
        5,
        -1,
        "",
        " ",
        "x",
        "#",
        "*",
        "urn:uuid:1",
        "Patient/1",
        "$this",
        "resolve()",
        "closed",
        "type",
        "value",
        [],
        {},
        [None],
        [[]],
    ),
    *(
        {"resourceType": []},
        {"resourceType": "Patient"},
        {"url": 5},
        {"extension": 5},
        {"extension": [5]},
        {"coding": 5},
        {"reference": 5},
    ),
]
PROFILES = [{**each, "status": "draft"} for each in published.profiles() if each["type"] in ("Observation", "Bundle")]


def bend(draw: st.DrawFn, value: Any) -> Any:
    """A copy with one to four things in it replaced by junk."""
    value = copy.deepcopy(value)
    for _ in range(draw(st.integers(1, 4))):
        places = list(_places(value))
        if places:
            holder, key = draw(st.sampled_from(places))
            holder[key] = copy.deepcopy(draw(st.sampled_from(JUNK)))
    return value


def _places(value: Any) -> Any:
    for key, below in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield value, key
        yield from _places(below)


@st.composite
def resources(draw: st.DrawFn) -> Any:
    make = draw(st.sampled_from(list(samples.ALL.values())))
    return bend(draw, make())


@st.composite
def profiles(draw: st.DrawFn) -> Any:
    made = dict(draw(st.sampled_from(PROFILES)))
    made["differential"] = bend(draw, made["differential"])
    return made


@settings(max_examples=150, deadline=None)
@given(resources(), st.sampled_from([BASE + "bp", BASE + "vitalsigns", BASE + "Patient", "urn:nowhere"]))
def test_in_a_resource(resource: Any, url: str) -> None:
    resource = {**resource, "meta": {"profile": [url, 5]}} if isinstance(resource, dict) else resource
    assert all(isinstance(issue, Issue) for issue in VALIDATOR.validate(resource, [url]))


@settings(max_examples=60, deadline=None)
@given(profiles())
def test_in_a_profile(structure: Any) -> None:
    validator = Validator(profiles=[structure])
    for make in samples.ALL.values():
        assert all(isinstance(issue, Issue) for issue in validator.validate(make(), [structure["url"]]))

"""Mutants of valid resources: whatever is dropped, added, retyped, broken or repeated is refused, at the place where it was done.

The sites come from the table, walked beside the resource; the validator is not asked where they are.
"""

import copy
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from app.fhir.definitions import Element, r4
from app.fhir.validation import Validator, validate
from tests.fhir import samples

VALIDATOR = Validator()


class Site(NamedTuple):
    """An element that is there: the keys that lead to its holder, its JSON key and index, and what the table says of it."""

    steps: tuple[str | int, ...]
    key: str
    index: int | None
    element: Element
    kind: str
    where: str  # location of the holder

    def location(self) -> str:
        """Of the element, with its index if it repeats."""
        return f"{self.where}.{self.element.name}" + (f"[{self.index}]" if self.index is not None else "")


def sites(value: dict[str, Any], kind: str, steps: tuple[str | int, ...] = (), where: str = "") -> Iterator[Site]:
    where = where or kind
    for key, element in r4().json_elements(kind).items():
        if key not in value:
            continue
        for index, one in enumerate(value[key]) if element.is_list else [(None, value[key])]:
            if one is None:
                continue
            of = str(one["resourceType"]) if element.types[0] == "Resource" else element.types[0]
            site = Site(steps, key, index, element, of, where)
            yield site
            if isinstance(one, dict):
                yield from sites(one, of, (*steps, key, *([] if index is None else [index])), site.location())


ALL = [(name, make(), list(sites(make(), str(make()["resourceType"])))) for name, make in samples.ALL.items()]


@st.composite
def places(
    draw: st.DrawFn, *, primitive: bool | None = None, required: bool = False, coded: bool = False
) -> tuple[dict[str, Any], Site]:
    """A fresh valid resource and a site in it of the kind that is asked for."""

    def fits(site: Site) -> bool:
        is_primitive = site.kind in r4().primitives
        return (
            (primitive is None or is_primitive is primitive)
            and (not required or (site.element.min == 1 and not site.index))
            and (not coded or (bool(site.element.codes) and site.kind == "code"))
        )

    found = [(resource, site) for _, resource, many in ALL for site in many if fits(site)]
    resource, site = draw(st.sampled_from(found))
    return copy.deepcopy(resource), site


def holder(resource: dict[str, Any], site: Site) -> Any:
    at: Any = resource
    for step in site.steps:
        at = at[step]
    return at


def put(resource: dict[str, Any], site: Site, value: Any) -> None:
    within = holder(resource, site)
    if site.index is None:
        within[site.key] = value
    else:
        within[site.key][site.index] = value


def refused_at(resource: dict[str, Any]) -> list[str]:
    """The places of all errors; the full validator agrees with the one of structure."""
    structural = [str(issue.expression) for issue in validate(resource) if issue.severity == "error"]
    everything = [str(issue.expression) for issue in VALIDATOR.validate(resource) if issue.severity == "error"]
    assert set(structural) <= set(everything)
    return everything


def test_the_originals_are_valid() -> None:
    assert all(refused_at(resource) == [] for _, resource, _ in ALL)
    assert sum(len(found) for _, _, found in ALL) > 120


@settings(max_examples=60, deadline=None)
@given(places(required=True))
def test_a_required_element_that_is_gone(place: tuple[dict[str, Any], Site]) -> None:
    resource, site = place
    within = holder(resource, site)
    within.pop(site.key)
    within.pop("_" + site.key, None)
    assert any(each == f"{site.where}.{site.element.name}" or each == site.where for each in refused_at(resource))


@settings(max_examples=80, deadline=None)
@given(places(primitive=True), st.sampled_from([{"a": 1}, [], ["x"], True, 5, Decimal("1.5"), "\x00"]))
def test_a_value_of_another_type(place: tuple[dict[str, Any], Site], other: Any) -> None:
    resource, site = place
    numeric = site.kind in ("decimal", "integer", "positiveInt", "unsignedInt")
    if (numeric and isinstance(other, int | Decimal)) or (site.kind == "boolean" and other is True):
        other = "text"
    put(resource, site, other)
    assert site.location() in refused_at(resource)


@settings(max_examples=60, deadline=None)
@given(places(primitive=False), st.sampled_from(["text", 5, None, []]))
def test_no_object_where_one_is_due(place: tuple[dict[str, Any], Site], other: Any) -> None:
    resource, site = place
    put(resource, site, other)
    assert any(each.startswith(site.location()) for each in refused_at(resource))


@settings(max_examples=60, deadline=None)
@given(places(primitive=False), st.text("abcdefghijklmnopqrstuvwxyz", min_size=3, max_size=12))
def test_an_unknown_element(place: tuple[dict[str, Any], Site], name: str) -> None:
    resource, site = place
    within = holder(resource, site)[site.key]
    target = within if site.index is None else within[site.index]
    if name in r4().elements(site.kind) or name == "resourceType":
        name += "zz"
    target[name] = "x"
    assert f"{site.location()}.{name}" in refused_at(resource)


@settings(max_examples=40, deadline=None)
@given(places(coded=True), st.text("abcdefgh-", min_size=1, max_size=8))
def test_a_code_that_is_not_in_the_list(place: tuple[dict[str, Any], Site], code: str) -> None:
    resource, site = place
    put(resource, site, f"not-{code}")
    assert site.location() in refused_at(resource)


@settings(max_examples=60, deadline=None)
@given(places())
def test_more_than_the_maximum_and_an_array_that_is_none(place: tuple[dict[str, Any], Site]) -> None:
    resource, site = place
    within = holder(resource, site)
    if site.index is None:
        within[site.key] = [within[site.key], copy.deepcopy(within[site.key])]
    else:
        within[site.key] = within[site.key][site.index]
    assert any(each.startswith(f"{site.where}.{site.element.name}") for each in refused_at(resource))

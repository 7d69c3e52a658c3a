"""Laws that hold for all values."""

import contextlib
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from app.fhir.errors import FHIRError
from app.fhir.fhirpath import compile
from app.fhir.fhirpath.temporal import compare, from_datetime, parse_temporal, shift

MOMENTS = st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)).map(lambda moment: moment.replace(microsecond=0, tzinfo=UTC))
ZONES = st.integers(-14 * 4, 14 * 4).map(lambda quarters: timedelta(minutes=15 * quarters))


@given(MOMENTS, MOMENTS, ZONES)
@settings(max_examples=100, deadline=None)
def test_moments_order_as_their_instants_do_whatever_their_zones(one: datetime, other: datetime, zone: timedelta) -> None:
    from datetime import timezone

    left, right = from_datetime(one), from_datetime(other.astimezone(timezone(zone)))
    assert compare(left, right) == (one > other) - (one < other)
    assert compare(right, left) == (other > one) - (other < one)


@given(MOMENTS, st.integers(-10_000, 10_000), st.sampled_from(["day", "hour", "minute", "second"]))
@settings(max_examples=100, deadline=None)
def test_moving_there_and_back_again_changes_nothing(moment: datetime, amount: int, unit: str) -> None:
    start = from_datetime(moment)
    there = shift(start, Decimal(amount), unit)
    assert there is not None
    assert compare(there, from_datetime(moment + timedelta(**{unit + "s": amount}))) == 0
    back = shift(there, Decimal(-amount), unit)
    assert back is not None and compare(back, start) == 0


@given(MOMENTS)
@settings(max_examples=100, deadline=None)
def test_a_temporal_is_written_as_it_reads(moment: datetime) -> None:
    value = from_datetime(moment)
    again = parse_temporal(str(value), "DateTime")
    assert again is not None and compare(again, value) == 0 and again.parts == value.parts


@given(st.lists(st.integers(-50, 50), max_size=20), st.lists(st.integers(-50, 50), max_size=20))
@settings(max_examples=100, deadline=None)
def test_collections_behave_as_sets_and_lists_do(left: list[int], right: list[int]) -> None:
    both = {"a": left, "b": right}

    def value(text: str) -> list[int]:
        return compile(text).evaluate({}, variables=both)

    assert value("%a | %b") == list(dict.fromkeys(left + right))
    assert value("%a.combine(%b)") == left + right
    assert value("%a.intersect(%b)") == [each for each in dict.fromkeys(left) if each in right]
    assert value("%a.exclude(%b)") == [each for each in left if each not in right]
    assert value("%a.isDistinct()") == [len(set(left)) == len(left)]
    assert value("%a.subsetOf(%b)") == [set(left) <= set(right)]
    assert value("%a.sort()") == sorted(left)
    assert value("%a.sum()") == ([sum(left)] if left else [])
    assert value("%a.skip(2).take(3)") == left[2:5]


@given(st.text(alphabet="abn.()'[]{}=<>|&+-*/@%$ \\12T:", max_size=40))
@settings(max_examples=300, deadline=None)
def test_any_text_compiles_or_is_refused_by_the_family(text: str) -> None:
    with contextlib.suppress(FHIRError):
        compile(text).evaluate({"resourceType": "Patient", "name": [{"family": "x"}]})

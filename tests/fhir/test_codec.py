"""The JSON codec keeps every digit and lets nothing ambiguous in."""

import io
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.fhir import codec
from app.fhir.errors import Malformed


def refused(raw: bytes) -> Any:
    with pytest.raises(Malformed) as caught:
        codec.decode(raw)
    return caught.value.issues[0]


@pytest.mark.parametrize(
    "number", ["72.50", "1.00", "12345678901234567890.123456789", "0.000", "-0.10", "123456789012345678901234567890"]
)
def test_numbers_come_back_as_they_were_written(number: str) -> None:
    raw = b'{"value":' + number.encode() + b"}"
    assert codec.encode(codec.decode(raw)) == raw


def test_types_of_numbers() -> None:
    value = codec.decode(b'{"a":1,"b":1.0,"c":1e2,"d":true}')
    assert value == {"a": 1, "b": Decimal("1.0"), "c": Decimal(100), "d": True}
    assert [type(each) for each in value.values()] == [int, Decimal, Decimal, bool]


@pytest.mark.parametrize(
    ("raw", "line", "column"),
    [
        (b'{"a":NaN}', 1, 6),
        (b'{"a":-Infinity}', 1, 7),
        (b'{"a":\n 01}', 2, 3),
        (b'{"a":1,}', 1, 8),
        (b'{"a":1} x', 1, 9),
        (b'{"a":"x\ny"}', 1, 8),
        (b"{'a':1}", 1, 2),
        (b'{"a":"\xff"}', 1, 7),
        (b'{"\xc3\xa9":"\xff"}', 1, 7),
        (b"", 1, 1),
        (b'{"a":"x', 1, 6),
    ],
)
def test_malformed_json_names_its_line_and_column(raw: bytes, line: int, column: int) -> None:
    issue = refused(raw)
    assert (issue.line, issue.column) == (line, column)


@pytest.mark.parametrize("raw", [b"[]", b'"x"', b"1", b"null", b"true", b"1.5"])
def test_the_top_must_be_an_object(raw: bytes) -> None:
    assert "one object" in refused(raw).diagnostics


@pytest.mark.parametrize("raw", [b'{"a":"\\ud800"}', b'{"a":"\\udc00x"}', b'{"\\ud800":1}'])
def test_half_of_a_surrogate_pair_is_refused(raw: bytes) -> None:
    assert "surrogate" in refused(raw).diagnostics


def test_a_whole_surrogate_pair_is_one_character() -> None:
    assert codec.decode(b'{"a":"\\ud83d\\ude00"}') == {"a": "\U0001f600"}


@pytest.mark.parametrize("raw", [b'{"a":1e99999999}', b'{"a":1e99999999999999999999}', b'{"a":' + b"1" * 5000 + b"}"])
def test_numbers_that_would_blow_up_are_refused(raw: bytes) -> None:
    assert "number" in refused(raw).diagnostics.lower()


@pytest.mark.parametrize(
    ("raw", "key"),
    [
        (b'{"a":1,"a":1}', "a"),
        (b'{"x":[{"b":{"c":1,"d":[],"c":2}}]}', "c"),
        (b'{"a":1,"\\u0061":2}', "a"),
        (b'{"a\\u0022":1,"a\\"":2}', 'a"'),
        (b'{"a":1,"a":"\\u0022\\u0022"}', "a"),
        (b'{"a":"","a":""}', "a"),
        (b'{"a":{"a":{"a":1}},"b":"\\"","b":1}', "b"),
    ],
)
def test_a_key_that_comes_twice_is_named(raw: bytes, key: str) -> None:
    assert f"'{key}'" in refused(raw).diagnostics


def test_a_key_that_comes_twice_is_located() -> None:
    issue = refused(b'{"id":1,\n "b":{"c":1,"c":2}}')
    assert (issue.line, issue.column) == (2, 13)


def test_a_double_among_very_many_keys_is_found_in_time() -> None:
    raw = b"{" + b",".join(b'"k%d":1' % number for number in range(300_000)) + b',"k299999":2}'
    assert "'k299999'" in refused(raw).diagnostics


def test_the_same_key_in_different_objects_is_no_duplicate() -> None:
    assert codec.decode(b'{"a":{"a":1},"b":[{"a":"\\u0022"},{"a":"\\""}]}')["b"][0] == {"a": '"'}


@pytest.mark.parametrize("pad", [b"", b'"x",' * 70_000], ids=["small", "large"])
@pytest.mark.parametrize(
    ("levels", "fits"), [(codec.MAX_DEPTH, True), (codec.MAX_DEPTH + 1, False), (999, False), (10_000, False)]
)
def test_depth_is_capped(levels: int, fits: bool, pad: bytes) -> None:
    raw = b'{"a":' + b"[" * (levels - 1) + pad + b"1" + b"]" * (levels - 1) + b"}"
    if fits:
        assert codec.decode(raw)
    else:
        assert "nested" in refused(raw).diagnostics


@settings(max_examples=80, deadline=None)
@given(
    st.recursive(
        st.text(alphabet='[]{}"\\,: ab', max_size=6),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner),
    )
)
def test_depth_is_counted_as_a_parser_would(value: Any) -> None:
    def levels(each: Any) -> int:
        inside = each.values() if isinstance(each, dict) else each if isinstance(each, list) else None
        return 0 if inside is None else 1 + max(map(levels, inside), default=0)

    assert codec.depth(json.dumps(value).encode()) == levels(value)


def test_ten_million_brackets_are_refused_without_recursion() -> None:
    assert "nested" in refused(b"[" * 10_000_000).diagnostics


def test_brackets_in_strings_are_not_depth() -> None:
    raw = json.dumps({"a": "[{" * 500, "b": '\\"' + "[" * 500}).encode()
    assert codec.decode(raw) == json.loads(raw)
    assert codec.depth(raw) == 1


def test_a_byte_order_mark_is_passed_over() -> None:
    assert codec.decode(b"\xef\xbb\xbf{}") == {}


def test_lines_are_numbered_and_one_bad_line_stops_nothing() -> None:
    stream = io.BytesIO(b'{"a":1}\n\n{"a":}\r\n{"a":3}')
    (one, first), (three, broken), (four, last) = codec.decode_lines(stream)
    assert (one, first) == (1, {"a": 1})
    assert isinstance(broken, Malformed)
    assert (three, broken.issues[0].line, broken.issues[0].column) == (3, 3, 6)
    assert (four, last) == (4, {"a": 3})


def test_a_line_that_is_too_long_is_not_kept_in_memory() -> None:
    stream = io.BytesIO(b'{"a":"' + b"x" * 10_000 + b'"}\n{"b":1}\n')
    (_, broken), (two, last) = codec.decode_lines(stream, max_line=100)
    assert isinstance(broken, Malformed)
    assert (two, last) == (2, {"b": 1})


_plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.text(max_size=8)
    | st.decimals(-(10**9), 10**9, allow_nan=False, places=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text(max_size=6), _plain, max_size=6))
def test_any_value_comes_back(value: dict[str, Any]) -> None:
    assert codec.decode(codec.encode(value)) == value


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text(max_size=6), _plain, min_size=1, max_size=6), st.data())
def test_any_key_given_twice_is_found(value: dict[str, Any], data: st.DataObject) -> None:
    twice = data.draw(st.sampled_from(sorted(value)))
    raw = codec.encode(value)
    assert refused(raw[:-1] + b"," + codec.encode(twice) + b":null}")


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=40))
def test_garbage_raises_nothing_but_malformed(raw: bytes) -> None:
    try:
        codec.decode(raw)
    except Malformed as error:
        assert error.issues[0].diagnostics

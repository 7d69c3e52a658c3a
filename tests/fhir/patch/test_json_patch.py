"""JSON Patch beyond the given suite: locations, budgets, what goes with the last member, and laws that hold for all documents."""

import copy
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.fhir import codec
from app.fhir.errors import BadRequest, FHIRError, Malformed, TooCostly
from app.fhir.patch import PatchError, json_patch, read_json_patch
from app.fhir.patch.values import same

PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "active": True,
    "name": [{"family": "A", "given": ["x", "y"], "_given": [None, {"id": "g"}]}],
    "multipleBirthInteger": 2,
    "contact": [{"name": {"text": "t"}}],
}


def patched(*operations: dict[str, Any]) -> dict[str, Any]:
    before = copy.deepcopy(PATIENT)
    result = json_patch(PATIENT, operations)
    assert before == PATIENT
    return result


def refused(*operations: Any) -> FHIRError:
    before = copy.deepcopy(PATIENT)
    with pytest.raises(FHIRError) as raised:
        json_patch(PATIENT, operations)
    assert before == PATIENT
    return raised.value


def test_a_failing_operation_names_itself_and_the_place() -> None:
    error = refused({"op": "remove", "path": "/active"}, {"op": "replace", "path": "/name/3/family", "value": "B"})
    assert isinstance(error, PatchError) and error.status == 422
    [issue] = error.issues
    assert issue.diagnostics.startswith("Operation 2 (replace /name/3/family)") and issue.expression == "Patient.name[3]"


@pytest.mark.parametrize(
    "operation",
    [
        "remove",
        {"op": "remove"},
        {"op": "remove", "path": "active"},
        {"op": "remove", "path": "/a~2b"},
        {"op": "add", "path": "/x"},
        {"op": "replace", "path": "/active"},
        {"op": "test", "path": "/active"},
        {"op": "move", "path": "/x"},
        {"op": "copy", "from": 3, "path": "/x"},
        {"op": "move", "from": "/name", "path": "/name/0"},
        {"op": "Add", "path": "/x", "value": 1},
        {"op": ["add"], "path": "/x", "value": 1},
    ],
)
def test_what_is_no_operation_is_a_bad_request(operation: Any) -> None:
    assert isinstance(refused({"op": "remove", "path": "/active"}, operation), BadRequest)
    assert "Operation 2" in str(refused({"op": "remove", "path": "/active"}, operation))


@pytest.mark.parametrize(
    "path", ["/name/01", "/name/-1", "/name/2", "/name/x", "/active/x", "/name/-/family", "/name/1_0", "/name/٣"]
)
def test_places_that_are_not_there(path: str) -> None:
    assert isinstance(refused({"op": "add", "path": path, "value": {}}), PatchError)


def test_the_last_member_takes_its_holder_with_it_but_companions_keep_their_places() -> None:
    assert "contact" not in patched({"op": "remove", "path": "/contact/0/name/text"})
    assert patched({"op": "remove", "path": "/name/0/_given/1/id"})["name"] == [{"family": "A", "given": ["x", "y"]}]
    assert patched({"op": "move", "from": "/contact/0/name", "path": "/name/-"})["name"][1] == {"text": "t"}
    kept = json_patch({"a": {"b": 1}}, [{"op": "remove", "path": "/a/b"}])
    assert kept == {"a": {}}, "of a document that is no resource RFC 6902 is kept to the letter"


def test_within_a_patch_an_emptied_array_can_be_filled_again() -> None:
    assert patched({"op": "remove", "path": "/name/0"}, {"op": "add", "path": "/name/-", "value": {"text": "n"}})["name"] == [
        {"text": "n"}
    ]


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (1, Decimal("1.0"), True),
        (1, True, False),
        (0, False, False),
        ("1", 1, False),
        (None, False, False),
        ({"a": 1, "b": [1]}, {"b": [Decimal("1.00")], "a": 1}, True),
        ([1, 2], [2, 1], False),
        ([1], [1, 1], False),
        ({}, [], False),
    ],
)
def test_equality_is_json_equality(one: Any, other: Any, equal: bool) -> None:
    assert same(one, other) is same(other, one) is equal


def test_copies_cannot_make_a_bomb() -> None:
    doubling = [{"op": "copy", "from": "/name", "path": f"/name/0/x{n}"} for n in range(40)]
    error = refused(*doubling)
    assert isinstance(error, TooCostly)
    deeper = [{"op": "copy", "from": "/contact", "path": "/contact/0" + "/name/c/0" * n + "/name/c"} for n in range(40)]
    assert isinstance(refused(*deeper), TooCostly)
    assert isinstance(refused(*([{"op": "test", "path": "/active", "value": True}] * 1001)), TooCostly)


@pytest.mark.parametrize(
    "raw", [b"", b"{}", b"[", b"[]]", b'[{"op":"add","op":"add"}]', b"\xff", b"[NaN]", b"[" * 200 + b"]" * 200]
)
def test_bytes_that_are_no_patch(raw: bytes) -> None:
    with pytest.raises(Malformed):
        read_json_patch(raw)


def test_digits_are_kept() -> None:
    [operation] = read_json_patch(b'[{"op":"add","path":"/x","value":72.50}]')
    assert codec.encode(json_patch({"y": Decimal("1.10")}, [operation])) == b'{"y":1.10,"x":72.50}'


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text("ab~/", max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab~/0", max_size=2), inner, max_size=3),
    max_leaves=8,
)
DOCUMENTS = st.dictionaries(st.text("ab~/0", max_size=2), JSON, max_size=3)


def pointer(key: str) -> str:
    return "/" + key.replace("~", "~0").replace("/", "~1")


@given(DOCUMENTS, st.text("ab~/0", max_size=3), JSON)
@settings(max_examples=60, deadline=None)
def test_what_is_added_is_there_and_its_removal_gives_back_the_rest(document: dict[str, Any], key: str, value: Any) -> None:
    added = json_patch(
        document, [{"op": "add", "path": pointer(key), "value": value}, {"op": "test", "path": pointer(key), "value": value}]
    )
    assert same(added, {**document, key: value})
    rest = {name: each for name, each in document.items() if name != key}
    assert json_patch(added, [{"op": "remove", "path": pointer(key)}]) == rest
    moved = json_patch(added, [{"op": "move", "from": pointer(key), "path": "/moved"}])
    assert same(moved, {**rest, "moved": value})


@given(DOCUMENTS)
@settings(max_examples=60, deadline=None)
def test_nothing_of_the_document_is_shared_with_the_result(document: dict[str, Any]) -> None:
    before = copy.deepcopy(document)
    result = json_patch(document, [{"op": "copy", "from": "", "path": "/again"}])

    def spoil(value: Any) -> None:
        for each in list(value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()):
            spoil(each)
        if isinstance(value, dict | list):
            value.clear()

    spoil(result)
    assert document == before

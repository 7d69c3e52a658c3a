"""Closures for one element each: primitive or complex, single or list, and the `_name` companion of a primitive.

A quick test says yes or no to a value; a handler is told of everything that the test refused, and finds the words. Handlers
take (value, the object that holds it, path of that object, report).
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from app.fhir.definitions import Element
from app.fhir.validation import primitives
from app.fhir.validation.primitives import Test, quoted
from app.fhir.validation.report import Path, Report

Handler = Callable[[Any, Mapping[str, Any], Path, Report], None]
Check = Callable[[Any, Path, Report], None]
Beside = Callable[[Any, Mapping[str, Any]], bool]  # a quick test that sees the object in which the value stands


class HasCheck(Protocol):
    """Whatever has a check and a quick test, perhaps not compiled yet."""

    @property
    def check(self) -> Check: ...

    @property
    def quick(self) -> Test: ...


_EMPTY_LIST = "The array is empty: leave the element out, or give it an item."
_NOT_LIST = "This element repeats, so JSON needs an array here: put [ ] around the value."
_NOT_MANY = "This element does not repeat, so JSON must not have an array here: take the [ ] away and keep one value."
_NULL = "null is not a value: leave the element out, or give it one."


def test_of(type_name: str, codes: frozenset[str] | None) -> Test:
    """The quick test of a primitive type, or of membership in a required code list. It may raise TypeError for a non-string."""
    if codes is None:
        return primitives.TESTS[type_name]
    return codes.__contains__


def passes(test: Test, value: Any) -> bool:
    """The test, with a TypeError as a no."""
    try:
        return test(value)
    except TypeError:
        return False


def many(test: Test) -> Test:
    """The test of an array, all of whose items pass `test`."""

    def all_pass(values: Any) -> bool:
        if type(values) is not list or not values:
            return False
        for value in values:  # noqa: SIM110 - a generator costs twice the loop
            if not test(value):
                return False
        return True

    return all_pass


def every(shape: HasCheck) -> Test:
    """The quick test of an array of objects."""

    def all_pass(values: Any) -> bool:
        if type(values) is not list or not values:
            return False
        quick = shape.quick
        for value in values:  # noqa: SIM110 - a generator costs twice the loop
            if not quick(value):
                return False
        return True

    return all_pass


def many_beside(test: Test, companions: str) -> Beside:
    """The test of an array in which a null may stand where the companion has an item."""

    def passes_beside(values: Any, holder: Mapping[str, Any]) -> bool:
        partners = holder.get(companions)
        if type(values) is not list or type(partners) is not list or len(partners) != len(values):
            return False
        for value, partner in zip(values, partners, strict=True):
            if partner is None if value is None else not test(value):
                return False
        return True

    return passes_beside


def companion_beside(element: Element, key: str, extensions: Test) -> Beside:
    """The test of a companion: nothing but extensions, or an id beside a value."""

    def one(value: Any, has_value: bool) -> bool:
        if type(value) is not dict or len(value) != 1:
            return False
        return extensions(value["extension"]) if "extension" in value else has_value and primitives.is_string(value.get("id"))

    def single(value: Any, holder: Mapping[str, Any]) -> bool:
        return one(value, holder.get(key) is not None)

    def repeated(values: Any, holder: Mapping[str, Any]) -> bool:
        partners = holder.get(key)
        if type(values) is not list or type(partners) is not list or len(partners) != len(values):
            return False
        for value, partner in zip(values, partners, strict=True):
            if value is not None and not one(value, partner is not None):
                return False
        return True

    return repeated if element.is_list else single


def refused(element: Element, type_name: str, codes: frozenset[str] | None, test: Test) -> Handler:
    """Says what is wrong with a primitive, or list of them, that the quick test refused."""
    name = element.name

    def explain(value: Any, where: Path, report: Report) -> None:
        if isinstance(value, str) and value and codes is not None:
            report.add("code-invalid", where, _not_in_list(value, codes, element.codes))
        else:
            report.add("value", where, primitives.complaint(type_name, value))

    def single(value: Any, _holder: Mapping[str, Any], path: Path, report: Report) -> None:
        if type(value) is list:
            report.add("structure", (path, name), _NOT_MANY)
        else:
            explain(value, (path, name), report)

    def repeated(values: Any, holder: Mapping[str, Any], path: Path, report: Report) -> None:
        if type(values) is not list:
            report.add("structure", (path, name), _NOT_LIST)
            return
        if not values:
            report.add("structure", (path, name), _EMPTY_LIST)
        companions = holder.get("_" + name)
        for index, value in enumerate(values):
            has_companion = type(companions) is list and index < len(companions) and companions[index] is not None
            if not passes(test, value) and not (value is None and has_companion):
                explain(value, (path, name, index), report)

    return repeated if element.is_list else single


def companion(element: Element, key: str, check_element: Check) -> Handler:
    """`_birthDate`, `_given`: id and extensions of a primitive."""
    name = element.name

    def one(value: Any, has_value: bool, where: Path, report: Report) -> None:
        check_element(value, where, report)
        if type(value) is dict and value and "extension" not in value and not has_value:
            report.add("structure", where, "The element has neither a value nor an extension: give it one.")

    def single(value: Any, holder: Mapping[str, Any], path: Path, report: Report) -> None:
        one(value, holder.get(key) is not None, (path, name), report)

    def repeated(values: Any, holder: Mapping[str, Any], path: Path, report: Report) -> None:
        if type(values) is not list or not values:
            report.add("structure", (path, name), f"'_{key}' must be an array with one item or null for each item of '{key}'.")
            return
        partners = holder.get(key)
        if type(partners) is list and len(partners) != len(values):
            report.add("structure", (path, name), f"'_{key}' must have as many items as '{key}'; fill up with null.")
        for index, value in enumerate(values):
            has_value = type(partners) is list and index < len(partners) and partners[index] is not None
            if value is not None:
                one(value, has_value, (path, name, index), report)
            elif type(partners) is not list:
                report.add("value", (path, name, index), _NULL)

    return repeated if element.is_list else single


def complex_field(element: Element, shape: HasCheck) -> Handler:
    """An object, or a list of them."""
    name = element.name

    def single(value: Any, _holder: Mapping[str, Any], path: Path, report: Report) -> None:
        if type(value) is list:
            report.add("structure", (path, name), _NOT_MANY)
        else:
            shape.check(value, (path, name), report)

    def repeated(values: Any, _holder: Mapping[str, Any], path: Path, report: Report) -> None:
        if type(values) is not list or not values:
            report.add("structure", (path, name), _NOT_LIST if type(values) is not list else _EMPTY_LIST)
            return
        check = shape.check
        for index, value in enumerate(values):
            check(value, (path, name, index), report)

    return repeated if element.is_list else single


def _not_in_list(value: str, codes: frozenset[str], value_set: str) -> str:
    known = f"one of {', '.join(sorted(codes))}" if len(codes) <= 16 else f"in {value_set}"
    return f"The code {quoted(value)} is not {known}."

"""Turns the table of R4 into closures, one for each type, when the type is first met.

What must stay true: one pass over the resource, no path written and no message made unless something is wrong, and no type
compiled that nobody sent.
"""

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from app.fhir.definitions import Definitions, Element
from app.fhir.validation import fields, narrative
from app.fhir.validation.fields import Check, Handler
from app.fhir.validation.primitives import Test, quoted
from app.fhir.validation.references import check_target, targets_of
from app.fhir.validation.report import Path, Report

# A further rule on objects of one type. It is asked after the structure of the object has been checked, valid or not.
Rule = Callable[[Mapping[str, Any], Path, Report], None]
Field = tuple[str, Test | None, Handler]
Rules = Callable[[str], Sequence[Rule]]

_NOT_OBJECT = "This must be a JSON object, but is not."
_EMPTY_OBJECT = "The object is empty: leave the element out, or give it content."


def no_rules(_type_name: str) -> Sequence[Rule]:
    """Structure only."""
    return ()


class Shape:
    """The check of one type. It compiles itself when first called, so that types may contain themselves."""

    __slots__ = ("check",)
    check: Check

    def __init__(self, compiler: "Compiler", type_name: str) -> None:
        def first(value: Any, path: Path, report: Report) -> None:
            self.check = compiler.compile(type_name)
            self.check(value, path, report)

        self.check = first


class Compiler:
    """Checks by type name, compiled when first asked for."""

    def __init__(self, definitions: Definitions, *, rules: Rules = no_rules) -> None:
        self.definitions = definitions
        self._rules = rules
        self._shapes: dict[str, Shape] = {}
        self._codes: dict[str, frozenset[str]] = {}
        self._made: dict[int, Sequence[Field]] = {}  # by identity of the element: the table keeps them alive

    def shape(self, type_name: str) -> "Shape":
        """The shape of an object of that type."""
        found = self._shapes.get(type_name)
        if found is None:
            found = self._shapes[type_name] = Shape(self, type_name)
        return found

    def resource(self, value: Any, path: Path, report: Report) -> None:
        """The check of a resource of whatever type it says it is."""
        kind = value.get("resourceType") if type(value) is dict else None
        if type(kind) is str and kind in self.definitions.resources:
            self.shape(kind).check(value, path, report)
        elif type(value) is not dict:
            report.add("structure", path, "This must be a resource, as a JSON object.")
        elif kind is None:
            report.add("structure", path, "A resource must say what it is in 'resourceType'.")
        else:
            report.add("structure", path, f"{quoted(kind)} is not an R4 resource type.")

    def compile(self, type_name: str) -> Check:
        """The closure for that type."""
        definitions = self.definitions
        is_resource = definitions.types[type_name].kind == "resource"
        elements = definitions.elements(type_name).values()
        made = [each for element in elements for each in self._fields(type_name, element)]
        tests = {key: test for key, test, _ in made if test is not None}
        handlers = {key: handler for key, _, handler in made}
        if is_resource:
            tests["resourceType"] = frozenset([type_name]).__contains__
        required = tuple(element.name for element in elements if element.min and not element.is_choice)
        required_choices = [(element.name, _choice_names(element)) for element in elements if element.min and element.is_choice]
        test_for, handler_for = tests.get, handlers.get
        rules = tuple(self.rules(type_name))
        unknown = _unknown(definitions, type_name, handlers)

        def check(value: Any, path: Path, report: Report) -> None:
            if type(value) is not dict:
                report.add("structure", path, _NOT_OBJECT)
                return
            if len(value) < 2 and not is_resource and (not value or "id" in value):
                report.add("structure", path, _EMPTY_OBJECT)
            for key, item in value.items():
                test = test_for(key)
                if test is not None:
                    try:
                        if test(item):
                            continue
                    except TypeError:  # no string where a code is wanted
                        pass
                handler = handler_for(key)
                if handler is None:
                    unknown(key, path, report)
                else:
                    handler(item, value, path, report)
            for name in required:
                if name not in value and "_" + name not in value:
                    report.add("required", (path, name), f"The element '{name}' is required, but missing.")
            for name, names in required_choices:
                if names.isdisjoint(value):
                    report.add("required", (path, name), f"The element '{name}[x]' is required: give one of its types.")
            for rule in rules:
                rule(value, path, report)

        return check

    def rules(self, type_name: str) -> Sequence[Rule]:
        """What is asked of every object of the type, after its elements."""
        return (*_BUILT_IN.get(type_name, ()), *self._rules(type_name))

    def _fields(self, owner: str, element: Element) -> Sequence[Field]:
        """(JSON key, quick test or None, handler) of an element; made once, however many types inherit it."""
        made = self._made.get(id(element))
        if made is None:
            made = [each for key, type_name in element.json_names.items() for each in self._field(owner, element, key, type_name)]
            if element.is_choice:
                names = _choice_names(element)
                made = [(key, None, _one_choice(element, names, key, handler, test)) for key, test, handler in made]
            self._made[id(element)] = made
        return made

    def _field(self, owner: str, element: Element, key: str, type_name: str) -> Iterator[Field]:
        if type_name == "xhtml":
            yield key, None, _narrative
        elif type_name == "Resource":
            yield key, None, fields.complex_field(element, self._contained if element.name == "contained" else self.resource)
        elif type_name in self.definitions.primitives:
            codes = self._code_list(element) if type_name == "code" else None
            test = fields.test_of(type_name, codes)
            yield key, fields.many(test) if element.is_list else test, fields.refused(element, type_name, codes, test)
            yield "_" + key, None, fields.companion(element, key, self._companion)
        elif bounds := self._with_bounds(owner, element, type_name):
            yield key, None, fields.complex_field(element, bounds)
        else:
            yield key, None, fields.plain_field(element, self.shape(type_name))

    def _with_bounds(self, owner: str, element: Element, type_name: str) -> Check | None:
        """The check of the type, and what this element asks beyond it: reference targets, a required code list."""
        shape = self.shape(type_name)
        definitions = self.definitions
        if type_name == "Reference":
            targets = targets_of(owner, element)

            def bounded_reference(value: Any, path: Path, report: Report) -> None:
                shape.check(value, path, report)
                if type(value) is dict and "reference" in value:
                    reference = value["reference"]
                    if type(reference) is not str or reference.partition("/")[0] not in targets:
                        check_target(reference, targets, (path, "reference"), report, definitions)

            return bounded_reference
        if element.codes and type_name in ("CodeableConcept", "Coding"):
            value_set = definitions.value_sets[element.codes]
            pairs = frozenset((system, code) for system, codes in value_set.items() for code in codes)

            def bounded_concept(value: Any, path: Path, report: Report) -> None:
                shape.check(value, path, report)
                codings = [value] if type_name == "Coding" else value.get("coding", []) if type(value) is dict else []
                if not _any_of(codings, pairs):
                    report.add("code-invalid", path, f"One coding must be from {element.codes}.")

            return bounded_concept
        return None

    def _companion(self, value: Any, path: Path, report: Report) -> None:
        if type(value) is dict and "id" in value and len(value) == 1:  # not empty: it belongs to a value
            value = {"id": value["id"], "extension": [{"url": "urn:x", "valueCode": "x"}]}
        self.shape("Element").check(value, path, report)

    def _contained(self, value: Any, path: Path, report: Report) -> None:
        self.resource(value, path, report)
        if type(value) is not dict:
            return
        if "contained" in value:
            report.add("invariant", path, "A contained resource must not contain resources; put them one level up (dom-2).")
        if "id" not in value:
            report.add("required", (path, "id"), "A contained resource must have an id, else nothing can refer to it.")

    def _code_list(self, element: Element) -> frozenset[str] | None:
        if not element.codes:
            return None
        if element.codes not in self._codes:
            listed = self.definitions.value_sets[element.codes]
            self._codes[element.codes] = frozenset(code for codes in listed.values() for code in codes)
        return self._codes[element.codes]


def _narrative(value: Any, _holder: Mapping[str, Any], path: Path, report: Report) -> None:
    found = narrative.complaint(value)
    if found:
        report.add("invalid", (path, "div"), found)


def _choice_names(element: Element) -> frozenset[str]:
    return frozenset(each for name in element.json_names for each in (name, "_" + name))


def _one_choice(element: Element, names: frozenset[str], key: str, handler: Handler, test: Test | None) -> Handler:
    """A choice may be made once: the first of two keys in the object reports both."""
    bare = key.removeprefix("_")
    others = names - {bare, "_" + bare}

    def guarded(value: Any, holder: Mapping[str, Any], path: Path, report: Report) -> None:
        if not others.isdisjoint(holder):
            made = names.intersection(holder)
            keys = sorted({each.removeprefix("_") for each in made})
            if bare == keys[0] and (key == bare or bare not in made):
                report.add("structure", (path, element.name), f"Only one of {', '.join(keys)} may be given; keep one.")
        if test is None or not fields.passes(test, value):
            handler(value, holder, path, report)

    return guarded


def _unknown(definitions: Definitions, type_name: str, handlers: Mapping[str, Handler]) -> Callable[[str, Path, Report], None]:
    def say(key: str, path: Path, report: Report) -> None:
        shown = quoted(key)[1:-1]
        element = definitions.elements(type_name).get(key)
        if element is not None and element.is_choice:
            hint = f"name the type, as in '{next(iter(element.json_names))}'"
        elif key == "resourceType":
            hint = "only resources have it"
        else:
            # Likeness costs a millisecond a key: a body full of unknown keys gets it only for the first few.
            near = difflib.get_close_matches(key[:64], handlers, 1, 0.75) if len(report.issues) < 8 else []
            hint = f"did you mean '{near[0]}'?" if near else "take it out, or use an extension"
        report.add("structure", (path, shown), f"{type_name} has no element '{shown}': {hint}{'' if hint.endswith('?') else '.'}")

    return say


def _any_of(codings: Any, pairs: frozenset[tuple[str, str]]) -> bool:
    return type(codings) is list and any(type(each) is dict and _pair(each) in pairs for each in codings)


def _pair(coding: Mapping[str, Any]) -> tuple[str, str]:
    system, code = coding.get("system"), coding.get("code")
    return (system, code) if type(system) is str and type(code) is str else ("", "")


def _extension(value: Mapping[str, Any], path: Path, report: Report) -> None:
    has_value = len(value) > ("url" in value) + ("extension" in value) + ("id" in value)
    if has_value == ("extension" in value):
        problem = "both a value and extensions; keep one" if has_value else "neither a value nor extensions; give it one"
        report.add("invariant", path, f"The extension has {problem} (ext-1).")
    url = value.get("url")
    nested = path[0] is not None and path[0][1] in ("extension", "modifierExtension")
    if type(url) is str and ":" not in url and not nested:
        report.add("value", (path, "url"), "The url of an extension must be absolute, unless it is inside another extension.")


_BUILT_IN: Mapping[str, Sequence[Rule]] = {"Extension": (_extension,)}

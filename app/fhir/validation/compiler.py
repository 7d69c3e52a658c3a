"""Turns the table of R4 into closures, two for each type, when the type is first met: a quick test and a check.

The quick test says yes or no and knows no paths. A resource asks it of each of its elements; an element that fails is checked again, slowly and with paths.
What must stay true: what the quick test lets pass, the check finds nothing in; no object is quickly tested twice, so that nothing costs more than the two
together; no message is made unless something is wrong, and no type is compiled that nobody sent.
"""

import difflib
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from app.fhir.definitions import Definitions, Element
from app.fhir.validation import fields, narrative
from app.fhir.validation.fields import Beside, Check, Handler
from app.fhir.validation.primitives import Test, is_string, quoted
from app.fhir.validation.references import check_target, is_usual, targets_of
from app.fhir.validation.report import Path, Report

# A further rule on objects of one type. It is asked after the structure of the object has been checked, valid or not.
Ask = Callable[[Mapping[str, Any], Path, Report], None]


@dataclass(frozen=True, slots=True)
class Quiet:
    """A rule that says nothing of a structurally valid object without any of `keys` for which `holds`; so it need not be asked."""

    ask: Ask
    keys: frozenset[str] = frozenset()
    holds: Callable[[Mapping[str, Any]], bool] | None = None


Rule = Ask | Quiet
Rules = Callable[[str], Sequence[Rule]]


class Field(NamedTuple):
    """One JSON key of a type: the quick test of a primitive, that of whatever it holds, and the one that is asked where that fails or is none.

    Of one that is a choice, `quick` does not see whether another is made; `beside` does.
    """

    key: str
    handler: Handler
    test: Test | None = None
    quick: Test | None = None
    beside: Beside | None = None
    is_choice: bool = False


_NOT_OBJECT = "This must be a JSON object, but is not."
_EMPTY_OBJECT = "The object is empty: leave the element out, or give it content."


def no_rules(_type_name: str) -> Sequence[Rule]:
    """Structure only."""
    return ()


class Shape:
    """Check and quick test of one type. They compile themselves when first called, so that types may contain themselves."""

    __slots__ = ("check", "quick")
    check: Check
    quick: Test

    def test(self, value: Any) -> bool:
        """The quick test, compiled or not."""
        return self.quick(value)

    def __init__(self, compiler: "Compiler", type_name: str) -> None:
        def first_check(value: Any, path: Path, report: Report) -> None:
            self.check = compiler.compile(type_name)
            self.check(value, path, report)

        def first_test(value: Any) -> bool:
            self.quick = compiler.compile_quick(type_name)
            return self.quick(value)

        self.check = first_check
        self.quick = first_test


class Judged(NamedTuple):
    """Check and quick test of an element that asks more than its type does."""

    check: Check
    quick: Test

    @property
    def test(self) -> Test:
        """The quick test, as a shape has it."""
        return self.quick


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
            (self._shapes.get(kind) or self.shape(kind)).check(value, path, report)
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
        tests = {each.key: each.test for each in made if each.test is not None}
        handlers = {each.key: each.handler for each in made}
        if is_resource:
            tests["resourceType"] = frozenset([type_name]).__contains__
            tests |= {each.key: each.quick for each in made if each.quick is not None and not each.is_choice}
        beside_for = {each.key: each.beside for each in made if each.beside is not None and is_resource}.get
        required = tuple(element.name for element in elements if element.min and not element.is_choice)
        required_choices = [(element.name, _choice_names(element)) for element in elements if element.min and element.is_choice]
        test_for, handler_for = tests.get, handlers.get
        rules = tuple(rule.ask if isinstance(rule, Quiet) else rule for rule in self.rules(type_name))
        unknown = _unknown(definitions, type_name, handlers)

        def check(value: Any, path: Path, report: Report) -> None:
            if type(value) is not dict:
                report.add("structure", path, _NOT_OBJECT)
                return
            if len(value) < 2 and not is_resource and (not value or "id" in value):
                report.add("structure", path, _EMPTY_OBJECT)
            for key, item in value.items():
                try:
                    test = test_for(key)
                    if test is not None and test(item):
                        continue
                    beside = beside_for(key)
                    if beside is not None and beside(item, value):
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

    def compile_quick(self, type_name: str) -> Test:
        """The quick test of a type that is no resource: True only where the check would find nothing and no rule need be asked."""
        elements = self.definitions.elements(type_name).values()
        rules = [rule if isinstance(rule, Quiet) else None for rule in self.rules(type_name)]
        asked = [rule for rule in rules if rule is not None]
        if len(asked) < len(rules):
            return _never
        keys = frozenset[str]().union(*(rule.keys for rule in asked))
        made = [each for element in elements for each in self._fields(type_name, element) if each.key not in keys]
        test_for = {each.key: each.quick for each in made if each.quick is not None and each.key != "id"}.get
        beside_for = {each.key: each.beside for each in made if each.beside is not None}
        beside_for["id"] = lambda item, holder: len(holder) > 1 and is_string(item)  # alone it is no content
        required = tuple(element.name for element in elements if element.min and not element.is_choice)
        choices = [_choice_names(element) for element in elements if element.is_choice]
        required_choices = [_choice_names(element) for element in elements if element.min and element.is_choice]
        one_choice = len(required) + 1  # so many keys leave room for one choice, once what is required is there
        conditions = [rule.holds for rule in asked if rule.holds is not None]
        asks_more = bool(required or choices or conditions)
        besides = beside_for.get

        def quick(value: Any) -> bool:
            if type(value) is not dict or not value:
                return False
            try:
                for key, item in value.items():
                    test = test_for(key)
                    if test is None or not test(item):
                        beside = besides(key)
                        if beside is None or not beside(item, value):
                            return False
            except TypeError:  # no string where a code is wanted
                return False
            if not asks_more:
                return True
            for name in required:
                if name not in value:
                    return False
            if len(value) > one_choice:
                for names in choices:
                    if len({key.removeprefix("_") for key in names.intersection(value)}) > 1:
                        return False
            for names in required_choices:
                if names.isdisjoint(value):
                    return False
            for holds in conditions:  # noqa: SIM110 - a generator costs twice the loop
                if not holds(value):
                    return False
            return True

        return quick

    def rules(self, type_name: str) -> Sequence[Rule]:
        """What is asked of every object of the type, after its elements."""
        return (*_BUILT_IN.get(type_name, ()), *self._rules(type_name))

    def _fields(self, owner: str, element: Element) -> Sequence[Field]:
        """One field for each JSON key of an element; made once, however many types inherit it."""
        made = self._made.get(id(element)) if owner != "Extension" else None  # whose own extensions may have a relative url
        if made is None:
            made = [each for key, type_name in element.json_names.items() for each in self._field(owner, element, key, type_name)]
            if element.is_choice:
                names = _choice_names(element)
                made = [_one_choice(element, names, each) for each in made]
            if owner != "Extension":
                self._made[id(element)] = made
        return made

    def _field(self, owner: str, element: Element, key: str, type_name: str) -> Iterator[Field]:
        if type_name == "xhtml":
            yield Field(key, _narrative, narrative.passes, narrative.passes)
        elif type_name == "Resource":  # judged by itself, in a scope of its own
            judged = Judged(self._contained if element.name == "contained" else self.resource, _never)
            handler = fields.complex_field(element, judged)
            yield Field(key, _named_once(handler) if element.name == "contained" else handler)
        elif type_name in self.definitions.primitives:
            codes = self._code_list(element) if type_name == "code" else None
            one = fields.test_of(type_name, codes)
            test = fields.many(one) if element.is_list else one
            beside = fields.many_beside(one, "_" + key) if element.is_list else None
            yield Field(key, fields.refused(element, type_name, codes, one), test, test, beside)
            beside = fields.companion_beside(element, key, self._extensions)
            yield Field("_" + key, fields.companion(element, key, self._companion), beside=beside)
        else:
            shape = self._bounded(owner, element, type_name)
            quick = fields.every(shape) if element.is_list else shape.test
            yield Field(key, fields.complex_field(element, shape), quick=quick)

    def _bounded(self, owner: str, element: Element, type_name: str) -> "Shape | Judged":
        """The shape of the type, and what this element asks beyond it: reference targets, a required code list."""
        shape = self.shape(type_name)
        definitions = self.definitions
        if type_name == "Reference":
            targets = targets_of(owner, element)
            usual = targets.allowed or definitions.resources

            def bounded_reference(value: Any, path: Path, report: Report) -> None:
                shape.check(value, path, report)
                if type(value) is dict and "reference" in value:
                    reference = value["reference"]
                    if type(reference) is not str or not is_usual(reference, usual):
                        check_target(reference, targets, (path, "reference"), report, definitions)

            def quick_reference(value: Any) -> bool:
                return shape.quick(value) and ("reference" not in value or is_usual(value["reference"], usual))

            return Judged(bounded_reference, quick_reference)
        if type_name == "Extension" and owner != "Extension":

            def outer_extension(value: Any, path: Path, report: Report) -> None:
                shape.check(value, path, report)
                if type(value) is dict and type(value.get("url")) is str and ":" not in value["url"]:
                    problem = "The url of an extension must be absolute, unless it is inside another extension."
                    report.add("value", (path, "url"), problem)

            def quick_extension(value: Any) -> bool:
                return shape.quick(value) and ":" in value["url"]

            return Judged(outer_extension, quick_extension)
        if element.codes and type_name in ("CodeableConcept", "Coding"):
            value_set = definitions.value_sets[element.codes]
            pairs = frozenset((system, code) for system, codes in value_set.items() for code in codes)

            def has_code(value: Any) -> bool:
                return _any_of([value] if type_name == "Coding" else value.get("coding"), pairs)

            def bounded_concept(value: Any, path: Path, report: Report) -> None:
                shape.check(value, path, report)
                if type(value) is not dict or not has_code(value):
                    report.add("code-invalid", path, f"One coding must be from {element.codes}.")

            return Judged(bounded_concept, lambda value: shape.quick(value) and has_code(value))
        return shape

    @functools.cached_property
    def _extensions(self) -> Test:
        """The quick test of the extensions of a companion."""
        (field,) = self._fields("Element", self.definitions.elements("Element")["extension"])
        return field.quick or _never

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


def _one_choice(element: Element, names: frozenset[str], field: Field) -> Field:
    """A choice may be made once: the first of two keys in the object reports both."""
    key, test, handler = field.key, field.test, field.handler
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

    quick, companion = field.quick, field.beside

    def beside(value: Any, holder: Mapping[str, Any]) -> bool:
        if not others.isdisjoint(holder):
            return False
        return quick(value) if quick is not None else companion is not None and companion(value, holder)

    return Field(key, guarded, quick=quick, beside=beside, is_choice=True)


def _never(_value: Any) -> bool:
    """The quick test of what must always be checked."""
    return False


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


def _ask_extension(value: Mapping[str, Any], path: Path, report: Report) -> None:
    if not _is_either(value):
        problem = (
            "both a value and extensions; keep one" if "extension" in value else "neither a value nor extensions; give it one"
        )
        report.add("invariant", path, f"The extension has {problem} (ext-1).")


def _is_either(value: Mapping[str, Any]) -> bool:
    """Whether an extension has a value or extensions, and not both."""
    if len(value) == 2 and "url" in value:
        return "id" not in value and "_url" not in value
    has_parts = "extension" in value
    return has_parts != (len(value) > has_parts + ("url" in value) + ("id" in value) + ("_url" in value))


def _named_once(handler: Handler) -> Handler:
    """The handler of contained resources, whose ids must differ."""

    def judged(value: Any, holder: Mapping[str, Any], path: Path, report: Report) -> None:
        handler(value, holder, path, report)
        if type(value) is not list or len(value) < 2:
            return
        seen: set[str] = set()
        for index, each in enumerate(value):
            name = each.get("id") if type(each) is dict else None
            if type(name) is str:
                if name in seen:
                    problem = f"Another contained resource has the id {quoted(name)} too, so that '#' and it mean both."
                    report.add("invalid", ((path, "contained", index), "id"), problem)
                seen.add(name)

    return judged


_BUILT_IN: Mapping[str, Sequence[Rule]] = {"Extension": (Quiet(_ask_extension, holds=_is_either),)}

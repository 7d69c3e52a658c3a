"""The rules that a profile's element can set, each as a closure over an item: type, fixed, pattern, bounds, length, binding, constraint."""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from app.fhir.definitions import Invariant, r4
from app.fhir.errors import FHIRError
from app.fhir.fhirpath import Node
from app.fhir.profiles.definition import STRUCTURE, Definition
from app.fhir.profiles.run import Item, Run, actual
from app.fhir.profiles.values import compared, has, same, shown
from app.fhir.validation.bindings import BINDABLE, outside
from app.fhir.validation.invariants import Question

if TYPE_CHECKING:
    from app.fhir.profiles.conformance import Conformance

Check = Callable[[Item, Run], None]
_ANY = frozenset(["Element", "Resource", "DomainResource", "BackboneElement"])


def checks_of(conformance: "Conformance", definition: Definition, who: str) -> Iterator[Check]:
    """What the definition asks of each item beyond what R4 asks."""
    own = definition.own
    if "type" in own:
        yield _type(conformance, definition, who)
    for prefix, test, words in (("fixed", same, "must be exactly"), ("pattern", has, "must contain")):
        if (told := definition.value(prefix)) and told[0] in own:
            yield _value(test, told[1], words, who)
    for prefix, sign, words in (("minValue", -1, "at least"), ("maxValue", 1, "at most")):
        if (told := definition.value(prefix)) and told[0] in own:
            yield _bound(told[1], sign, words, who)
    if "maxLength" in own:
        yield _length(int(definition.facts["maxLength"]), who)
    if "binding" in own and definition.facts["binding"].get("strength") in ("required", "extensible"):
        yield _binding(conformance, definition.facts["binding"], definition.types(), who)
    for constraint in definition.facts.get("constraint", ()) if "constraint" in own else ():
        if isinstance(constraint.get("expression"), str):
            yield _constraint(definition, constraint, who)


def _type(conformance: "Conformance", definition: Definition, who: str) -> Check:
    allowed = definition.types()
    by_type: dict[str, Mapping[str, Any]] = {str(each.get("code")): each for each in definition.facts.get("type", ())}
    is_open = not allowed or not _ANY.isdisjoint(allowed) or any("/" in each for each in allowed)

    def check(item: Item, run: Run) -> None:
        told = by_type.get(item.type)
        if told is None:
            if not is_open:
                run.say("error", "structure", item.path, f"{who} takes {' or '.join(allowed)} here, but this is a {item.type}.")
            return
        if told.get("profile"):
            _conform(conformance, item, list(told["profile"]), run)
        if told.get("targetProfile") and item.type == "Reference":
            _target(conformance, item, list(told["targetProfile"]), who, run)

    return check


def _conform(conformance: "Conformance", item: Item, urls: list[str], run: Run) -> None:
    known = [(url, profile) for url in urls if (profile := conformance.library.get(url)) is not None]
    if len(known) < len(urls):
        return  # one that nobody here knows may be the one it conforms to
    if len(known) == 1:
        conformance.apply(known[0][1], item, run)
    elif not any(conformance.fits(item, url, run) for url, _ in known):
        run.say("error", "structure", item.path, f"This conforms to none of {', '.join(url for url, _ in known)}.")


def _target(conformance: "Conformance", item: Item, urls: list[str], who: str, run: Run) -> None:
    reference = item.value.get("reference") if isinstance(item.value, dict) else None
    if not isinstance(reference, str) or STRUCTURE + "Resource" in urls:
        return
    kinds = {conformance.library.type_of(url) for url in urls}
    if "" in kinds:
        return
    resource = run.scope.resolve(reference)
    kind = actual(resource, "Resource") if resource is not None else _named(reference)
    where = (item.path, "reference")
    if kind and kind not in kinds:
        run.say(
            "error", "value", where, f"{who} takes a reference to {' or '.join(sorted(kinds))} here, but this leads to a {kind}."
        )
    elif resource is not None:
        target = Item(resource, kind, item.path)
        if not any(conformance.fits(target, url, run) for url in urls):
            run.say(
                "error", "value", where, f"The resource that this leads to conforms to none of {', '.join(urls)}, as {who} asks."
            )


def _named(reference: str) -> str:
    parts = reference.partition("/_history/")[0].split("/")
    return parts[-2] if len(parts) > 1 and parts[-2] in r4().resources else ""


def _value(test: Callable[[Any, Any], bool], wanted: Any, words: str, who: str) -> Check:
    def check(item: Item, run: Run) -> None:
        if not test(item.value, wanted):
            run.say("error", "value", item.path, f"The value {words} {shown(wanted)} ({who}).")

    return check


def _bound(bound: Any, sign: int, words: str, who: str) -> Check:
    def check(item: Item, run: Run) -> None:
        if item.value is not None and compared(item.value, bound, item.type) == sign:
            run.say("error", "value", item.path, f"The value must be {words} {shown(bound)} ({who}).")

    return check


def _length(limit: int, who: str) -> Check:
    def check(item: Item, run: Run) -> None:
        if isinstance(item.value, str) and len(item.value) > limit:
            run.say(
                "error", "too-long", item.path, f"The text has {len(item.value)} characters, {who} allows {limit}: shorten it."
            )

    return check


def _binding(conformance: "Conformance", binding: Mapping[str, Any], types: list[str], who: str) -> Check:
    value_set, strength = str(binding.get("valueSet", "")), str(binding.get("strength"))

    def check(item: Item, run: Run) -> None:
        if item.value is None or item.type not in BINDABLE or (types and item.type not in types):
            return
        complaint = outside(item.value, value_set, strength, conformance.terminology)
        if complaint:
            run.say("error" if strength == "required" else "warning", "code-invalid", item.path, f"{complaint} ({who}).")

    return check


def _constraint(definition: Definition, constraint: Mapping[str, Any], who: str) -> Check:
    rule = Invariant(
        str(constraint.get("key", "")),
        "warning" if constraint.get("severity") == "warning" else "error",
        str(constraint.get("human", constraint.get("key", ""))),
        constraint["expression"],
    )
    asked: dict[str, Question | FHIRError] = {}

    def check(item: Item, run: Run) -> None:
        question = asked.get(item.type)
        if question is None:
            try:
                question = Question(r4(), item.type or definition.kind, rule)
            except FHIRError as error:
                question = error
            asked[item.type] = question
        if isinstance(question, FHIRError):
            run.say("warning", "not-supported", item.path, f"The rule {rule.key} of {who} cannot be read: {question}")
            return
        answer = question.answer(Node(item.value, item.type, item.extra), run.scope.env)
        if answer is False:
            run.say(rule.severity, "invariant", item.path, question.sentence)
        elif answer is None:
            run.say("warning", "invariant", item.path, f"{question.sentence} The content does not let this be checked.")

    return check

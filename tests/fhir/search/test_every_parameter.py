"""Each of R4's 1,384 search parameter expressions compiles for each of its base types and finds what a resource has there."""

from collections.abc import Iterator

from app.fhir.definitions import r4
from app.fhir.fhirpath import compile
from app.fhir.search.extract import extract
from app.fhir.search.parameters import NOT_INDEXED, default
from tests.fhir.search.dense import dense

VARIANTS = 150  # of choices, codes and targets; most types need under five
UNFINDABLE = {
    ("Patient", "part-agree"): "an erratum of R4: its expression is about DocumentReference",
    ("QuestionnaireResponse", "item-subject"): "its item needs an extension of its own: see test_a_subject_among_the_answers",
}


def wanted(type_name: str) -> set[str]:
    return {
        code
        for code, definition in default().of(type_name).items()
        if code not in NOT_INDEXED and definition.expression and definition.param.kind != "special" and not code.startswith("_")
    }


def told(type_name: str, found: set[str]) -> set[str]:
    """With the parameters that others tell."""
    return found | {code for code, each in default().of(type_name).items() if found.intersection(each.param.codes(type_name))}


def found(resource: dict[str, object]) -> Iterator[str]:
    entries = extract(resource)
    for each in (entries.tokens, entries.strings, entries.references, entries.dates, entries.numbers):
        yield from (entry.param for entry in each)
    for each in (entries.quantities, entries.uris, entries.composites):
        yield from (entry.param for entry in each)


def unfound() -> dict[str, set[str]]:
    """The parameters, by type, that find nothing in a resource that has everything."""
    left = {}
    for type_name in sorted(r4().resources):
        missing = wanted(type_name)
        for variant in range(VARIANTS):
            if not missing:
                break
            missing -= told(type_name, set(found(dense(type_name, variant))))
        if missing:
            left[type_name] = missing
    return left


def test_all_expressions_are_there() -> None:
    assert sum(bool(each.expression) for each in r4().search_parameters) == 1384


def test_every_parameter_finds_what_a_resource_has() -> None:
    assert {(type_name, code) for type_name, codes in unfound().items() for code in codes} == UNFINDABLE.keys()


def test_what_others_tell_is_what_the_expression_says() -> None:
    """By the standard's own words: each such expression, evaluated, gives just what its tellers' expressions give."""
    known = {
        (type_name, code): each.param.codes(type_name)
        for type_name in sorted(r4().resources)
        for code, each in default().of(type_name).items()
        if each.param.told_by
    }
    assert known["Observation", "combo-code"] == ("code", "component-code")
    assert known["Patient", "phonetic"] == ("name",)
    for (type_name, code), codes in known.items():
        definitions = default().of(type_name)
        for variant in range(10):
            resource = dense(type_name, variant)
            wanted = compile(definitions[code].expression).evaluate(resource)
            given = [item for other in codes for item in compile(definitions[other].expression).evaluate(resource)]
            assert {repr(item) for item in wanted} == {repr(item) for item in given}, (
                type_name,
                code,
            )  # a union says a thing once


def test_a_subject_among_the_answers() -> None:
    marked = [{"url": "http://hl7.org/fhir/StructureDefinition/questionnaireresponse-isSubject", "valueBoolean": True}]
    item = {"linkId": "s", "extension": marked, "answer": [{"valueReference": {"reference": "Patient/1"}}]}
    entries = extract({"resourceType": "QuestionnaireResponse", "status": "completed", "item": [item]})
    assert [(entry.param, entry.id) for entry in entries.references] == [("item-subject", "1")]

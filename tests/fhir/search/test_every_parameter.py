"""Each of R4's 1,384 search parameter expressions compiles for each of its base types and finds what a resource has there."""

from collections.abc import Iterator

from app.fhir.definitions import r4
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
            missing -= set(found(dense(type_name, variant)))
        if missing:
            left[type_name] = missing
    return left


def test_all_expressions_are_there() -> None:
    assert sum(bool(each.expression) for each in r4().search_parameters) == 1384


def test_every_parameter_finds_what_a_resource_has() -> None:
    assert {(type_name, code) for type_name, codes in unfound().items() for code in codes} == UNFINDABLE.keys()


def test_a_subject_among_the_answers() -> None:
    marked = [{"url": "http://hl7.org/fhir/StructureDefinition/questionnaireresponse-isSubject", "valueBoolean": True}]
    item = {"linkId": "s", "extension": marked, "answer": [{"valueReference": {"reference": "Patient/1"}}]}
    entries = extract({"resourceType": "QuestionnaireResponse", "status": "completed", "item": [item]})
    assert [(entry.param, entry.id) for entry in entries.references] == [("item-subject", "1")]

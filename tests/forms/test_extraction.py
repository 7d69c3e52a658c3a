"""From answers to resources: templates, contexts, observations; the examples of the SDC guide."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.fhir import codec
from app.fhir.errors import BusinessRule, Invalid
from app.fhir.validation import validate
from app.forms import extract
from app.forms.entry import respond
from tests.forms.records import questionnaire, values
from tests.forms.test_validation import answer, asked, said

SDC = "http://hl7.org/fhir/uv/sdc/StructureDefinition/sdc-questionnaire-"
BASE = {"id": "r1", "subject": {"reference": "Patient/p"}, "authored": "2024-03-05T12:00:00Z"}


def put(expression: str) -> dict[str, Any]:
    return {"extension": [{"url": f"{SDC}templateExtractValue", "valueString": expression}]}


def each(expression: str) -> list[dict[str, Any]]:
    return [{"url": f"{SDC}templateExtractContext", "valueString": expression}]


def template(resource: dict[str, Any], item: dict[str, Any] | None = None) -> dict[str, Any]:
    marked = {"url": f"{SDC}templateExtract", "extension": [{"url": "template", "valueReference": {"reference": "#t"}}]}
    contained = [{"id": "t", **resource}]
    if item is None:
        return asked({"linkId": "q", "type": "string", "repeats": True}, contained=contained, extension=[marked])
    return asked({**item, "extension": [marked]}, contained=contained)


def made(form: dict[str, Any], *items: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
    return [entry["resource"] for entry in extract(form, said(*items) | BASE | more).get("entry", [])]


X, Y = {"valueString": "x"}, {"valueString": "y"}


def test_a_value_takes_the_place_of_its_element_and_its_absence_removes_it_alone() -> None:
    form = template({"resourceType": "Patient", "gender": "unknown", "_gender": put("item.answer.value"), "active": True})
    assert made(form, answer("q", {"valueString": "male"})) == [{"resourceType": "Patient", "gender": "male", "active": True}]
    assert made(form) == [{"resourceType": "Patient", "active": True}]


def test_false_and_zero_are_values() -> None:
    form = template({"resourceType": "Patient", "_active": put("false")})
    assert made(form) == [{"resourceType": "Patient", "active": False}]


def test_an_array_element_is_made_once_for_each_result() -> None:
    form = template({"resourceType": "Patient", "name": [{"_given": [put("item.answer.value")], "use": "usual"}]})
    assert made(form, answer("q", X, Y)) == [{"resourceType": "Patient", "name": [{"given": ["x", "y"], "use": "usual"}]}]


def test_a_context_clones_its_element_and_is_the_focus_below() -> None:
    form = template(
        {
            "resourceType": "Patient",
            "telecom": [{"extension": each("item.answer.value"), "system": "phone", "_value": put("$this")}],
        }
    )
    assert made(form, answer("q", X, Y)) == [
        {"resourceType": "Patient", "telecom": [{"system": "phone", "value": "x"}, {"system": "phone", "value": "y"}]}
    ]
    assert made(form) == []


def test_a_context_on_the_resource_makes_one_each_or_none() -> None:
    form = template({"resourceType": "Basic", "extension": each("item.answer.value"), "code": {"_text": put("$this")}})
    assert [resource["code"]["text"] for resource in made(form, answer("q", X, Y))] == ["x", "y"]
    assert made(form) == []


def test_a_complex_result_takes_the_element_whole() -> None:
    form = template({"resourceType": "Observation", "code": {"coding": [put("item.answer.value")]}})
    coding = {"system": "urn:s", "code": "a"}
    assert made(form, answer("q", {"valueCoding": coding})) == [{"resourceType": "Observation", "code": {"coding": [coding]}}]


def test_other_extensions_of_a_template_stay() -> None:
    other = {"url": "urn:e", "valueBoolean": True}
    shadow = put("item.answer.value")
    form = template({"resourceType": "Patient", "_gender": {"extension": [*shadow["extension"], other]}})
    assert made(form, answer("q", {"valueString": "male"})) == [
        {"resourceType": "Patient", "gender": "male", "_gender": {"extension": [other]}}
    ]


def test_two_values_for_one_place_are_refused_by_name() -> None:
    form = template({"resourceType": "Patient", "_gender": put("item.answer.value")})
    with pytest.raises(Invalid, match=r"Patient\.gender"):
        made(form, answer("q", X, Y))


def test_a_template_on_an_item_is_filled_from_it_once_for_each_repetition() -> None:
    group = {"linkId": "g", "type": "group", "repeats": True, "item": [{"linkId": "q", "type": "string"}]}
    form = template({"resourceType": "Basic", "code": {"_text": put("item.answer.value")}}, group)
    once, twice = {"linkId": "g", "item": [answer("q", X)]}, {"linkId": "g", "item": [answer("q", Y)]}
    bundle = extract(form, said(once, twice) | BASE)
    assert [entry["resource"]["code"]["text"] for entry in bundle["entry"]] == ["x", "y"]
    assert len({entry["fullUrl"] for entry in bundle["entry"]}) == 2
    assert made(form) == []


def test_a_question_that_repeats_gives_one_for_each_answer() -> None:
    form = template(
        {"resourceType": "Basic", "code": {"_text": put("answer.value")}}, {"linkId": "q", "type": "string", "repeats": True}
    )
    assert [resource["code"]["text"] for resource in made(form, answer("q", X, Y))] == ["x", "y"]


def test_what_is_not_asked_is_not_extracted() -> None:
    hidden = {"linkId": "q", "type": "string", "enableWhen": [{"question": "a", "operator": "=", "answerBoolean": True}]}
    form = template({"resourceType": "Basic", "code": {"_text": put("answer.value")}}, hidden)
    form["item"].append({"linkId": "a", "type": "boolean"})
    assert made(form, answer("q", X)) == []
    assert len(made(form, answer("q", X), answer("a", {"valueBoolean": True}))) == 1


def test_the_same_response_gives_the_same_urls_and_another_gives_others(condition: str) -> None:
    form, given = questionnaire(condition), values(condition)
    urls = [
        [entry["fullUrl"] for entry in extract(form, respond(form, given, **BASE | {"id": id}))["entry"]]
        for id in ("r1", "r1", "r2")
    ]
    assert urls[0] == urls[1]
    assert not set(urls[0]) & set(urls[2])
    assert len(set(urls[0])) == len(urls[0])


def test_references_between_the_products_hold(condition: str) -> None:
    form = questionnaire(condition)
    bundle = extract(form, respond(form, values(condition), **BASE))
    assert validate(bundle) == []
    by_type = {entry["resource"]["resourceType"]: entry for entry in bundle["entry"]}
    assert by_type["EpisodeOfCare"]["resource"]["diagnosis"][0]["condition"]["reference"] == by_type["Condition"]["fullUrl"]


@pytest.mark.parametrize("status", ["in-progress", "stopped", "entered-in-error"])
def test_only_a_complete_response_is_extracted(status: str) -> None:
    with pytest.raises(BusinessRule, match="completed or amended"):
        made(template({"resourceType": "Patient", "active": True}), status=status)


def test_a_template_that_is_not_there_is_named() -> None:
    form = template({"resourceType": "Patient"})
    form["contained"] = []
    with pytest.raises(Invalid, match="#t"):
        made(form)


def test_observations_of_coded_questions() -> None:
    code = {"system": "http://loinc.org", "code": "29463-7"}
    unit = {
        "url": "http://hl7.org/fhir/StructureDefinition/questionnaire-unit",
        "valueCoding": {"system": "http://unitsofmeasure.org", "code": "kg"},
    }
    flag = {"url": f"{SDC}observationExtract", "valueBoolean": True}
    form = asked(
        {"linkId": "g", "type": "group", "extension": [flag], "item": [
            {"linkId": "w", "type": "decimal", "code": [code], "extension": [unit], "repeats": True},
            {"linkId": "n", "type": "string"},
            {"linkId": "off", "type": "string", "code": [code], "extension": [{**flag, "valueBoolean": False}]},
        ]}
    )  # fmt: skip
    [first, second] = made(
        form, {"linkId": "g", "item": [answer("w", {"valueDecimal": 3}, {"valueDecimal": 4}), answer("n", X), answer("off", X)]}
    )
    assert validate(first) == []
    assert first["valueQuantity"] == {"value": 3, "system": "http://unitsofmeasure.org", "code": "kg"}
    assert second["valueQuantity"]["value"] == 4
    assert first["derivedFrom"] == [{"reference": "QuestionnaireResponse/r1"}]
    assert (first["subject"], first["effectiveDateTime"], first["status"]) == (BASE["subject"], BASE["authored"], "final")


GUIDE = {
    "item": [
        {"linkId": "patient", "item": [
            {"linkId": "name", "item": [answer("given", X, Y), answer("family", {"valueString": "z"})]},
            answer("gender", {"valueCoding": {"code": "female"}}), answer("ihi", {"valueString": "1"}), answer("mobile-phone", {"valueString": "07"}),
        ]},
        {"linkId": "contacts", "item": [answer("contact-name", X), answer("phone", {"valueString": "08"})]},
        {"linkId": "contacts", "item": [answer("contact-name", Y)]},
        {"linkId": "obs", "item": [answer("height", {"valueDecimal": 2}), answer("weight", {"valueDecimal": 80}), answer("complication", {"valueBoolean": False})]},
    ]
}  # fmt: skip


@pytest.mark.conformance
@pytest.mark.parametrize("name", ["extract-complex-template", "extract-complex-template2"])
def test_the_examples_of_the_guide(csor_data: Callable[[str], Path], name: str) -> None:
    form = codec.decode((csor_data("sdc-extract-examples") / "sdc-extract" / f"{name}.json").read_bytes())
    bundle = extract(form, {"resourceType": "QuestionnaireResponse", "status": "completed", **BASE, **GUIDE})
    entries = bundle["entry"]
    assert [entry["resource"]["resourceType"] for entry in entries] == ["Patient", *["RelatedPerson"] * 2, *["Observation"] * 3]
    patient = entries[0]
    assert patient["resource"]["name"] == [{"text": "x y z", "family": "z", "given": ["x", "y"]}]
    assert (patient["resource"]["gender"], patient["resource"]["telecom"][0]["value"]) == ("female", "07")
    assert {entry["resource"]["patient"]["reference"] for entry in entries[1:3]} == {patient["fullUrl"]}
    assert [entry["resource"].get("telecom", [{}])[0].get("value") for entry in entries[1:3]] == ["08", None]
    height, weight, complication = (entry["resource"] for entry in entries[3:])
    assert (height["valueQuantity"]["value"], weight["valueQuantity"]["value"], complication["valueBoolean"]) == (200, 80, False)
    assert "templateExtract" not in codec.encode(bundle).decode()

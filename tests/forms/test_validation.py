"""A response against its questionnaire: each rule, its place, its sentence."""

from decimal import Decimal
from typing import Any

import pytest

from app.fhir.errors import Invalid
from app.forms import ItemIssue, validate_response
from app.forms.entry import respond
from tests.forms.records import questionnaire, values

CORE = "http://hl7.org/fhir/StructureDefinition/"
A, B = {"system": "urn:s", "code": "a"}, {"system": "urn:s", "code": "b"}


def asked(*items: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"resourceType": "Questionnaire", "status": "active", "item": list(items), **more}


def said(*items: dict[str, Any], status: str = "completed") -> dict[str, Any]:
    return {"resourceType": "QuestionnaireResponse", "status": status, "item": list(items)}


def answer(link: str, *answers: dict[str, Any]) -> dict[str, Any]:
    return {"linkId": link, "answer": list(answers)}


def rules(questionnaire: dict[str, Any], response: dict[str, Any], **more: Any) -> list[tuple[str, str | None]]:
    return [
        (issue.rule, issue.expression)
        for issue in validate_response(questionnaire, response, **more)
        if isinstance(issue, ItemIssue)
    ]


def limited(name: str, key: str, value: Any) -> list[dict[str, Any]]:
    return [{"url": CORE + name, key: value}]


def test_a_complete_record_of_each_condition_is_valid(condition: str) -> None:
    response = respond(questionnaire(condition), values(condition))
    assert validate_response(questionnaire(condition), response) == []


def test_each_required_answer_is_missed_when_it_is_gone(condition: str) -> None:
    full = questionnaire(condition)
    required = [
        item for group in full["item"] for item in group["item"] if item.get("required") and item["linkId"] in values(condition)
    ]
    assert len(required) > 12
    for item in required:
        response = respond(full, {link: value for link, value in values(condition).items() if link != item["linkId"]})
        missed = {
            issue.link_id
            for issue in validate_response(full, response)
            if isinstance(issue, ItemIssue) and issue.rule == "required"
        }
        depends = {"first-operation"} & {item["linkId"]}  # without it the child is not asked for either
        assert item["linkId"] in missed or depends, item["linkId"]


GOOD = [
    ("boolean", {"valueBoolean": False}), ("decimal", {"valueDecimal": Decimal("1.50")}), ("integer", {"valueInteger": 0}), ("date", {"valueDate": "2024-01"}),
    ("dateTime", {"valueDateTime": "2024-01-01T00:00:00Z"}), ("time", {"valueTime": "10:00:00"}), ("string", {"valueString": "x"}),
    ("text", {"valueString": "x\ny"}), ("url", {"valueUri": "https://example.org"}), ("choice", {"valueCoding": A}), ("open-choice", {"valueString": "x"}),
    ("open-choice", {"valueCoding": A}), ("quantity", {"valueQuantity": {"value": 1}}), ("reference", {"valueReference": {"reference": "Patient/1"}}),
    ("attachment", {"valueAttachment": {"data": "YQ=="}}),
]  # fmt: skip


@pytest.mark.parametrize(("type_", "value"), GOOD)
def test_each_type_takes_its_own_value_and_no_other(type_: str, value: dict[str, Any]) -> None:
    form = asked({"linkId": "q", "type": type_})
    assert rules(form, said(answer("q", value))) == []
    for _, other in GOOD:
        key = next(iter(other))
        fits = key == next(iter(value)) or (type_ == "open-choice" and key in ("valueString", "valueCoding"))
        found = rules(form, said(answer("q", other)))
        if not fits:
            assert found == [("invalidAnswerType", "QuestionnaireResponse.item[0].answer[0].value")], other


@pytest.mark.parametrize(
    ("item", "value", "rule"),
    [
        ({"type": "integer", "extension": limited("minValue", "valueInteger", 3)}, {"valueInteger": 2}, "minValue"),
        ({"type": "integer", "extension": limited("maxValue", "valueInteger", 3)}, {"valueInteger": 4}, "maxValue"),
        (
            {"type": "decimal", "extension": limited("minValue", "valueDecimal", Decimal("1.5"))},
            {"valueDecimal": Decimal("1.49")},
            "minValue",
        ),
        ({"type": "date", "extension": limited("maxValue", "valueDate", "2024-06-30")}, {"valueDate": "2024-07-01"}, "maxValue"),
        (
            {"type": "decimal", "extension": limited("maxDecimalPlaces", "valueInteger", 1)},
            {"valueDecimal": Decimal("1.25")},
            "maxDecimalPlaces",
        ),
        ({"type": "string", "maxLength": 3}, {"valueString": "four"}, "maxLength"),
        ({"type": "text", "maxLength": 3}, {"valueString": "four"}, "maxLength"),
        ({"type": "text", "extension": limited("minLength", "valueInteger", 5)}, {"valueString": "four"}, "minLength"),
        ({"type": "text", "extension": limited("regex", "valueString", "[a-z]{3}")}, {"valueString": "four"}, "regex"),
        ({"type": "string"}, {"valueString": "a\nb"}, "invalidNewLine"),
        ({"type": "choice", "answerOption": [{"valueCoding": A}]}, {"valueCoding": B}, "invalidAnswerOption"),
        ({"type": "choice", "answerOption": [{"valueInteger": 1}]}, {"valueInteger": 2}, "invalidAnswerOption"),
        ({"type": "choice", "answerOption": [{"valueInteger": 1}]}, {"valueCoding": A}, "invalidAnswerType"),
        ({"type": "display"}, {"valueString": "x"}, "displayAnswer"),
        ({"type": "group"}, {"valueString": "x"}, "groupShouldNotHaveAnswers"),
        ({"type": "integer", "readOnly": True, "initial": [{"valueInteger": 1}]}, {"valueInteger": 2}, "readOnly"),
        ({"type": "string"}, {"valueString": " "}, "invalidAnswerType"),
        ({"type": "boolean"}, {"valueBoolean": 1}, "invalidAnswerType"),
        (
            {"type": "attachment", "extension": limited("maxSize", "valueDecimal", 2)},
            {"valueAttachment": {"data": "YWJj"}},
            "maxAttachmentSize",
        ),
    ],
)
def test_a_broken_limit_is_told(item: dict[str, Any], value: dict[str, Any], rule: str) -> None:
    assert [found for found, _ in rules(asked({"linkId": "q", **item}), said(answer("q", value)))] == [rule]


@pytest.mark.parametrize(
    ("item", "value"),
    [
        ({"type": "integer", "extension": limited("minValue", "valueInteger", 3)}, {"valueInteger": 3}),
        ({"type": "integer", "extension": limited("maxValue", "valueInteger", 3)}, {"valueInteger": 3}),
        ({"type": "string", "maxLength": 4}, {"valueString": "four"}),
        ({"type": "decimal", "extension": limited("maxDecimalPlaces", "valueInteger", 1)}, {"valueDecimal": Decimal("1.2")}),
        ({"type": "string", "extension": limited("regex", "valueString", "(a+)+$")}, {"valueString": "a" * 5000}),
    ],
)
def test_exactly_at_the_limit_is_accepted(item: dict[str, Any], value: dict[str, Any]) -> None:
    assert rules(asked({"linkId": "q", **item}), said(answer("q", value))) == []


def test_a_pattern_that_is_none_is_told_and_refuses_nothing() -> None:
    form = asked({"linkId": "q", "type": "string", "extension": limited("regex", "valueString", "(")})
    (issue,) = validate_response(form, said(answer("q", {"valueString": "a"})))
    assert (issue.severity, issue.code) == ("warning", "not-supported")


def test_how_often_an_item_is_answered() -> None:
    two, three = [{"valueString": "a"}, {"valueString": "b"}], [{"valueString": str(n)} for n in range(3)]
    assert rules(asked({"linkId": "q", "type": "string"}), said(answer("q", *two)))[0][0] == "repeats"
    assert rules(asked({"linkId": "q", "type": "string", "repeats": True}), said(answer("q", *two))) == []
    bounds = [*limited("questionnaire-minOccurs", "valueInteger", 2), *limited("questionnaire-maxOccurs", "valueInteger", 2)]
    form = asked({"linkId": "q", "type": "string", "repeats": True, "extension": bounds})
    assert rules(form, said(answer("q", *two))) == []
    assert [rule for rule, _ in rules(form, said(answer("q", *three)))] == ["maxCount"]
    assert [rule for rule, _ in rules(form, said(answer("q", two[0])))] == ["minCount"]


def test_an_option_that_excludes_the_others() -> None:
    none = {"valueCoding": B, "extension": [{"url": f"{CORE}questionnaire-optionExclusive", "valueBoolean": True}]}
    form = asked({"linkId": "q", "type": "choice", "repeats": True, "answerOption": [{"valueCoding": A}, none]})
    assert rules(form, said(answer("q", {"valueCoding": B}))) == []
    assert [rule for rule, _ in rules(form, said(answer("q", {"valueCoding": A}, {"valueCoding": B})))] == [
        "exclusiveAnswerOption"
    ]


def test_value_sets_are_asked_for_and_contained_ones_are_read() -> None:
    form = asked({"linkId": "q", "type": "choice", "answerValueSet": "urn:vs"})
    assert rules(form, said(answer("q", {"valueCoding": B})), options=lambda url: [A] if url == "urn:vs" else None) == [
        ("invalidCoding", "QuestionnaireResponse.item[0].answer[0].value")
    ]
    assert rules(form, said(answer("q", {"valueCoding": B}))) == []
    [unknown] = validate_response(form, said(answer("q", {"valueCoding": B})), options=lambda url: None)
    assert unknown.severity == "warning" and "urn:vs" in unknown.diagnostics
    contained = {
        "resourceType": "ValueSet",
        "id": "vs",
        "compose": {"include": [{"system": "urn:s", "concept": [{"code": "a"}]}]},
    }
    local = asked({"linkId": "q", "type": "choice", "answerValueSet": "#vs"}, contained=[contained])
    assert rules(local, said(answer("q", {"valueCoding": A}))) == []
    assert [rule for rule, _ in rules(local, said(answer("q", {"valueCoding": B})))] == ["invalidCoding"]


def test_items_of_nowhere_and_of_elsewhere() -> None:
    form = asked({"linkId": "g", "type": "group", "item": [{"linkId": "q", "type": "string"}]})
    assert rules(form, said(answer("x", {"valueString": "a"}))) == [("invalidLinkId", "QuestionnaireResponse.item[0].linkId")]
    assert rules(form, said(answer("q", {"valueString": "a"}))) == [("invalidLinkId", "QuestionnaireResponse.item[0].linkId")]


def test_a_draft_may_lack_but_may_not_err() -> None:
    form = asked({"linkId": "q", "type": "string", "required": True}, {"linkId": "n", "type": "integer"})
    wrong = said(answer("n", {"valueString": "x"}), status="in-progress")
    assert [(issue.severity, issue.rule) for issue in validate_response(form, wrong)] == [  # type: ignore[attr-defined]
        ("warning", "required"), ("error", "invalidAnswerType"),
    ]  # fmt: skip
    assert validate_response(form, {**wrong, "status": "entered-in-error"}) == []


def test_what_a_missing_group_must_hold_is_told_item_by_item() -> None:
    form = asked(
        {"linkId": "g", "type": "group", "required": True, "item": [{"linkId": "q", "type": "string", "required": True}]}
    )
    [issue] = validate_response(form, said())
    assert isinstance(issue, ItemIssue)
    assert (issue.link_id, issue.rule, issue.expression) == ("q", "required", "QuestionnaireResponse")


def test_rules_in_fhirpath_name_their_item() -> None:
    rule = {
        "url": f"{CORE}questionnaire-constraint",
        "extension": [
            {"url": "key", "valueId": "k"}, {"url": "severity", "valueCode": "error"}, {"url": "human", "valueString": "Not both."},
            {"url": "expression", "valueString": "(item.where(linkId='a').exists() and item.where(linkId='b').exists()).not()"},
            {"url": "location", "valueString": "b"},
        ],
    }  # fmt: skip
    form = asked({"linkId": "a", "type": "string"}, {"linkId": "b", "type": "string"}, extension=[rule])
    assert validate_response(form, said(answer("a", {"valueString": "x"}))) == []
    [issue] = validate_response(form, said(answer("a", {"valueString": "x"}), answer("b", {"valueString": "x"})))
    assert isinstance(issue, ItemIssue)
    assert (issue.diagnostics, issue.link_id, issue.severity) == ("Not both.", "b", "error")
    rule["extension"][3]["valueString"] = "item.where("
    [broken] = validate_response(form | {"title": "changed"}, said())
    assert broken.severity == "warning", "a broken rule is the questionnaire's fault, not the answer's"


def test_a_questionnaire_with_the_same_link_twice_is_refused() -> None:
    with pytest.raises(Invalid, match="linkId of its own"):
        validate_response(asked({"linkId": "q", "type": "string"}, {"linkId": "q", "type": "string"}), said())


def test_the_version_that_was_answered_must_be_the_one_at_hand() -> None:
    form = asked(url="urn:q", version="2")
    assert validate_response(form, {**said(), "questionnaire": "urn:q|2"}) == []
    assert [issue.expression for issue in validate_response(form, {**said(), "questionnaire": "urn:q|1"})] == [
        "QuestionnaireResponse.questionnaire"
    ]


def test_nested_answers_keep_their_place() -> None:
    form = asked({"linkId": "q", "type": "boolean", "item": [{"linkId": "why", "type": "integer"}]})
    response = said({"linkId": "q", "answer": [{"valueBoolean": True, "item": [answer("why", {"valueString": "x"})]}]})
    assert rules(form, response) == [("invalidAnswerType", "QuestionnaireResponse.item[0].answer[0].item[0].answer[0].value")]

"""What a questionnaire says in FHIRPath: variables, constraints, calculations, limits worked out, and what happens when it fails."""

from decimal import Decimal
from typing import Any

import pytest

from app.forms import validate_response
from app.forms.items import CORE, SDC
from tests.forms.test_validation import answer, asked, rules, said


def expression(text: str, **more: Any) -> dict[str, Any]:
    return {"language": "text/fhirpath", "expression": text, **more}


def variable(name: str, text: str) -> dict[str, Any]:
    return {"url": f"{CORE}variable", "valueExpression": expression(text, name=name)}


def constraint(text: str, severity: str = "error", **more: Any) -> dict[str, Any]:
    parts = [
        {"url": "key", "valueId": "k"},
        {"url": "severity", "valueCode": severity},
        {"url": "human", "valueString": "Said so."},
    ]
    return {"url": f"{CORE}questionnaire-constraint", "extension": [*parts, {"url": "expression", "valueString": text}]} | more


SUM = [
    {"linkId": "a", "type": "integer"},
    {"linkId": "b", "type": "integer"},
    {
        "linkId": "sum",
        "type": "integer",
        "readOnly": True,
        "extension": [{"url": f"{SDC}sdc-questionnaire-calculatedExpression", "valueExpression": expression("%a + %b")}],
    },
]
DECLARED = [
    variable("a", "%resource.item.where(linkId = 'a').answer.value"),
    variable("b", "%resource.item.where(linkId = 'b').answer.value"),
    variable("twice", "%a * 2"),
]


def summed(total: int) -> dict[str, Any]:
    return said(*(answer(link, {"valueInteger": value}) for link, value in (("a", 2), ("b", 3), ("sum", total))))


def test_what_is_worked_out_must_be_what_it_comes_to() -> None:
    form = asked(*SUM, extension=DECLARED)
    assert rules(form, summed(5)) == []
    assert rules(form, summed(6)) == [("calculatedExpression", "QuestionnaireResponse.item[2]")]
    changeable = asked(*SUM[:2], {**SUM[2], "readOnly": False}, extension=DECLARED)
    assert rules(changeable, summed(6)) == []


@pytest.mark.parametrize(
    ("text", "broken"), [("%twice < 5", False), ("%twice < 4", True), ("answer.value = 2", False), ("answer.value > 2", True)]
)
def test_constraints_see_variables_and_their_own_item(text: str, broken: bool) -> None:
    form = asked({**SUM[0], "extension": [constraint(text)]}, *SUM[1:2], extension=DECLARED)
    found = rules(form, said(answer("a", {"valueInteger": 2}), answer("b", {"valueInteger": 3})))
    assert found == ([("invariant", "QuestionnaireResponse.item[0]")] if broken else [])


def test_constraints_know_the_question_and_the_newer_extension() -> None:
    newer = constraint("%qitem.linkId = 'b'", url=f"{CORE}targetConstraint")
    newer["extension"][-1] = {"url": "expression", "valueExpression": expression("%qitem.linkId = 'b'")}
    form = asked({"linkId": "a", "type": "integer", "extension": [newer]})
    assert [rule for rule, _ in rules(form, said(answer("a", {"valueInteger": 2})))] == ["invariant"]


def test_a_draft_and_a_warning_stay_warnings() -> None:
    form = asked({**SUM[0], "extension": [constraint("false")]}, {**SUM[1], "extension": [constraint("false", "warning")]})
    response = said(answer("a", {"valueInteger": 2}), answer("b", {"valueInteger": 3}))
    assert [issue.severity for issue in validate_response(form, response)] == ["error", "warning"]
    assert {issue.severity for issue in validate_response(form, {**response, "status": "in-progress"})} == {"warning"}


@pytest.mark.parametrize("text", ["nonsense(", "1 div", "%nobody", "(1 | 2).single()"])
def test_an_expression_that_fails_judges_nothing_and_says_so_once(text: str) -> None:
    form = asked({**SUM[0], "extension": [constraint(text), constraint(text)]}, extension=[])
    [told] = validate_response(form, said(answer("a", {"valueInteger": 2})))
    assert told.severity == "warning" and "could not be judged" in told.diagnostics


@pytest.mark.parametrize(("value", "broken"), [(3, []), (4, []), (5, ["maxValue"]), (2, ["minValue"])])
def test_limits_may_be_worked_out(value: int, broken: list[str]) -> None:
    lowest = {
        "url": f"{CORE}minValue",
        "_valueInteger": {"extension": [{"url": f"{CORE}cqf-calculatedValue", "valueExpression": expression("%b")}]},
    }
    highest = {
        "url": f"{CORE}maxValue",
        "_valueInteger": {"extension": [{"url": f"{CORE}cqf-expression", "valueExpression": expression("%b + 1")}]},
    }
    form = asked({**SUM[0], "extension": [lowest, highest]}, SUM[1], extension=DECLARED[1:2])
    assert [
        rule for rule, _ in rules(form, said(answer("a", {"valueInteger": value}), answer("b", {"valueInteger": 3})))
    ] == broken


def test_quantities_are_held_to_limits_in_other_units() -> None:
    highest = {"url": f"{SDC}sdc-questionnaire-maxQuantity", "valueQuantity": {"value": 5, "code": "kg"}}
    form = asked({"linkId": "w", "type": "quantity", "extension": [highest]})
    for value, code, broken in ((Decimal("5000"), "g", []), (5001, "g", ["maxValue"]), (5, "L", ["maxValueIncompatUnits"])):
        given = answer("w", {"valueQuantity": {"value": value, "code": code}})
        assert [rule for rule, _ in rules(form, said(given))] == broken, (value, code)


def test_at_the_limits_themselves_nothing_is_wrong() -> None:
    limits = [
        {"url": f"{CORE}minValue", "valueInteger": 1},
        {"url": f"{CORE}maxValue", "valueInteger": 3},
        {"url": f"{CORE}questionnaire-minOccurs", "valueInteger": 2},
        {"url": f"{CORE}questionnaire-maxOccurs", "valueInteger": 3},
    ]
    form = asked({"linkId": "a", "type": "integer", "repeats": True, "extension": limits})

    def found(*values: int) -> list[str]:
        return [rule for rule, _ in rules(form, said(answer("a", *({"valueInteger": value} for value in values))))]

    assert found(1, 3) == found(1, 2, 3) == []
    assert found(0, 3) == ["minValue"] and found(1, 4) == ["maxValue"]
    assert found(2) == ["minCount"] and found(1, 2, 3, 2) == ["maxCount"]

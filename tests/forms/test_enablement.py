"""Which questions count, given the other answers."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.fhir.errors import TooCostly
from app.forms import enabled, validate_response, without_disabled
from app.forms.entry import respond
from tests.forms.test_validation import answer, asked, said

Q = {"linkId": "q", "type": "choice", "repeats": True}


def when(operator: str, **wanted: Any) -> dict[str, Any]:
    return {"question": "q", "operator": operator, **wanted}


def shown(condition: dict[str, Any], *answers: dict[str, Any]) -> bool:
    form = asked(dict(Q), {"linkId": "x", "type": "string", "enableWhen": [condition]})
    return "x" in enabled(form, said(answer("q", *answers)) if answers else said())


@pytest.mark.parametrize(
    ("condition", "answers", "expected"),
    [
        (when("exists", answerBoolean=True), [{"valueInteger": 1}], True),
        (when("exists", answerBoolean=True), [], False),
        (when("exists", answerBoolean=False), [], True),
        (when("exists", answerBoolean=False), [{"valueInteger": 1}], False),
        (when("=", answerInteger=1), [{"valueInteger": 2}, {"valueInteger": 1}], True),
        (when("=", answerInteger=1), [{"valueInteger": 2}], False),
        (when("=", answerBoolean=True), [{"valueInteger": 1}], False),
        (when("!=", answerInteger=1), [{"valueInteger": 1}], False),
        (when("!=", answerInteger=1), [{"valueInteger": 1}, {"valueInteger": 2}], True),
        (when("!=", answerInteger=1), [], False),
        (when(">", answerInteger=1), [{"valueInteger": 1}], False),
        (when(">=", answerInteger=1), [{"valueInteger": 1}], True),
        (when("<", answerDecimal=Decimal("1.5")), [{"valueDecimal": Decimal("1.4")}], True),
        (when("<=", answerDate="2024-01-01"), [{"valueDate": "2024-01-02"}], False),
        (
            when("=", answerCoding={"system": "s", "code": "a"}),
            [{"valueCoding": {"system": "s", "code": "a", "display": "A"}}],
            True,
        ),
        (when("=", answerCoding={"system": "s", "code": "a"}), [{"valueCoding": {"system": "t", "code": "a"}}], False),
        (when(">", answerQuantity={"value": 1, "code": "kg"}), [{"valueQuantity": {"value": 2, "code": "kg"}}], True),
        (when(">", answerQuantity={"value": 1, "code": "kg"}), [{"valueQuantity": {"value": 2, "code": "g"}}], False),
        (when("<", answerQuantity={"value": 1, "code": "kg"}), [{"valueQuantity": {"value": 2, "code": "g"}}], True),
        (when("=", answerQuantity={"value": 1, "code": "kg"}), [{"valueQuantity": {"value": 1000, "code": "g"}}], True),
        (when(">", answerQuantity={"value": 1, "code": "kg"}), [{"valueQuantity": {"value": 2, "code": "m"}}], False),
        (when("!=", answerQuantity={"value": 1, "code": "kg"}), [{"valueQuantity": {"value": 1000, "code": "g"}}], False),
        (when("like", answerString="a"), [{"valueString": "a"}], False),
    ],
)
def test_every_operator(condition: dict[str, Any], answers: list[dict[str, Any]], expected: bool) -> None:
    assert shown(condition, *answers) is expected


@pytest.mark.parametrize(("behaviour", "expected"), [("any", True), ("all", False)])
def test_any_and_all(behaviour: str, expected: bool) -> None:
    conditions = [when("=", answerInteger=1), when("=", answerInteger=2)]
    form = asked(dict(Q), {"linkId": "x", "type": "string", "enableBehavior": behaviour, "enableWhen": conditions})
    assert ("x" in enabled(form, said(answer("q", {"valueInteger": 1})))) is expected


def chain() -> dict[str, Any]:
    return asked(
        {"linkId": "a", "type": "boolean"},
        {"linkId": "b", "type": "boolean", "enableWhen": [{"question": "a", "operator": "=", "answerBoolean": True}]},
        {
            "linkId": "c", "type": "group", "enableWhen": [{"question": "b", "operator": "=", "answerBoolean": True}],
            "item": [{"linkId": "d", "type": "string", "required": True}],
        },
    )  # fmt: skip


def test_a_chain_falls_with_its_first_link() -> None:
    full = {"a": True, "b": True, "d": "x"}
    assert enabled(chain(), respond(chain(), full)) == {"a", "b", "c", "d"}
    stale = said(
        answer("a", {"valueBoolean": False}),
        answer("b", {"valueBoolean": True}),
        {"linkId": "c", "item": [answer("d", {"valueString": "x"})]},
    )
    assert enabled(chain(), stale) == {"a"}
    assert [item["linkId"] for item in without_disabled(chain(), stale)["item"]] == ["a"]
    assert {issue.link_id for issue in validate_response(chain(), stale)} == {"b", "c"}  # type: ignore[attr-defined]


def test_what_is_hidden_is_not_required() -> None:
    assert validate_response(chain(), said(answer("a", {"valueBoolean": False}))) == []


def test_in_a_repeating_group_each_repetition_answers_for_itself() -> None:
    form = asked(
        {
            "linkId": "g", "type": "group", "repeats": True,
            "item": [
                {"linkId": "q", "type": "boolean"},
                {"linkId": "x", "type": "string", "enableWhen": [{"question": "q", "operator": "=", "answerBoolean": True}]},
            ],
        }
    )  # fmt: skip
    yes = {"linkId": "g", "item": [answer("q", {"valueBoolean": True}), answer("x", {"valueString": "fits"})]}
    no = {"linkId": "g", "item": [answer("q", {"valueBoolean": False}), answer("x", {"valueString": "does not"})]}
    [issue] = validate_response(form, said(yes, no))
    assert issue.expression == "QuestionnaireResponse.item[1].item[1]"


def test_two_that_wait_for_each_other_end() -> None:
    form = asked(
        {"linkId": "a", "type": "boolean", "enableWhen": [{"question": "b", "operator": "=", "answerBoolean": True}]},
        {"linkId": "b", "type": "boolean", "enableWhen": [{"question": "a", "operator": "=", "answerBoolean": True}]},
    )
    assert enabled(form, said(answer("a", {"valueBoolean": True}), answer("b", {"valueBoolean": True}))) == set()


def test_an_expression_may_decide() -> None:
    condition = {
        "url": "http://hl7.org/fhir/uv/sdc/StructureDefinition/sdc-questionnaire-enableWhenExpression",
        "valueExpression": {"language": "text/fhirpath", "expression": "%resource.item.where(linkId = 'n').answer.value > 3"},
    }
    form = asked({"linkId": "n", "type": "integer"}, {"linkId": "x", "type": "string", "extension": [condition]})
    assert "x" in enabled(form, said(answer("n", {"valueInteger": 4})))
    assert "x" not in enabled(form, said(answer("n", {"valueInteger": 3})))
    assert "x" not in enabled(form, said())


@settings(max_examples=60, deadline=None)
@given(st.fixed_dictionaries({}, optional={"a": st.booleans(), "b": st.booleans(), "d": st.just("x")}))
def test_taking_away_what_does_not_count_is_done_in_one_go_and_never_leaves_a_stray(values: dict[str, Any]) -> None:
    raw = said(*(answer(link, {"valueBoolean": values[link]}) for link in ("a", "b") if link in values))
    if "d" in values:
        raw["item"].append({"linkId": "c", "item": [answer("d", {"valueString": "x"})]})
    clean = without_disabled(chain(), raw)
    assert without_disabled(chain(), clean) == clean
    assert not [issue for issue in validate_response(chain(), clean) if issue.rule == "notEnabled"]  # type: ignore[attr-defined]
    assert enabled(chain(), clean) == enabled(chain(), raw)


def test_a_ladder_of_conditions_is_climbed_once() -> None:
    rungs: list[dict[str, Any]] = [{"linkId": "0", "type": "boolean"}, {"linkId": "1", "type": "boolean"}]
    for number in range(2, 200):
        conditions = [{"question": str(number - back), "operator": "=", "answerBoolean": True} for back in (1, 2)]
        rungs.append({"linkId": str(number), "type": "boolean", "enableBehavior": "all", "enableWhen": conditions})
    response = said(*(answer(str(number), {"valueBoolean": True}) for number in range(200)))
    assert len(enabled(asked(*rungs), response)) == 200
    with pytest.raises(TooCostly):
        enabled(asked(*reversed(rungs)), said(*(answer(str(number), {"valueBoolean": True}) for number in reversed(range(200)))))

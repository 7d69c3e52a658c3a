"""Hostile and broken expressions: told where, and stopped in time."""

from decimal import Decimal

import pytest

from app.fhir.errors import FHIRError, TooCostly
from app.fhir.fhirpath import FHIRPathError, SyntaxProblem, compile

MANY = {"resourceType": "Questionnaire", "status": "draft", "item": [{"linkId": str(n), "type": "group"} for n in range(2000)]}


@pytest.mark.parametrize(
    ("text", "position", "expected"),
    [
        ("", 0, "a term"),
        ("name.", 5, "member"),
        ("name.where(use = 'x'", 20, r"'\)'"),
        ("name[0", 6, r"'\]'"),
        ("1 + ", 4, "a term"),
        ("name family", 5, "operator or the end"),
        ("'open", 0, "a term or an operator"),
        ("2 /* open", 2, "end of the comment"),
        ("@2023-02-30", 0, "exists"),
        ("a is ", 5, "name of a type"),
    ],
)
def test_a_syntax_error_tells_where_and_what(text: str, position: int, expected: str) -> None:
    with pytest.raises(SyntaxProblem, match=expected) as caught:
        compile(text)
    assert caught.value.position == position
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name.wear(1)", "no function 'wear'"),
        ("name.where()", "takes 1 argument, 0 given"),
        ("name.substring(1, 2, 3)", "takes 1 to 2 arguments"),
        ("value as Patent", "no type 'Patent'"),
        ("value is Foo.Bar", "no type 'Foo.Bar'"),
        ("%`no-such`", "there is no %no-such"),
        ("'a' < 1", "have no order"),
        ("(1|2) + 1", "takes one value"),
        ("'a'.matches('(')", "does not compile"),
        ("'a' * 2", "does not take"),
    ],
)
def test_what_cannot_work_is_refused_with_a_sentence(text: str, says: str) -> None:
    with pytest.raises(FHIRPathError, match=says):
        compile(text).evaluate({"resourceType": "Patient"})


@pytest.mark.parametrize(
    "text", ["(" * 3000 + "1" + ")" * 3000, "1" + "+1" * 3000, "a" + ".b" * 3000, "-" * 3000 + "1", "x.where(" * 500 + "1"]
)
def test_nesting_is_capped_before_the_stack_is(text: str) -> None:
    with pytest.raises(SyntaxProblem):
        compile(text)


@pytest.mark.parametrize(
    "text",
    [
        "item.select(%resource.item.select(%resource.item)).count()",
        "item.all(%resource.item.all(%resource.item.exists()))",
        "item.where(%resource.item.subsetOf(%resource.item.skip(1)))",
        "item.repeat($this.combine(%resource.item.select(linkId & $this.linkId)))",
    ],
)
def test_an_expression_cannot_run_for_ever(text: str) -> None:
    with pytest.raises((TooCostly, FHIRPathError)):
        compile(text).evaluate(MANY)


def test_texts_cannot_grow_without_bound() -> None:
    doubled = "'" + "x" * 1000 + "'"
    for _ in range(12):
        doubled = f"iif(true, {doubled}.replace('x', 'xx'))"
    with pytest.raises(FHIRPathError, match="too long"):
        compile(doubled).evaluate({"resourceType": "Patient"})


def test_a_pattern_cannot_backtrack_for_ever() -> None:
    assert compile("('" + "a" * 5000 + "!').matches('^(a+)+$')").evaluate({}) == [False]


def test_input_of_the_wrong_shape_is_an_error_of_the_family() -> None:
    with pytest.raises(FHIRPathError, match="shape"):
        compile("Patient.name.given").evaluate({"resourceType": "Patient", "name": "x"})


@pytest.mark.parametrize("value", [Decimal("1e999999"), Decimal("-1e999999"), Decimal("1e-999999"), Decimal("1e50"), 10**18])
@pytest.mark.parametrize(
    "text",
    [
        "ceiling()",
        "round(2)",
        "round(28)",
        "toString()",
        "lowBoundary()",
        "highBoundary(3)",
        "exp()",
        "power(900)",
        "ln()",
        "sqrt()",
        "abs()",
        "toInteger()",
        "toQuantity()",
        "precision()",
        "truncate()",
    ],
)
def test_a_monstrous_number_gives_an_answer_or_an_error_of_the_family(text: str, value: Decimal | int) -> None:
    quantity = {"value": value, "unit": "d"}
    for expression in (f"value.{text}", "value div 3", "value ~ 1.5", "value * value", "@2024-01-01 + $this", "$this = 3 'd'"):
        try:
            found = compile(expression).evaluate(quantity, type="Quantity")
        except FHIRError:
            continue
        assert all(len(str(each)) < 1000 for each in found)


def test_the_clock_can_be_held_still() -> None:
    from datetime import UTC, datetime

    now = datetime(2024, 2, 29, 23, 30, tzinfo=UTC)
    assert compile("today() = @2024-02-29 and now() = @2024-02-29T23:30:00.000Z").holds({}, now=now)


@pytest.mark.parametrize(
    "text",
    [
        "code.text.repeat($this.substring(1)).count()",
        "code.text.toChars().select(%resource.code.text & $this).count()",
        "code.text.toChars().where(%resource.code.text.matches('(x*)*y')).count()",
        "code.text.toChars().where(%resource.code.text.contains('xy')).count()",
        "'a'.repeat($this & 'x').count()",
        "'a'.repeat($this + 'x').count()",
    ],
)
@pytest.mark.timeout(30)
def test_long_text_is_paid_for_by_its_length(text: str) -> None:
    with pytest.raises(TooCostly):
        compile(text).evaluate({"resourceType": "Basic", "code": {"text": "x" * 500_000}})

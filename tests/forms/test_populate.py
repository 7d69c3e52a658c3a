"""What the server knows is filled in; what it does not know is left."""

from typing import Any

import pytest

from app.fhir.errors import Issue
from app.fhir.validation import validate
from app.forms import populate, validate_response
from app.forms.items import answers
from tests.forms.records import questionnaire
from tests.forms.test_validation import A, B, asked

SDC = "http://hl7.org/fhir/uv/sdc/StructureDefinition/sdc-questionnaire-"
PATIENT = {
    "resourceType": "Patient",
    "id": "p",
    "birthDate": "2024-03-04",
    "gender": "male",
    "name": [{"given": ["a", "b"]}, {"given": ["c"]}],
}


def prefilled(type_: str, expression: str, **more: Any) -> dict[str, Any]:
    extension = {"url": f"{SDC}initialExpression", "valueExpression": {"language": "text/fhirpath", "expression": expression}}
    return {"linkId": "q", "type": type_, "extension": [extension], **more}


def result(item: dict[str, Any], issues: list[Issue] | None = None) -> list[Any]:
    return answers(populate(asked(item), {"patient": PATIENT}, issues=issues), "q")


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (prefilled("date", "%patient.birthDate"), ["2024-03-04"]),
        (prefilled("string", "%patient.gender"), ["male"]),
        (prefilled("integer", "1 + 1"), [2]),
        (prefilled("boolean", "%patient.name.empty()"), [False]),
        (prefilled("string", "%patient.name.given", repeats=True), ["a", "b", "c"]),
        (prefilled("choice", "'b'", answerOption=[{"valueCoding": A}, {"valueCoding": B}]), [B]),
        (prefilled("choice", "'z'", answerOption=[{"valueCoding": A}]), []),
        (prefilled("integer", "1.5"), []),
        (prefilled("integer", "'1'"), []),
        (prefilled("boolean", "'true'"), []),
        ({"linkId": "q", "type": "integer", "initial": [{"valueInteger": 7}]}, [7]),
        (
            {"linkId": "q", "type": "choice", "answerOption": [{"valueCoding": A}, {"valueCoding": B, "initialSelected": True}]},
            [B],
        ),
    ],
)
def test_results_become_answers_of_the_items_own_type(item: dict[str, Any], expected: list[Any]) -> None:
    assert result(item) == expected


@pytest.mark.parametrize("expression", ["%patient.name.given", "%nobody.name", "%patient.where("])
def test_what_cannot_be_worked_out_is_left_and_told(expression: str) -> None:
    issues: list[Issue] = []
    assert result(prefilled("string", expression), issues) == []
    assert len(issues) == 1
    assert issues[0].severity in ("warning", "information")


def test_a_repeating_group_is_filled_from_its_context() -> None:
    context = {
        "url": f"{SDC}itemPopulationContext",
        "valueExpression": {"name": "one", "language": "text/fhirpath", "expression": "%patient.name"},
    }
    group = {
        "linkId": "g",
        "type": "group",
        "repeats": True,
        "extension": [context],
        "item": [prefilled("string", "%one.given.first()")],
    }
    response = populate(asked(group), {"patient": PATIENT})
    assert [item["linkId"] for item in response["item"]] == ["g", "g"]
    assert answers(response, "q") == ["a", "c"]


def test_a_populated_record_is_a_draft_without_faults(condition: str) -> None:
    form = questionnaire(condition)
    issues: list[Issue] = []
    launch = {
        "patient": PATIENT,
        "case": [],
        "observations": [],
        "user": {"resourceType": "Practitioner", "name": [{"text": "X"}]},
    }
    response = populate(form, launch, issues=issues)
    assert issues == []
    assert validate(response) == []
    assert response["status"] == "in-progress"
    assert response["subject"] == {"reference": "Patient/p"}
    assert {issue.severity for issue in validate_response(form, response)} == {"warning"}
    assert answers(response, "first-operation") == [True]

"""The FHIRPath of a questionnaire, judged over a response: variables, constraints, calculations, and limits that are worked out.

What a questionnaire declares at an item is evaluated at the response item; `%resource` is the response, `%questionnaire` and `%qitem` what was
asked. An expression that fails says so in a warning, and judges nothing.
"""

from collections.abc import Callable, Mapping
from typing import Any

from app.fhir.errors import FHIRError
from app.fhir.fhirpath import compile as fhirpath
from app.forms.items import CORE, SDC, extension, extensions

CONSTRAINTS = (f"{CORE}questionnaire-constraint", f"{CORE}targetConstraint")
CALCULATED = f"{SDC}sdc-questionnaire-calculatedExpression"
VARIABLE = f"{CORE}variable"
_WORKED_OUT = (f"{CORE}cqf-calculatedValue", f"{CORE}cqf-expression")

Variables = Mapping[str, Any]
Evaluate = Callable[[Any], list[Any]]


class Expressions:
    """For one response. `failed(error, link_id)` is told of each expression that could not be judged."""

    def __init__(self, response: Mapping[str, Any], failed: Callable[[FHIRError, str], None]) -> None:
        self.response, self.failed = response, failed

    def evaluate(self, expression: Any, focus: Mapping[str, Any], variables: Variables, link_id: str = "") -> list[Any] | None:
        """The results of an Expression, or of one written as text; None where it failed or is not FHIRPath."""
        if isinstance(expression, Mapping):
            if expression.get("language", "text/fhirpath") != "text/fhirpath":
                return None
            expression = expression.get("expression", "")
        try:
            kind = "QuestionnaireResponse" if focus is self.response else "QuestionnaireResponse.item"
            return fhirpath(str(expression)).evaluate(
                focus, type=kind, variables=variables, resource=self.response, root=self.response
            )
        except FHIRError as error:
            self.failed(error, link_id)
            return None

    def variables(self, element: Mapping[str, Any], focus: Mapping[str, Any], known: Variables) -> Variables:
        """`known` with what `element` declares, in its order."""
        for declared in extensions(element, VARIABLE):
            if isinstance(declared, Mapping) and declared.get("name"):
                found = self.evaluate(declared, focus, known, str(element.get("linkId", "")))
                known = {**known, str(declared["name"]): found or []}
        return known


def limit(element: Mapping[str, Any], url: str, evaluate: Evaluate | None) -> Any:
    """The value of a limit such as minValue, worked out where the questionnaire gives an expression for it; None without one."""
    entry = next((one for one in element.get("extension") or () if one.get("url") == url), None)
    if entry is None:
        return None
    value = next((value for key, value in entry.items() if key.startswith("value")), None)
    companion = next((more for key, more in entry.items() if key.startswith("_value")), None)
    for holder in (companion, value):
        expression = next(
            (found for each in _WORKED_OUT if isinstance(holder, Mapping) and (found := extension(holder, each))), None
        )
        if expression is not None:
            results = evaluate(expression) if evaluate else None
            return results[0] if results else None
    return value

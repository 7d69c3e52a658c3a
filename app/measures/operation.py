"""`$evaluate-measure` over REST: GET answers, POST answers and keeps a summary report."""

from typing import Any

from app.fhir.errors import BadRequest, Forbidden
from app.fhir.operations import Operation, OperationRequest
from app.measures import publishing
from app.measures.evaluate import evaluate
from app.names import canonical
from app.security.access import Access
from app.store.protocol import Store


def _in(name: str, type: str, least: int, text: str) -> dict[str, Any]:
    return {"name": name, "use": "in", "min": least, "max": "1", "documentation": text, "type": type}


DEFINITION: dict[str, Any] = {
    "resourceType": "OperationDefinition",
    "id": "evaluate-measure",
    "url": canonical("OperationDefinition", "evaluate-measure"),
    "version": "0.1.0",
    "name": "EvaluateMeasure",
    "title": "Evaluate a measure",
    "status": "active",
    "kind": "operation",
    "description": (
        "R4's $evaluate-measure, with a reporter (one hospital, or all together), expected outcomes, and small numbers suppressed for anyone but the "
        "hospital itself. A POST keeps the summary report for the caller, apart from what is published, and answers it with its id."
    ),
    "affectsState": False,
    "code": "evaluate-measure",
    "base": "http://hl7.org/fhir/OperationDefinition/Measure-evaluate-measure",
    "resource": ["Measure"],
    "system": False,
    "type": True,
    "instance": True,
    "parameter": [
        _in("periodStart", "date", 1, "The first day; a month or a year means its first day."),
        _in("periodEnd", "date", 1, "The last day; a month or a year means its last day."),
        _in("measure", "string", 0, "The Measure by id or canonical; needed where the URL does not name it."),
        _in("reportType", "code", 0, "subject, subject-list or population (the default)."),
        _in("subject", "string", 0, "Patient/<id>, for a report on one child."),
        _in("reporter", "string", 0, "Organization/<id> or ODS code of a hospital; without it all hospitals together."),
        {
            "name": "return",
            "use": "out",
            "min": 1,
            "max": "1",
            "documentation": "The report.",
            "type": "MeasureReport",
        },
    ],
}


def operations(store: Store) -> list[Operation]:
    """The operations of this room."""

    async def handler(access: Access, request: OperationRequest) -> dict[str, Any] | bytes:
        measure = request.value("measure")
        if request.level == "instance":
            if measure is not None:
                raise BadRequest("The URL names the measure already: leave out the parameter 'measure'.")
            measure = request.id
        if not measure:
            raise BadRequest("Which measure? Give the parameter 'measure', or call the operation on one.")
        found = await evaluate(
            store,
            access,
            str(measure),
            str(request.value("periodStart")),
            str(request.value("periodEnd")),
            reporter=_text(request.value("reporter")),
            report_type=request.value("reportType") or "population",
            subject=_text(request.value("subject")),
        )
        if request.method != "POST" or found["type"] != "summary":
            return found
        if not access.may_write:
            raise Forbidden("You may not keep a report: ask with GET.")
        return (await publishing.keep(store, access, found)).raw

    return [Operation(DEFINITION, handler)]


def _text(value: Any) -> str | None:
    if value is None:
        return None
    return str(value.get("reference", "")) if isinstance(value, dict) else str(value)

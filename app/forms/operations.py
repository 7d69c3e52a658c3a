"""`Questionnaire/$populate` and `QuestionnaireResponse/$extract`, as the SDC guide defines them.

Neither stores anything. A questionnaire is taken from the call, else from the store, else from those that are shipped; what is read
from the store is read as the caller, so nothing shows in a form that the caller could not see elsewhere.
"""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from app.content import PROFILES
from app.fhir import codec
from app.fhir.errors import BadRequest, Invalid, Issue, NotFound, operation_outcome
from app.fhir.operations import Operation, OperationRequest
from app.fhir.search.types import Match, Param, Plan, UriValue
from app.forms.extraction import extract
from app.forms.populate import populate
from app.forms.validation import validate_response
from app.security.access import Access
from app.security.scopes import require
from app.store.protocol import Store


def operations(store: Store) -> list[Operation]:
    """Both operations, on `store`."""
    forms = FormOperations(store)
    return [Operation(_POPULATE, forms.populate), Operation(_EXTRACT, forms.extract)]


class FormOperations:
    """The handlers."""

    def __init__(self, store: Store) -> None:
        self.store = store

    async def populate(self, access: Access, request: OperationRequest) -> Mapping[str, Any]:
        """A Parameters with `response`, and `issues` where something could not be filled in."""
        questionnaire = await self.questionnaire(access, request, request.value("canonical") or request.value("questionnaireRef"))
        launch = {name: await self.content(access, value) for name, value in self.contexts(request)}
        if subject := request.value("subject"):
            launch.setdefault("patient", await self.content(access, subject))
        issues: list[Issue] = []
        response = populate(questionnaire, launch, issues=issues)
        if reference := (request.value("subject") or {}).get("reference"):
            response["subject"] = {"reference": reference}
        parts = [{"name": "response", "resource": response}]
        return {"resourceType": "Parameters", "parameter": [*parts, *_issues(issues)]}

    async def extract(self, access: Access, request: OperationRequest) -> Mapping[str, Any]:
        """A Parameters with `return`, a transaction Bundle. Raises Invalid where the response does not answer its questionnaire."""
        if request.id:
            require(access, "QuestionnaireResponse", "r")
            response = (await self.store.read(access, "QuestionnaireResponse", request.id)).resource
        else:
            response = request.value("questionnaire-response")
        if not isinstance(response, dict):
            raise BadRequest("$extract needs a 'questionnaire-response'.", expression="Parameters.parameter")
        questionnaire = await self.questionnaire(access, request, response.get("questionnaire"))
        issues = validate_response(questionnaire, response)
        if errors := [issue for issue in issues if issue.severity in ("error", "fatal")]:
            raise Invalid(issues=errors)
        bundle = extract(questionnaire, response)
        return {"resourceType": "Parameters", "parameter": [{"name": "return", "resource": bundle}, *_issues(issues)]}

    @staticmethod
    def contexts(request: OperationRequest) -> list[tuple[str, Any]]:
        """The `context` parameters: a name and a content each."""
        found: list[tuple[str, Any]] = []
        for parts in request.values("context"):
            named = {
                part.get("name"): part.get("resource") or next((v for k, v in part.items() if k.startswith("value")), None)
                for part in parts
            }
            name, content = named.get("name"), named.get("content")
            if not isinstance(name, str) or content is None:
                raise BadRequest("A 'context' has a name and a content.", expression="Parameters.parameter.part")
            found.append((name, content))
        return found

    async def content(self, access: Access, value: Any) -> Any:
        """A resource, or what a reference leads to."""
        reference = value.get("reference") if isinstance(value, dict) and "resourceType" not in value else None
        if reference is None:
            return value
        type_, _, id_ = str(reference).partition("/")
        require(access, type_, "r")
        return (await self.store.read(access, type_, id_.split("/")[0])).resource

    async def questionnaire(self, access: Access, request: OperationRequest, named: Any) -> dict[str, Any]:
        """From the call, by id, or by canonical. Raises BadRequest, NotFound."""
        given = request.value("questionnaire")
        if isinstance(given, dict):
            return given
        if request.type == "Questionnaire" and request.id:
            return (await self.store.read(access, "Questionnaire", request.id)).resource
        if isinstance(named, dict) and "reference" in named:
            resource: dict[str, Any] = await self.content(access, named)
            return resource
        if not isinstance(named, str):
            raise BadRequest("Name the questionnaire: by canonical, by reference, or send it.", expression="Parameters.parameter")
        url, _, version = named.partition("|")
        stored = await self.store.search(access, Plan(("Questionnaire",), (Match(Param("url", "uri"), (UriValue(url),)),)))
        for candidate in [*(match.resource for match in stored.matches), *([shipped()[url]] if url in shipped() else [])]:
            if not version or candidate.get("version") == version:
                return candidate
        raise NotFound(f"There is no Questionnaire {named[:200]} here.")


@cache
def shipped() -> dict[str, dict[str, Any]]:
    """The shipped questionnaires by their canonical URL."""
    read = (codec.decode(path.read_bytes()) for path in sorted((PROFILES / "questionnaires").glob("*.json")))
    return {str(resource["url"]): resource for resource in read if resource.get("resourceType") == "Questionnaire"}


def _issues(issues: list[Issue]) -> list[dict[str, Any]]:
    return [{"name": "issues", "resource": operation_outcome(issues)}] if issues else []


def _definition(text: str) -> dict[str, Any]:
    definition: dict[str, Any] = json.loads(text)
    return {
        "resourceType": "OperationDefinition",
        "status": "active",
        "kind": "operation",
        "system": False,
        "affectsState": False,
        **definition,
    }


_POPULATE = _definition("""{
  "id": "populate", "url": "http://hl7.org/fhir/uv/sdc/OperationDefinition/Questionnaire-populate", "name": "PopulateQuestionnaire", "code": "populate",
  "resource": ["Questionnaire"], "type": true, "instance": true,
  "description": "A response to the questionnaire, filled in with what is known of the subject.",
  "parameter": [
    {"name": "canonical", "use": "in", "min": 0, "max": "1", "type": "uri"},
    {"name": "questionnaire", "use": "in", "min": 0, "max": "1", "type": "Questionnaire"},
    {"name": "questionnaireRef", "use": "in", "min": 0, "max": "1", "type": "Reference"},
    {"name": "subject", "use": "in", "min": 0, "max": "1", "type": "Reference"},
    {"name": "context", "use": "in", "min": 0, "max": "*", "part": [
      {"name": "name", "use": "in", "min": 1, "max": "1", "type": "string"},
      {"name": "content", "use": "in", "min": 1, "max": "*", "type": "Any"}]},
    {"name": "local", "use": "in", "min": 0, "max": "1", "type": "boolean"},
    {"name": "response", "use": "out", "min": 1, "max": "1", "type": "QuestionnaireResponse"},
    {"name": "issues", "use": "out", "min": 0, "max": "1", "type": "OperationOutcome"}]
}""")
_EXTRACT = _definition("""{
  "id": "extract", "url": "http://hl7.org/fhir/uv/sdc/OperationDefinition/QuestionnaireResponse-extract", "name": "ExtractQuestionnaireResponse",
  "code": "extract", "resource": ["QuestionnaireResponse"], "type": true, "instance": true,
  "description": "The resources that a completed response stands for, as a transaction. Nothing is stored.",
  "parameter": [
    {"name": "questionnaire-response", "use": "in", "min": 0, "max": "1", "type": "QuestionnaireResponse"},
    {"name": "questionnaire", "use": "in", "min": 0, "max": "1", "type": "Questionnaire"},
    {"name": "return", "use": "out", "min": 1, "max": "1", "type": "Bundle"},
    {"name": "issues", "use": "out", "min": 0, "max": "1", "type": "OperationOutcome"}]
}""")

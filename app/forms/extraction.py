"""SDC extract: the resources that a completed response stands for.

Two ways, which may be mixed in one questionnaire: templates (contained resources named by `templateExtract` or
`templateExtractBundle`) and observations (`observationExtract` on coded questions). Nothing is stored here. Ids are derived from the
response's id, the template and the repetition, so that extracting the same response again gives the same full URLs.
"""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app import clock
from app.fhir.errors import BusinessRule, Invalid
from app.fhir.fhirpath import compile as fhirpath
from app.forms.enablement import without_disabled
from app.forms.items import SDC, Form, Item, answer_value, children_of, extension, extensions, form, part
from app.forms.template import Filler, prepare

_TEMPLATE = f"{SDC}sdc-questionnaire-templateExtract"
_BUNDLE = f"{SDC}sdc-questionnaire-templateExtractBundle"
_ALLOCATE = f"{SDC}sdc-questionnaire-extractAllocateId"
_OBSERVATION = f"{SDC}sdc-questionnaire-observationExtract"
_CATEGORY = f"{SDC}sdc-questionnaire-observation-extract-category"
_VARIABLE = "http://hl7.org/fhir/StructureDefinition/variable"
_UNIT = "http://hl7.org/fhir/StructureDefinition/questionnaire-unit"
_SPACE = uuid.UUID("a1b5c4de-4f0f-5c2c-9a57-6a0c1d1d52a4")


@dataclass(frozen=True, slots=True)
class Extracted:
    """One resource, where it came from (`source`: the template's id, or the linkId of a question), and how it wants to be stored."""

    source: str
    full_url: str
    resource: dict[str, Any]
    request: Mapping[str, Any]


def extract(
    questionnaire: Mapping[str, Any], response: Mapping[str, Any], *, context: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """A transaction Bundle of what `response` stands for; see `resources`."""
    entries = [
        {"fullUrl": made.full_url, "resource": made.resource, "request": dict(made.request)}
        for made in resources(questionnaire, response, context=context)
    ]
    return {"resourceType": "Bundle", "type": "transaction", **({"entry": entries} if entries else {})}


def resources(
    questionnaire: Mapping[str, Any], response: Mapping[str, Any], *, context: Mapping[str, Any] | None = None
) -> list[Extracted]:
    """The same as a list. `context` holds further FHIRPath variables (`%patient`, `%case`, ...).

    Raises BusinessRule unless the response is completed or amended, Invalid where a template cannot be filled, and whatever an
    expression of the questionnaire raises.
    """
    if response.get("status") not in ("completed", "amended"):
        raise BusinessRule("Only a completed or amended response can be extracted.", expression="QuestionnaireResponse.status")
    return _Extraction(form(questionnaire), without_disabled(questionnaire, response), context or {}).run()


class _Extraction:
    def __init__(self, form: Form, response: dict[str, Any], context: Mapping[str, Any]) -> None:
        self.form, self.response = form, response
        self.contained = {str(entry.get("id")): entry for entry in form.questionnaire.get("contained") or ()}
        self.variables: dict[str, Any] = {"questionnaire": form.questionnaire, "resource": response, **context}
        self.key = str(response.get("id") or uuid.uuid4())
        self.made: list[Extracted] = []

    def full_url(self, name: str, *parts: str) -> str:
        return f"urn:uuid:{uuid.uuid5(_SPACE, '/'.join([self.key, name, *parts]))}"

    def run(self) -> list[Extracted]:
        for declared in extensions(self.form.questionnaire, _VARIABLE):
            expression = str(declared.get("expression", ""))
            results = fhirpath(expression).evaluate(self.response, variables=self.variables, root=self.response)
            self.variables[str(declared.get("name"))] = results
        root = self.allocated(self.form.questionnaire, self.variables, "")
        for template in extensions(self.form.questionnaire, _TEMPLATE):
            self.template(template, self.response, root, "")
        for reference in extensions(self.form.questionnaire, _BUNDLE):
            self.bundle(reference, root)
        self.level(self.form.roots, self.response, root, "")
        return self.made

    def allocated(self, element: Mapping[str, Any], known: Mapping[str, Any], path: str) -> dict[str, Any]:
        """`known` with the ids that `element` allocates, one set for each repetition."""
        return {**known, **{str(name): self.full_url(str(name), path) for name in extensions(element, _ALLOCATE)}}

    def level(self, items: Sequence[Item], entry: Mapping[str, Any], variables: Mapping[str, Any], path: str) -> None:
        below: dict[str, list[Mapping[str, Any]]] = {}
        for child in children_of(entry):
            below.setdefault(str(child.get("linkId", "")), []).append(child)
        for item in items:
            for number, child in enumerate(below.get(item.link_id, ())):
                here = f"{path}/{item.link_id}:{number}"
                own = self.allocated(item.json, variables, here) if _ALLOCATE in item.urls else variables
                for template in extensions(item.json, _TEMPLATE) if _TEMPLATE in item.urls else ():
                    for repetition, focus in enumerate(_repetitions(item, child)):
                        self.template(template, focus, own, f"{here}.{repetition}")
                self.observe(item, child, here)
                self.level(item.children, child, own, here)

    def evaluator(self, variables: Mapping[str, Any]) -> Callable[[str, Any], list[Any]]:
        def evaluate(expression: str, focus: Any) -> list[Any]:
            return fhirpath(expression).evaluate(focus, variables=variables, root=self.response)

        return evaluate

    def template(self, entry: Mapping[str, Any], focus: Mapping[str, Any], variables: Mapping[str, Any], path: str) -> None:
        """The resources from the template that `entry` (a templateExtract extension) names."""
        source = self.named(part(entry, "template"))
        evaluate = self.evaluator(variables)

        def said(name: str) -> str | None:
            results = evaluate(str(part(entry, name)), focus) if part(entry, name) else []
            return str(results[0]) if results else None

        conditions = {
            name: value for name in ("ifNoneMatch", "ifModifiedSince", "ifMatch", "ifNoneExist") if (value := said(name))
        }
        id_, url = said("resourceId"), said("fullUrl")
        for number, resource in enumerate(self.filler(source)(focus, evaluate)):
            if id_:
                resource["id"] = id_
            own = url if url and not number else self.full_url(source, path, str(number))
            self.add(source, own, resource, conditions)

    def filler(self, source: str) -> Filler:
        known = self.form.fillers.get(source)
        if known is None:
            known = self.form.fillers[source] = prepare(self.contained[source])
        return known

    def named(self, reference: Any) -> str:
        name = str((reference or {}).get("reference", "")).removeprefix("#")
        if name not in self.contained:
            raise Invalid(
                f"The questionnaire names the template #{name} and does not contain it.", expression="Questionnaire.contained"
            )
        return name

    def bundle(self, reference: Mapping[str, Any], variables: Mapping[str, Any]) -> None:
        """All entries of a template that is a whole Bundle."""
        source = self.named(reference)
        bundles = self.filler(source)(self.response, self.evaluator(variables))
        for number, entry in enumerate(entry for bundle in bundles for entry in bundle.get("entry") or ()):
            resource = entry.get("resource") or {}
            url = entry.get("fullUrl") or self.full_url(source, str(number))
            given = {key: value for key, value in (entry.get("request") or {}).items() if key not in ("method", "url")}
            self.add(source, url, resource, given)

    def add(self, source: str, url: str, resource: dict[str, Any], conditions: Mapping[str, Any]) -> None:
        ordered = {"resourceType": resource["resourceType"], **resource}
        method, target = (
            ("PUT", f"{resource['resourceType']}/{resource['id']}") if "id" in resource else ("POST", resource["resourceType"])
        )
        self.made.append(Extracted(source, url, ordered, {"method": method, "url": target, **conditions}))

    def observe(self, item: Item, entry: Mapping[str, Any], path: str) -> None:
        """One Observation for each answer of a question that asks for it."""
        codes = item.json.get("code") or ()
        if item.type == "group" or not codes:
            return
        marked = [code for code in codes if extension(code, _OBSERVATION)]
        flags = (extension(at.json, _OBSERVATION) for at in (item, *item.ancestors()) if _OBSERVATION in at.urls)
        wanted = next((flag for flag in flags if flag is not None), None)
        if wanted is None:
            wanted = extension(self.form.questionnaire, _OBSERVATION)
        if not (marked or wanted):
            return
        for number, answer in enumerate(entry.get("answer") or ()):
            key, value = answer_value(answer)
            observation = self.observation(item, marked or codes, key, value)
            if observation:
                self.add(item.link_id, self.full_url("observation", path, str(number)), observation, {})

    def observation(self, item: Item, codes: Sequence[Mapping[str, Any]], key: str, value: Any) -> dict[str, Any] | None:
        unit = extension(item.json, _UNIT)
        if key in ("valueDecimal", "valueInteger") and isinstance(unit, Mapping):
            quantity = {"value": value, "unit": unit.get("display"), "system": unit.get("system"), "code": unit.get("code")}
            key, value = "valueQuantity", {name: given for name, given in quantity.items() if given is not None}
        elif key == "valueDecimal":
            key, value = "valueQuantity", {"value": value}
        elif key == "valueCoding":
            key, value = "valueCodeableConcept", {"coding": [value]}
        elif key == "valueDate":
            key = "valueDateTime"
        elif key in ("valueUri", "valueAttachment", "valueReference", ""):
            return None
        authored = self.response.get("authored") or clock.now().isoformat(timespec="seconds")
        categories = [{"coding": category["coding"]} for category in extensions(item.json, _CATEGORY) if category.get("coding")]
        observation: dict[str, Any] = {
            "resourceType": "Observation",
            "status": "final",
            **({"category": categories} if categories else {}),
            "code": {"coding": [{name: given for name, given in code.items() if name != "extension"} for code in codes]},
            **{name: self.response[name] for name in ("subject", "encounter") if name in self.response},
            "effectiveDateTime": authored,
            **({"issued": authored} if len(authored) > 10 else {}),
            **({"performer": [self.response["author"]]} if "author" in self.response else {}),
            key: value,
        }
        if "id" in self.response:
            observation["derivedFrom"] = [{"reference": f"QuestionnaireResponse/{self.response['id']}"}]
        return observation


def _repetitions(item: Item, entry: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """What a template on `item` is filled from: the response item, or for a question that repeats, it with one answer at a time."""
    if item.type == "group" or not item.repeats:
        return [entry]
    return [{**entry, "answer": [answer]} for answer in entry.get("answer") or ()]

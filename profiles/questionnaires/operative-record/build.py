"""Makes the Questionnaires of the operative records, and the code system of their answers, from the short sources beside it.

    python profiles/questionnaires/operative-record/build.py

A clinician changes a source (`common-*.json`, one file a condition, `templates.json`), raises its version, and runs this; a test holds
product and source together. README.md explains the short form. Uses the standard library alone.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
CSOR = "https://csor.example.org"
SYSTEMS = {
    "answer": f"{CSOR}/CodeSystem/operative-record",
    "child-factor": f"{CSOR}/CodeSystem/child-factor",
    "opcs-4": "https://fhir.hl7.org.uk/Id/opcs-4",
}
CORE = "http://hl7.org/fhir/StructureDefinition/"
SDC = "http://hl7.org/fhir/uv/sdc/StructureDefinition/"
LOINC = "http://loinc.org"
DATE = "2026-11-23"
CAVEAT = (
    "The questions are a demonstration, drawn from public sources (see README.md beside the sources); they are not the CSOR programme's own operative "
    "records, which are not public."
)
LISTS: dict[str, list[list[str]]] = {"yes-no-unknown": [["yes", "Yes"], ["no", "No"], ["unknown", "Not known"]]}
COMMON = ("common-before", "common-findings", "common-after", "templates")
OTHER = ["other", "Another procedure"]


def read(name: str) -> Any:
    """A source file."""
    return json.loads((HERE / f"{name}.json").read_text())


class Builder:
    """One Questionnaire."""

    def __init__(self, source: dict[str, Any]) -> None:
        self.source = source
        self.items: dict[str, dict[str, Any]] = {}
        self.paths: dict[str, str] = {}
        self.sections = [*read("common-before"), *self.findings(), *read("common-after")]
        self.index(self.sections, "%resource")

    def findings(self) -> list[dict[str, Any]]:
        return [{"id": "findings", "text": "What was found and done", "items": [*read("common-findings"), *self.source["items"]]}]

    def index(self, items: list[dict[str, Any]], path: str) -> None:
        for item in items:
            if item["id"] in self.items:
                raise SystemExit(f"{self.source['condition']}: two items are called {item['id']}.")
            here = f"{path}.item.where(linkId = '{item['id']}')"
            self.items[item["id"]], self.paths[item["id"]] = item, here
            self.index(item.get("items", []), here)

    def expression(self, text: str) -> str:
        """`{link}` stands for the answer of that item."""
        return re.sub(r"\{([a-z-]+)\}", lambda found: f"{self.paths[found[1]]}.answer.value", text)

    def short(self, text: str) -> str:
        """The same by way of the variables, which are worked out once for all templates."""
        long = self.expression(text)
        for section in self.sections:
            long = long.replace(self.paths[section["id"]], f"%{section['id']}")
        return long

    def words(self, text: str) -> str:
        name = self.source["name"]
        return text.replace("{condition}", name).replace("{Condition}", name[0].upper() + name[1:])

    # ---- items

    def options(self, item: dict[str, Any]) -> list[dict[str, Any]]:
        """Each option as `answerOption`."""
        wanted, procedures = item["options"], self.source["procedures"]
        coded = [{"system": SYSTEMS["opcs-4"], "code": code, "display": display} for code, display in procedures]
        if wanted == "procedures":
            return [{"valueCoding": coding} for coding in [*coded, self.coding(OTHER, "answer")]]
        if wanted == "additional":
            return [{"valueCoding": coding} for coding in coded]
        listed = (LISTS | self.source.get("option-lists", {}))[wanted] if isinstance(wanted, str) else wanted
        made = []
        for option in listed:
            alone = (
                {"extension": [{"url": f"{CORE}questionnaire-optionExclusive", "valueBoolean": True}]}
                if "alone" in option[2:]
                else {}
            )
            made.append({**alone, "valueCoding": self.coding(option, item.get("system", "answer"))})
        return made

    @staticmethod
    def coding(option: list[str], system: str) -> dict[str, str]:
        return {"system": SYSTEMS[system], "code": option[0], "display": option[1]}

    def condition(self, text: str) -> dict[str, Any]:
        """`question=answer` or `question exists`, as `enableWhen`."""
        if text.endswith(" exists"):
            return {"question": text.removesuffix(" exists"), "operator": "exists", "answerBoolean": True}
        question, _, answer = text.partition("=")
        asked = self.items[question]
        if asked.get("type") == "boolean":
            return {"question": question, "operator": "=", "answerBoolean": answer == "true"}
        found = next(o["valueCoding"] for o in self.options(asked) if o["valueCoding"]["code"] == answer)
        return {"question": question, "operator": "=", "answerCoding": {key: found[key] for key in ("system", "code")}}

    def extensions(self, item: dict[str, Any]) -> list[dict[str, Any]]:
        made: list[dict[str, Any]] = []
        kind = "valueDecimal" if item.get("type") == "decimal" else "valueInteger"
        if "short" in item:
            made.append({"url": f"{SDC}sdc-questionnaire-shortText", "valueString": item["short"]})
        for name in ("min", "max"):
            if name in item:
                made.append({"url": f"{CORE}{name}Value", kind: item[name]})
        if "places" in item:
            made.append({"url": f"{CORE}maxDecimalPlaces", "valueInteger": item["places"]})
        if "unit" in item:
            code, display = item["unit"]
            coding = {"system": "http://unitsofmeasure.org", "code": code, "display": display}
            made.append({"url": f"{CORE}questionnaire-unit", "valueCoding": coding})
        if prefill := item.get("prefill", KNOWN_SEVERITY if item["id"] == self.source["severity-item"] else ""):
            expression = {"language": "text/fhirpath", "expression": self.words(prefill)}
            made.append({"url": f"{SDC}sdc-questionnaire-initialExpression", "valueExpression": expression})
        template = self.template_of(item["id"])
        if template:
            made.append(extract(template))
        return made

    def template_of(self, link: str) -> str | None:
        """The template that is filled from this item."""
        if link == "additional-procedure":
            return "additional"
        if link == self.source["severity-item"]:
            return "severity"
        return link if link in FACTORS else None

    def item(self, item: dict[str, Any], prefix: str = "") -> dict[str, Any]:
        type_ = "group" if "items" in item else item.get("type", "choice")
        made: dict[str, Any] = {}
        if extensions := self.extensions(item):
            made["extension"] = extensions
        made["linkId"] = item["id"]
        if item["text"]:
            made["text"] = self.words(item["text"])
        made["type"] = type_
        if "when" in item:
            conditions = [item["when"]] if isinstance(item["when"], str) else item["when"]
            made["enableWhen"] = [self.condition(text) for text in conditions]
            if len(conditions) > 1:
                made["enableBehavior"] = "any"
        # a group with a required question is required itself: a question in a group that is left out is not asked
        if item.get("required") or any(child.get("required") for child in item.get("items", [])):
            made["required"] = True
        if item.get("many"):
            made["repeats"] = True
        if "max-length" in item:
            made["maxLength"] = item["max-length"]
        if "options" in item:
            made["answerOption"] = self.options(item)
        below = [self.item(child) for child in item.get("items", [])]
        if "hint" in item:
            below.insert(0, hint(item["id"], self.words(item["hint"])))
        if below:
            made["item"] = below
        return made

    # ---- templates

    def filled(self, value: Any, concept: dict[str, Any]) -> Any:
        """A template of templates.json in FHIR's own form."""
        if isinstance(value, list):
            return [self.filled(entry, concept) for entry in value]
        if not isinstance(value, dict):
            return concept if value == "$condition" else self.complex(value)
        made: dict[str, Any] = {}
        for name, entry in value.items():
            if name == "for":
                made["extension"] = [{"url": f"{SDC}sdc-questionnaire-templateExtractContext", "valueString": self.short(entry)}]
            elif isinstance(entry, str) and entry.startswith("="):
                made[f"_{name}"] = extract_value(self.short(entry[1:]))
            else:
                made[name] = self.filled(entry, concept)
        return made

    def complex(self, value: Any) -> Any:
        return extract_value(self.short(value[1:])) if isinstance(value, str) and value.startswith("@") else value

    def contained(self) -> list[dict[str, Any]]:
        snomed = json.loads((ROOT / "terminology" / "condition-snomed.json").read_text())["group"][0]
        target = next(e["target"][0] for e in snomed["element"] if e["code"] == self.source["condition"])
        text = self.source["name"][0].upper() + self.source["name"][1:]
        concept = {
            "coding": [
                {"system": f"{CSOR}/CodeSystem/condition", "code": self.source["condition"], "display": text},
                {"system": snomed["target"], "code": target["code"], "display": target["display"]},
            ],
            "text": text,
        }
        factors = [observation(link, value) for link, value in FACTORS.items()]
        severity = observation(
            "severity",
            {"valueCodeableConcept": {"coding": [{"system": SYSTEMS["child-factor"], "code": f"={self.source['severity']}"}]}},
        )
        return [self.filled(template, concept) for template in [*read("templates"), *factors, severity]]

    def build(self) -> dict[str, Any]:
        """The Questionnaire."""
        source, name = self.source, f"operative-record-{self.source['condition']}"
        rules = [
            {
                "url": f"{CORE}questionnaire-constraint",
                "extension": [
                    {"url": "key", "valueId": rule["key"]},
                    {"url": "severity", "valueCode": rule.get("severity", "error")},
                    {"url": "expression", "valueString": self.expression(rule["expression"])},
                    {"url": "human", "valueString": rule["human"]},
                    {"url": "location", "valueString": rule["at"]},
                ],
            }
            for rule in [*RULES, *source.get("rules", [])]
        ]
        launch = [
            {
                "url": f"{SDC}sdc-questionnaire-launchContext",
                "extension": [
                    {
                        "url": "name",
                        "valueCoding": {"system": "http://hl7.org/fhir/uv/sdc/CodeSystem/launchContext", "code": code},
                    },
                    {"url": "type", "valueCode": type_},
                ],
            }
            for code, type_ in (("patient", "Patient"), ("encounter", "Encounter"), ("user", "Practitioner"))
        ]
        named = {section["id"]: self.paths[section["id"]] for section in self.sections} | {
            "performed": self.expression("{performed}")
        }
        variables = [
            {"url": f"{CORE}variable", "valueExpression": {"name": name, "language": "text/fhirpath", "expression": expression}}
            for name, expression in named.items()
        ]
        allocate = [{"url": f"{SDC}sdc-questionnaire-extractAllocateId", "valueString": "NewCondition"}]
        return {
            "resourceType": "Questionnaire",
            "id": name,
            "contained": self.contained(),
            "extension": [
                *launch,
                *variables,
                *allocate,
                *rules,
                extract("condition", "%NewCondition"),
                extract("case"),
                extract("procedure"),
            ],
            "url": f"{CSOR}/Questionnaire/{name}",
            "version": source["version"],
            "name": "OperativeRecord" + "".join(word.capitalize() for word in source["condition"].split("-")),
            "title": source["title"],
            "status": "active",
            "experimental": True,
            "subjectType": ["Patient"],
            "date": DATE,
            "description": f"What a surgeon records of an operation for {source['name']}. {CAVEAT}",
            "code": [{"system": f"{CSOR}/CodeSystem/condition", "code": source["condition"]}],
            "item": [self.item(section) for section in self.sections],
        }


# ---- small parts


def hint(link: str, text: str) -> dict[str, Any]:
    category = {"coding": [{"system": "http://hl7.org/fhir/questionnaire-display-category", "code": "instructions"}]}
    return {
        "extension": [{"url": f"{CORE}questionnaire-displayCategory", "valueCodeableConcept": category}],
        "linkId": f"{link}-hint",
        "text": text,
        "type": "display",
    }


def extract(template: str, full_url: str | None = None) -> dict[str, Any]:
    parts: list[dict[str, Any]] = [{"url": "template", "valueReference": {"reference": f"#{template}"}}]
    if full_url:
        parts.append({"url": "fullUrl", "valueString": full_url})
    return {"url": f"{SDC}sdc-questionnaire-templateExtract", "extension": parts}


def extract_value(expression: str) -> dict[str, Any]:
    return {"extension": [{"url": f"{SDC}sdc-questionnaire-templateExtractValue", "valueString": expression}]}


def quantity(unit: str, code: str) -> dict[str, Any]:
    return {"valueQuantity": {"value": "=answer.value", "unit": unit, "system": "http://unitsofmeasure.org", "code": code}}


KNOWN_SEVERITY = "%observations.where(code.coding.where(code = 'severity').exists()).value.coding.code.last()"
# Not known is not said: no Observation.
YES_NO = {"for": "answer.value.where(code != 'unknown')", "valueBoolean": "=(code = 'yes')"}
FACTORS: dict[str, dict[str, Any]] = {
    "gestation": quantity("weeks", "wk"),
    "birth-weight": quantity("g", "g"),
    "antenatal-diagnosis": YES_NO,
    "major-cardiac-anomaly": YES_NO,
    "chromosomal-anomaly": YES_NO,
    "other-anomaly": YES_NO,
}
ALSO = {"gestation": ("11884-4", "Gestational age Estimated"), "birth-weight": ("8339-4", "Birth weight Measured")}
RULES: list[dict[str, Any]] = [
    {
        "key": f"{link}-known",
        "at": link,
        "human": f"Enter the {link.replace('-', ' ')}, or tick that it is not known.",
        "expression": f"({{first-operation}} = true or {{record-child}} = true) implies ({{{link}}}.exists() or {{birth-unknown}}.code contains '{link}-unknown')",
    }
    for link in ("gestation", "birth-weight")
]


def observation(link: str, value: dict[str, Any]) -> dict[str, Any]:
    """The template of one child factor."""
    codings = [{"system": SYSTEMS["child-factor"], "code": link}]
    if link in ALSO:
        codings.append({"system": LOINC, "code": ALSO[link][0], "display": ALSO[link][1]})
    return {
        "resourceType": "Observation",
        "id": link,
        "status": "final",
        "code": {"coding": codings},
        "subject": "@%resource.subject",
        "encounter": "@%resource.encounter",
        "effectiveDateTime": "=%performed",
        "performer": ["@%resource.author"],
        **value,
        "derivedFrom": [{"for": "%resource.id", "reference": "='QuestionnaireResponse/' + $this"}],
    }


def code_system(questionnaires: list[dict[str, Any]]) -> dict[str, Any]:
    """Every answer that is the project's own, once. Fails where one code means two things."""
    codes: dict[str, str] = {}

    def gather(items: list[dict[str, Any]]) -> None:
        for item in items:
            for option in item.get("answerOption", []):
                coding = option["valueCoding"]
                if (
                    coding["system"] == SYSTEMS["answer"]
                    and codes.setdefault(coding["code"], coding["display"]) != coding["display"]
                ):
                    raise SystemExit(f"The code {coding['code']} means both “{codes[coding['code']]}” and “{coding['display']}”.")
            gather(item.get("item", []))

    for questionnaire in questionnaires:
        gather(questionnaire["item"])
    return {
        "resourceType": "CodeSystem",
        "id": "operative-record",
        "url": SYSTEMS["answer"],
        "version": "0.1.0",
        "name": "OperativeRecordAnswer",
        "title": "Answers of the operative records",
        "status": "draft",
        "experimental": True,
        "date": DATE,
        "description": f"Generated from the operative records' questionnaires. {CAVEAT}",
        "caseSensitive": True,
        "content": "complete",
        "concept": [{"code": code, "display": display} for code, display in sorted(codes.items())],
    }


def products() -> dict[Path, bytes]:
    """Every file that is made, with its content."""
    names = sorted(path.stem for path in HERE.glob("*.json") if path.stem not in COMMON)
    questionnaires = [Builder(read(name)).build() for name in names]
    files = {HERE.parent / f"{questionnaire['id']}.json": questionnaire for questionnaire in questionnaires}
    files[ROOT / "terminology" / "operative-record.json"] = code_system(questionnaires)
    return {path: (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode() for path, content in files.items()}


if __name__ == "__main__":
    for path, content in products().items():
        path.write_bytes(content)
        sys.stdout.write(f"{path.relative_to(ROOT)}: {len(content)} bytes\n")

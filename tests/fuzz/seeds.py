"""What the fuzzer starts from: well-formed input for each door, from this repository and (where given) the official examples."""

import json
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlencode

from app.content import PROFILES
from app.fhir import codec, xml
from app.fhir.definitions import r4
from app.fhir.errors import FHIRError
from app.forms.entry import respond
from tests.fuzz.targets import PATIENT
from tests.intake.hl7v2 import messages

MAX_SEED = 6_000

QUERIES = [
    b"name=x&birthdate=ge2020-01-01&_sort=-birthdate,name&_count=3",
    b"identifier=urn:x|1,|2&gender:not=male&_include=Patient:organization&_revinclude:iterate=Observation:subject",
    b"_has:Observation:patient:code=http://loinc.org|1-1&general-practitioner:Practitioner.name=x",
    b"code-value-quantity=http://loinc.org|29463-7$gt3.4||kg&date=ap2020&value-quantity=5.4|http://unitsofmeasure.org|mg",
    b"_id=1,2&_lastUpdated=gt2020-01-01T00:00:00Z&_summary=count&_total=accurate&_elements=id,name",
    b"subject:identifier=urn:x|1&identifier:of-type=http://t|MR|1&code:text=abc&status:missing=true",
]
EXPRESSIONS = [
    "Patient.name.where(use = 'official').given.first() & 'x'",
    "identifier.select(system | value).count() > 2 implies active.not()",
    "(birthDate + 1 year).toString().matches('^[0-9-]+$') and today() > @2020-01-01",
    "repeat(contact | name).ofType(HumanName).all(family.exists() or text.length() > 1)",
    "iif(multipleBirth is integer, (4 'mg' * 2).value, 1.5 div 0).round(2)",
    "name.given.aggregate($total & $this, '').replace('a', 'b').encode('base64').split('=').join(',')",
    "managingOrganization.resolve().name.trace('x').upper().indexOf('O').power(2).sqrt().lowBoundary(3)",
    "extension('http://x').value.toQuantity('g') ~ 0.0015 'g'",
]
QUESTIONNAIRE: dict[str, Any] = {
    "resourceType": "Questionnaire",
    "status": "active",
    "url": "http://x/q",
    "item": [
        {
            "linkId": "g",
            "type": "group",
            "repeats": True,
            "item": [
                {"linkId": "a", "type": "integer", "required": True, "maxLength": 3},
                {
                    "linkId": "b",
                    "type": "choice",
                    "enableWhen": [{"question": "a", "operator": ">", "answerInteger": 3}],
                    "answerOption": [{"valueCoding": {"system": "urn:x", "code": "1"}}, {"valueString": "s"}],
                },
                {"linkId": "d", "type": "quantity", "extension": [{"url": "http://hl7.org/fhir/StructureDefinition/minValue", "valueInteger": 3}]},
            ],
        },
        {
            "linkId": "t",
            "type": "date",
            "enableBehavior": "any",
            "enableWhen": [
                {"question": "a", "operator": "exists", "answerBoolean": True},
                {"question": "b", "operator": "=", "answerCoding": {"code": "1"}},
            ],
            "extension": [{"url": "http://hl7.org/fhir/StructureDefinition/regex", "valueString": "^2"}],
        },
    ],
}  # fmt: skip
RESPONSE: dict[str, Any] = {
    "resourceType": "QuestionnaireResponse",
    "status": "completed",
    "questionnaire": "http://x/q",
    "item": [
        {
            "linkId": "g",
            "item": [
                {"linkId": "a", "answer": [{"valueInteger": 5}]},
                {"linkId": "b", "answer": [{"valueCoding": {"system": "urn:x", "code": "1"}}]},
                {"linkId": "d", "answer": [{"valueQuantity": {"value": 5, "unit": "kg"}}]},
            ],
        },
        {"linkId": "t", "answer": [{"valueDate": "2020-01-01"}]},
    ],
}
JSON_PATCHES = [
    [{"op": "test", "path": "/active", "value": True}, {"op": "replace", "path": "/name/0/family", "value": "B"}],
    [{"op": "add", "path": "/name/0/given/-", "value": "c"}, {"op": "move", "from": "/identifier/1", "path": "/identifier/0"}],
    [{"op": "copy", "from": "/name", "path": "/contact/0/~0x~1"}, {"op": "remove", "path": "/identifier/0"}],
]
FHIRPATH_PATCHES = [
    {"type": "add", "path": "Patient", "name": "telecom", "value": ("valueContactPoint", {"value": "1"})},
    {"type": "replace", "path": "Patient.name[0].family", "value": ("valueString", "B")},
    {"type": "delete", "path": "Patient.name.where(use = 'official').given.first()"},
    {"type": "insert", "path": "Patient.identifier", "index": 1, "value": ("valueIdentifier", {"value": "9"})},
    {"type": "move", "path": "Patient.identifier", "source": 1, "destination": 0},
    {"type": "add", "path": "Patient", "name": "contact", "value": ("part", [{"name": "gender", "valueCode": "male"}])},
]
XML_PATCHES = [
    b"""<diff><replace sel="Patient/birthDate/@value">2020-01-01</replace></diff>""",
    b"""<diff xmlns="http://hl7.org/fhir"><add sel="f:Patient/f:name[1]" pos="before"><telecom><value value="1"/></telecom></add></diff>""",
    b"""<diff xmlns:f="http://hl7.org/fhir"><remove sel="f:Patient/f:identifier[2]" ws="both"/></diff>""",
    b"""<diff xmlns="http://hl7.org/fhir"><add sel="*/name[family/@value='x']" type="@id">g</add><remove sel="//x/text()[1]"/></diff>""",
]


def _typed() -> dict[str, list[str]]:
    """What a surgeon types, field by field."""
    from app.web.operative_record.fields import typed
    from tests.forms.records import questionnaire, values

    form = questionnaire("gastroschisis")
    return typed(form, respond(form, values("gastroschisis")))


def _fhirpath_patch(parts: dict[str, Any]) -> dict[str, Any]:
    keys = {"index": "valueInteger", "source": "valueInteger", "destination": "valueInteger", "type": "valueCode"}
    named = []
    for name, value in parts.items():
        key, inner = value if isinstance(value, tuple) else (keys.get(name, "valueString"), value)
        named.append({"name": name, key: inner})
    return {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": named}]}


def seeds(examples: Path | None) -> dict[str, list[bytes]]:
    """By target."""
    resources = [codec.encode(PATIENT), codec.encode(QUESTIONNAIRE), codec.encode(RESPONSE)]
    resources += [path.read_bytes() for path in sorted(PROFILES.rglob("*.json"))]
    if examples is not None:
        paths = sorted(examples.rglob("*.json"))
        resources += [path.read_bytes() for path in Random(4).sample(paths, min(1500, len(paths)))]
    resources = [raw for raw in resources if len(raw) <= MAX_SEED]
    written = []
    for raw in resources:
        try:
            written.append(xml.encode(codec.decode(raw)))
        except FHIRError:
            continue
    rules = {rule.expression for name in r4().types for rule in r4().invariants(name)}
    searched = {each.expression for each in r4().search_parameters if each.expression}
    expressions = [text.encode() for text in [*EXPRESSIONS * 50, *sorted(rules), *sorted(searched)]]
    er7 = [
        messages.message("A01", messages.pid(), messages.pv1()),
        messages.result("OBR|1||X^1|1-1^x^LN", "OBX|1|NM|1-1^x^LN||5.4|mg|1-2|N|||F"),
        messages.message("A08", messages.pid(f5='""'), "NTE|1||a\\F\\b\\X41\\~x&y"),
    ]
    pair = json.dumps({"questionnaire": QUESTIONNAIRE, "response": RESPONSE}).encode()
    return {
        "json": resources,
        "ndjson": [b"\n".join(resources[at : at + 3]) for at in range(0, len(resources), 3)],
        "xml": written,
        "write-xml": resources,
        "validation": resources,
        "fhirpath": expressions,
        "query": QUERIES,
        "extraction": resources,
        "er7": er7,
        "batch": [b"FHS|^~\\&|A\rBHS|^~\\&|A\r" + b"".join(er7[:2]) + b"BTS|2\rFTS|1\r", b"MSH|^~\\&|A\rBTS"],
        "units": [b"mg/dL", b"10*9/L", b"mL/min/{1.73_m2}", b"k[iU]/(24.h)", b"[degF]", b"m2.kg-1/s2"],
        "posted": [urlencode(_typed(), doseq=True).encode()],
        "answers": [pair],
        "json-patch": [json.dumps(each).encode() for each in JSON_PATCHES],
        "fhirpath-patch": [json.dumps(_fhirpath_patch(each)).encode() for each in FHIRPATH_PATCHES],
        "xml-patch": XML_PATCHES,
    }

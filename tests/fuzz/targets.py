"""The doors. Each takes bytes and either answers or raises one of our own family; anything else is a finding.

A target imports what it needs when it is first called, so that one room under repair does not keep the others from being tried.
"""

import contextlib
import io
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

from app.fhir.errors import FHIRError

Target = Callable[[bytes], object]

PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "p",
    "active": True,
    "_active": {"extension": [{"url": "http://x", "valueQuantity": {"value": Decimal("1.50"), "unit": "mg", "code": "mg"}}]},
    "identifier": [{"system": "urn:x", "value": "1"}, {"value": "2"}],
    "name": [{"use": "official", "family": "Abé", "given": ["a", None, "b"], "_given": [None, {"id": "g"}]}],
    "birthDate": "2023-02-28",
    "multipleBirthInteger": 2,
    "contact": [{"name": {"text": "x"}, "gender": "male"}],
    "contained": [{"resourceType": "Organization", "id": "o", "name": "o"}],
    "managingOrganization": {"reference": "#o"},
}


def json(raw: bytes) -> None:
    """What is decoded is encoded to JSON that decodes to the same."""
    from app.fhir import codec

    value = codec.decode(raw)
    assert codec.decode(codec.encode(value)) == value, "JSON does not survive"


def ndjson(raw: bytes) -> None:
    from app.fhir import codec

    for _ in codec.decode_lines(io.BytesIO(raw), max_line=4096):
        pass


def xml(raw: bytes) -> None:
    """What is read and is valid is written to XML that reads as the same."""
    from app.fhir import codec
    from app.fhir import xml as fhir_xml
    from app.fhir.validation import validate

    value = fhir_xml.decode(raw)
    codec.encode(value)
    if not validate(value):
        assert fhir_xml.decode(fhir_xml.encode(value)) == value, "XML does not survive"


def write_xml(raw: bytes) -> None:
    from app.fhir import codec
    from app.fhir import xml as fhir_xml

    fhir_xml.encode(codec.decode(raw))


def validation(raw: bytes) -> None:
    from app.fhir import codec
    from app.fhir.validation import validate

    validate(codec.decode(raw))


def fhirpath(raw: bytes) -> None:
    from app.fhir.fhirpath import compile

    compile.__wrapped__(raw.decode("utf-8", "replace")).evaluate(PATIENT)


def query(raw: bytes) -> None:
    from app.fhir.search.query import parse

    pairs = parse_qsl(raw.decode("utf-8", "replace"), keep_blank_values=True)
    for kind in ("Patient", "Observation"):
        parse(kind, pairs, base_url="http://x/fhir")


def extraction(raw: bytes) -> None:
    """A valid resource is indexed, whatever is in it."""
    from app.fhir import codec
    from app.fhir.search.extract import extract
    from app.fhir.validation import validate

    resource = codec.decode(raw)
    if not validate(resource):
        extract(resource)


def er7(raw: bytes) -> None:
    """Zero loss, and every part can be asked for."""
    from app.intake.hl7v2.er7 import parse

    message = parse(raw)
    assert message.encode() == raw, "ER7 does not survive"
    for segment in message.segments[:50]:
        for field in range(min(len(segment.fields), 60)):
            for repeat in segment.repeats(field)[:20]:
                assert repeat.components, "a repetition without components"


def batch(raw: bytes) -> None:
    """Every message of a batch is a message or Malformed."""
    from app.intake.hl7v2.batch import split_batch
    from app.intake.hl7v2.er7 import parse

    messages, _ = split_batch(raw)
    for message in messages[:20]:
        with contextlib.suppress(FHIRError):
            assert parse(message).encode() == message, "ER7 does not survive"


def units(raw: bytes) -> None:
    from app.fhir import ucum

    code = raw.decode("utf-8", "replace")
    ucum.convert(5, code, "mg/dL")
    ucum.base_range(5.0, float("inf"), code)


def posted(raw: bytes) -> None:
    """What a browser posts for an operative record becomes a response and issues, whatever is in it."""
    from starlette.datastructures import FormData

    from app.forms import validate_response
    from app.web.operative_record import fields
    from tests.forms.records import questionnaire

    form = questionnaire("gastroschisis")
    pairs = parse_qsl(raw.decode("utf-8", "replace"), keep_blank_values=True)
    response, _ = fields.answered(form, fields.posted(form, FormData(pairs)), status="completed")
    validate_response(form, response)


def answers(raw: bytes) -> None:
    """A valid response is judged against its questionnaire, whatever is in either."""
    from app.fhir import codec
    from app.fhir.validation import validate
    from app.forms import validate_response

    both = codec.decode(raw)
    questionnaire, response = both.get("questionnaire"), both.get("response")
    if not isinstance(questionnaire, dict) or not isinstance(response, dict):
        return
    if questionnaire.get("resourceType") != "Questionnaire" or response.get("resourceType") != "QuestionnaireResponse":
        return
    if not validate(questionnaire) and not validate(response):
        validate_response(questionnaire, response)


def json_patch(raw: bytes) -> None:
    from app.fhir import codec
    from app.fhir.patch import json_patch as apply
    from app.fhir.patch import read_json_patch

    codec.encode(apply(PATIENT, read_json_patch(raw)))


def fhirpath_patch(raw: bytes) -> None:
    from app.fhir import codec
    from app.fhir.patch import fhirpath_patch as apply

    codec.encode(apply(PATIENT, codec.decode(raw)))


def xml_patch(raw: bytes) -> None:
    from app.fhir import codec
    from app.fhir.patch import xml_patch as apply

    codec.encode(apply(PATIENT, raw))


TARGETS: dict[str, Target] = {
    "json": json,
    "ndjson": ndjson,
    "xml": xml,
    "write-xml": write_xml,
    "validation": validation,
    "fhirpath": fhirpath,
    "query": query,
    "extraction": extraction,
    "er7": er7,
    "batch": batch,
    "units": units,
    "posted": posted,
    "answers": answers,
    "json-patch": json_patch,
    "fhirpath-patch": fhirpath_patch,
    "xml-patch": xml_patch,
}


def problem(target: Target, raw: bytes) -> BaseException | None:
    """What `target` raised that is none of our family."""
    try:
        target(raw)
    except FHIRError:
        return None
    except Exception as error:
        return error
    return None

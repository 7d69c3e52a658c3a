"""What judging a resource costs, from bytes to verdict, beside the bare decoder and beside fhir.resources."""

import tarfile
import time
from collections.abc import Callable
from decimal import Decimal
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec

from app.fhir import codec, xml
from app.fhir.definitions import r4, table
from app.fhir.validation import Structure, Validator, validate
from bench.fhirpath import PATIENT
from bench.report import Report, micros, timed
from tests.conformance.__main__ import DATA
from tests.fhir import samples

_DIV = (
    '<div xmlns="http://www.w3.org/1999/xhtml"><table><tbody>'
    + "<tr><td>Name</td><td>Ada <b>Example</b></td></tr>" * 5
    + "</tbody></table></div>"
)


def _encounter() -> dict[str, Any]:
    return {
        "resourceType": "Encounter",
        "id": "e1",
        "text": {"status": "generated", "div": _DIV},
        "identifier": [{"use": "temp", "system": "https://example.org/visit", "value": "v-1"}],
        "status": "finished",
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "IMP", "display": "inpatient encounter"},
        "type": [{"coding": [{"system": "http://snomed.info/sct", "code": "183807002", "display": "Inpatient stay 9 days"}]}],
        "subject": {"reference": "Patient/p1"},
        "participant": [{"individual": {"reference": "Practitioner/d1"}, "period": {"start": "2024-03-01", "end": "2024-03-09"}}],
        "period": {"start": "2024-03-01T10:00:00+00:00", "end": "2024-03-09T12:30:00+00:00"},
        "length": {"value": Decimal("8.1"), "unit": "days", "system": "http://unitsofmeasure.org", "code": "d"},
        "hospitalization": {"admitSource": {"text": "home"}, "dischargeDisposition": {"text": "home"}},
        "serviceProvider": {"reference": "Organization/h1"},
    }


def _procedure() -> dict[str, Any]:
    return {
        "resourceType": "Procedure",
        "id": "o1",
        "text": {"status": "generated", "div": _DIV},
        "status": "completed",
        "code": {"coding": [{"system": "https://fhir.hl7.org.uk/Id/opcs-4", "code": "G07.1"}], "text": "Repair"},
        "subject": {"reference": "Patient/p1"},
        "encounter": {"reference": "Encounter/e1"},
        "performedPeriod": {"start": "2024-03-02T09:00:00Z", "end": "2024-03-02T11:45:00Z"},
        "performer": [{"actor": {"reference": "Practitioner/d1"}, "onBehalfOf": {"reference": "Organization/h1"}}],
        "bodySite": [{"coding": [{"system": "http://snomed.info/sct", "code": "32849002"}]}],
        "note": [{"text": "One anastomosis, no tension."}],
    }


def _answers() -> dict[str, Any]:
    items = [{"linkId": str(number), "text": f"Question {number}", "answer": [{"valueInteger": number}]} for number in range(12)]
    return {
        "resourceType": "QuestionnaireResponse",
        "id": "a1",
        "questionnaire": "https://example.org/q|1",
        "status": "completed",
        "authored": "2024-03-02T12:00:00Z",
        "item": [{"linkId": "g", "item": items}],
    }


def least(call: Callable[[], object], runs: int = 400) -> float:
    """Seconds for one call: the best of many short runs, so that whatever else the machine does tells least."""
    start = time.perf_counter()
    call()
    number = max(1, int(2e-4 / max(time.perf_counter() - start, 1e-7)))
    best = float("inf")
    for _ in range(runs):
        start = time.perf_counter()
        for _ in range(number):
            call()
        best = min(best, time.perf_counter() - start)
    return best / number


def _published() -> dict[str, dict[str, Any]]:
    """HL7's own Patients, where CSOR_DATA has the official examples."""
    archive = DATA / "hl7.fhir.r4.examples-4.0.1.tar.xz"
    found: dict[str, dict[str, Any]] = {}
    if archive.exists():
        with tarfile.open(archive) as tar:
            for member in tar:
                name = Path(member.name).name
                if name.startswith("Patient-") and (file := tar.extractfile(member)):
                    found[name.removesuffix(".json")] = codec.decode(file.read())
    return found


def _worst_published(report: Report) -> None:
    """The dearest of HL7's own Patients, by each depth."""
    costs = []
    for name, patient in _published().items():
        raw = codec.encode(patient)
        floor = least(lambda raw=raw: msgspec.json.decode(raw))
        structure = least(lambda patient=patient: validate(patient))
        costs.append((name, floor, structure, least(lambda patient=patient: validate(patient, invariants=True))))
    if costs:
        name, floor, structure, _ = max(costs, key=lambda cost: cost[2] / cost[1])
        report.cost(f"structure, dearest of HL7's {len(costs)}: {name}", structure, "msgspec decode", floor, target=1 / 8)
        name, floor, _, rules = max(costs, key=lambda cost: cost[3] / cost[1])
        report.cost(f"with invariants, dearest: {name}", rules, "msgspec decode", floor, target=1 / 25)


def run(report: Report) -> None:
    """Five resource types, each from bytes."""
    second = _second_opinion()
    patient = {**samples.patient(), "text": {"status": "generated", "div": _DIV}}
    judged = {
        "Patient": patient,
        "Patient, usual": {**PATIENT, "text": {"status": "generated", "div": _DIV}},
        "Observation": samples.observation(),
        "Encounter": _encounter(),
        "Procedure": _procedure(),
        "QuestionnaireResponse": _answers(),
    }
    bare = msgspec.json.Decoder()
    for name, resource in judged.items():
        if problems := validate(resource):
            raise ValueError(f"the {name} of this bench is invalid: {problems[0]}")
        raw = codec.encode(resource)
        floor = least(lambda raw=raw: bare.decode(raw))
        report.cost(f"decode {name}", timed(lambda raw=raw: codec.decode(raw)), "msgspec decode", floor)
        _verdicts(report, name, resource, floor)
        ours = least(lambda raw=raw: validate(codec.decode(raw)))
        yardstick = second(resource["resourceType"], raw)
        if yardstick:
            report.cost(f"decode and validate {name}", ours, "fhir.resources", yardstick, target=5.0)
        else:
            report.line(f"decode and validate {name}", micros(ours))
    _worst_published(report)
    as_xml = xml.encode(patient)
    report.cost(
        "XML to Patient", timed(lambda: xml.decode(as_xml)), "from JSON", timed(lambda: codec.decode(codec.encode(patient)))
    )
    report.line("Patient to XML", micros(timed(lambda: xml.encode(patient))))
    packed = table.pack(_table())
    report.line("read the table of R4", micros(timed(lambda: table.unpack(packed))))
    report.line("start: the whole table and a first verdict", micros(timed(_start)), "wanted: 150 ms")
    report.line("compile every type", micros(timed(_compile_all)))


def _verdicts(report: Report, name: str, resource: dict[str, Any], floor: float) -> None:
    """The three depths of judgement, without decoding, beside the bare decoder; the targets are those for a Patient."""
    is_patient = name.startswith("Patient")
    structure = least(lambda: validate(resource))
    report.cost(f"structure of {name}", structure, "msgspec decode", floor, target=1 / 8 if is_patient else None)
    rules = least(lambda: validate(resource, invariants=True))
    report.cost(f"with invariants, {name}", rules, "msgspec decode", floor, target=1 / 25 if is_patient else None)
    report.cost(f"everything, {name}", least(lambda: _EVERYTHING.validate(resource)), "msgspec decode", floor)


_EVERYTHING = Validator()


def _start() -> None:
    """What a new process does before its first verdict, imports aside."""
    fresh = Structure(table.Definitions(table.unpack(resources.files(table.__package__).joinpath(table.FILE).read_bytes())))
    fresh.validate({"resourceType": "Patient"})


def _table() -> table.Table:
    definitions = r4()
    return table.Table(
        definitions.version,
        tuple(definitions.types.values()),
        definitions.value_sets,
        definitions.search_parameters,
        definitions.compartments,
        definitions.operations,
    )


def _compile_all() -> None:
    validator = Structure()
    for name in r4().resources:
        validator.validate({"resourceType": name})


def _second_opinion() -> Any:
    try:
        from fhir.resources.R4B import get_fhir_model_class
    except ImportError:
        return lambda _name, _raw: None

    def cost(name: str, raw: bytes) -> float | None:
        model: Any = get_fhir_model_class(name)
        try:
            model.model_validate_json(raw)
        except ValueError:
            return None  # it refuses some valid R4
        return least(lambda: model.model_validate_json(raw))

    return cost

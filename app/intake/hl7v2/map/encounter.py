"""PV1 (and PV2) to Encounter, in the UK reading.

PV1-9 is the consultant in charge, PV1-4 the NHS admission method, PV1-14 the source of admission, PV1-36 where (two digits) or how (one
digit) the child left, PV1-19 the visit that the Encounter is known by. Where a visit has no number, its admission time serves.
"""

from typing import Any

from app import names
from app.intake.hl7v2.er7 import Segment
from app.intake.hl7v2.map import datatypes
from app.intake.hl7v2.map.context import Context
from app.intake.hl7v2.map.patient import Identity
from app.intake.hl7v2.map.slots import Build, Slots, Values, extension, plain, put
from app.intake.hl7v2.map.tables import codes, stay
from app.registry.encounters import ADMISSION_METHOD, DISCHARGE_METHOD
from app.registry.identity import organisation_reference

ACT = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
PARTICIPATION = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
SPECIALTY = "https://fhir.hl7.org.uk/Id/treatment-function-code"
_PEOPLE = {7: "ATND", 8: "REF", 9: "PPRF", 17: "ADM"}  # PPRF: the consultant in charge of the spell


def encounter_id(context: Context, pv1: Segment, who: Identity) -> str | None:
    """The Encounter's id: opaque, and the same for every message about the visit. None where nothing tells visits apart."""
    visit = datatypes.text(pv1.value(19))
    if visit:
        return context.secret("Encounter", context.ods, visit)
    start = context.time(pv1, 44)
    return context.secret("Encounter", context.ods, who.key, start.text) if start else None


def slots(context: Context, pv1: Segment, sets: dict[str, bool], happened: str) -> Slots:
    """What the message says of the stay. `happened` is the event's own time (EVN-6, else EVN-2) as a FHIR dateTime."""
    said: Slots = {}
    visit = datatypes.text(pv1.value(19))
    if visit:
        context.say(said, "identifier", pv1, 19, {"system": names.visit_system(context.ods), "value": visit})
    _class(context, said, pv1)
    for number, name in ((44, "start"), (45, "end")):
        time = context.time(pv1, number)
        context.say(said, f"stay/{name}", pv1, number, time.text if time else None)
    if "started" in sets:
        context.fallback(said, "stay/started", happened)
    if "ended" in sets:
        context.fallback(said, "stay/ended", happened if sets["ended"] else None)
        if not sets["ended"]:
            said["stay/end"] = (context.stamp(2), None)
    if "cancelled" in sets:
        context.fallback(said, "stay/cancelled", sets["cancelled"])
    for number, kind in _PEOPLE.items():
        people = [person for person in map(datatypes.clinician, pv1.repeats(number)) if person]
        context.say(said, f"participant/{number:02d}", pv1, number, [[kind, person] for person in people])
    _place(context, said, pv1)
    _specialty(context, said, pv1)
    for number, name in ((4, "admission-method"), (14, "source-of-admission")):
        _nhs_code(context, said, pv1, number, name)
    if not ("ended" in sets and not sets["ended"]):
        left = pv1.value(36).upper()
        _nhs_code(context, said, pv1, 36, "discharge-method" if len(left) == 1 else "discharge-destination")
    else:
        for name in ("discharge-method", "discharge-destination"):
            said[f"hospitalization/{name}"] = (context.stamp(2), None)
    return said


def died(context: Context, pv1: Segment) -> bool | None:
    """Whether PV1-36 says that the stay ended in death; None where it says nothing."""
    code = pv1.value(36).upper()
    return any(code in stay(name)[2] for name in ("discharge-method", "discharge-destination")) if code else None


def _class(context: Context, said: Slots, pv1: Segment) -> None:
    code = pv1.value(2).upper()
    mapped = codes("patient-class").get(code)
    if code and mapped is None:
        context.doubt("This patient class is not in the map", "PV1-2")
    context.say(said, "class", pv1, 2, mapped)


def _place(context: Context, said: Slots, pv1: Segment) -> None:
    words = " ".join(datatypes.text(pv1.value(3, number)) for number in (1, 2, 3)).strip()
    context.say(said, "location", pv1, 3, [{"location": {"display": words}}] if words else None)


def _specialty(context: Context, said: Slots, pv1: Segment) -> None:
    code = datatypes.text(pv1.value(10))
    context.say(said, "serviceType", pv1, 10, {"coding": [{"system": SPECIALTY, "code": code}]} if code else None)


def _nhs_code(context: Context, said: Slots, pv1: Segment, number: int, name: str) -> None:
    system, known, _ = stay(name)
    code = datatypes.text(pv1.value(number)).upper()
    value: dict[str, Any] | None = {"coding": [{"system": system, "code": code}]} if code in known else None
    if code and value is None:
        context.doubt("This code is not in the NHS list; kept as text", f"PV1-{number}")
        value = {"text": datatypes.text(pv1.value(number, 2)) or code}
    context.say(said, f"hospitalization/{name}", pv1, number, value)


# ---- slots to elements ----------------------------------------------------------------------------------------------


def _build_stay(resource: dict[str, Any], values: Values) -> None:
    start, end = values.get("start") or values.get("started"), values.get("end") or values.get("ended")
    if values.get("cancelled"):
        status = "cancelled"
    elif end:
        status = "finished"
    else:
        status = "in-progress" if start else "unknown"
    resource["status"] = status
    put(resource, "period", {name: value for name, value in (("start", start), ("end", end)) if value})


def _build_class(resource: dict[str, Any], values: Values) -> None:
    code = values.get("")
    unknown = {"system": "http://terminology.hl7.org/CodeSystem/v3-NullFlavor", "code": "UNK"}
    resource["class"] = {"system": ACT, "code": code} if code else unknown


def _build_participants(resource: dict[str, Any], values: Values) -> None:
    people = [
        {"type": [{"coding": [{"system": PARTICIPATION, "code": kind}]}], "individual": person}
        for value in values.values()
        for kind, person in value or ()
    ]
    put(resource, "participant", people)


def _build_hospitalization(resource: dict[str, Any], values: Values) -> None:
    hospitalization = dict(resource.get("hospitalization", {}))
    put(hospitalization, "admitSource", values.get("source-of-admission"))
    put(hospitalization, "dischargeDisposition", values.get("discharge-destination"))
    for holder, name, url in (
        (hospitalization, "admission-method", ADMISSION_METHOD),
        (resource, "discharge-method", DISCHARGE_METHOD),
    ):
        value = values.get(name)
        extension(holder, url, {"valueCodeableConcept": value} if value else None)
    put(resource, "hospitalization", hospitalization)


def _build_identifier(resource: dict[str, Any], values: Values) -> None:
    put(resource, "identifier", [values[""]] if values.get("") else None)


BUILDERS: dict[str, Build] = {
    "identifier": _build_identifier,
    "stay": _build_stay,
    "class": _build_class,
    "participant": _build_participants,
    "location": plain("location"),
    "serviceType": plain("serviceType"),
    "hospitalization": _build_hospitalization,
}


def skeleton(context: Context) -> dict[str, Any]:
    """An Encounter of which only the hospital is known."""
    resource: dict[str, Any] = {
        "resourceType": "Encounter",
        "serviceProvider": {"reference": organisation_reference(context.ods)},
    }
    _build_stay(resource, {})
    _build_class(resource, {})
    return resource

"""OBR and OBX to Observation.

A result is known by its order (the laboratory's number, else the hospital's), its code and its sub-id, so that a correction replaces what it
corrects. The value keeps its type and its digits: `5.10` stays `5.10`.
"""

import re
from collections import Counter
from decimal import Decimal
from typing import Any

from app import names
from app.intake.hl7v2.ack import DATA_TYPE, REQUIRED_FIELD, Problem
from app.intake.hl7v2.er7 import Segment
from app.intake.hl7v2.map import datatypes, times
from app.intake.hl7v2.map.context import Context, Unmappable
from app.intake.hl7v2.map.slots import Build, Slots, Values, plain, put
from app.intake.hl7v2.map.tables import codes, coding_system, table

INTERPRETATION = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation"
CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
ABSENT = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?\Z")
_STRUCTURED = re.compile(r"(<=|>=|<|>)?([+-]?\d+(?:\.\d+)?)\Z")
VALUES = (
    "valueQuantity",
    "valueRange",
    "valueRatio",
    "valueString",
    "valueCodeableConcept",
    "valueDateTime",
    "valueTime",
    "dataAbsentReason",
)


def observations(context: Context, scope: str) -> dict[str, Slots]:
    """Observation id -> slots. `scope` is the Encounter's id, or what stands for the child where there is none."""
    found: dict[str, Slots] = {}
    seen: Counter[str] = Counter()
    order: Segment | None = None
    last: Slots | None = None
    for segment in context.message.segments:
        if segment.name == "OBR":
            order, last = segment, None
        elif segment.name == "OBX":
            if segment.value(11).upper() == "O" or not segment.raw(3):
                if not segment.raw(3):
                    raise Unmappable(Problem("OBX has no observation code", "OBX-3", REQUIRED_FIELD))
                continue
            key, last = _observation(context, segment, order)
            seen[key] += 1
            found[context.secret("Observation", scope, key, str(seen[key]))] = last
        elif segment.name == "NTE" and last is not None:
            _note(context, last, segment)
        elif segment.name not in ("NTE", "SPM", "PV1", "PV2", "ORC"):
            last = None
    return found


def _observation(context: Context, obx: Segment, order: Segment | None) -> tuple[str, Slots]:
    concept, known = datatypes.coded(obx, 3)
    if not known:
        context.doubt("This coding system is not in the map; the code is kept with its text", "OBX-3")
    said: Slots = {"code": (context.stamp(), concept)}
    effective = context.time(obx, 14) or (context.time(order, 7) if order else None)
    if effective:
        said["effective"] = (context.stamp(), effective.text)
    number = (order.value(3) or order.value(2)) if order else ""
    # Without an order number, the time tells one measurement from the next.
    key = "|".join([number or (effective.text if effective else ""), obx.value(3) or obx.value(3, 2), obx.value(4)])
    code = obx.value(11).upper()
    status = codes("observation-status").get(code) or (
        codes("result-status").get(order.value(25).upper()) if order and not code else None
    )
    if status is None and code:
        context.doubt("This result status is not in the map", "OBX-11")
    said["status"] = (context.stamp(), status or ("final" if not code else "unknown"))
    said["value"] = (context.stamp(), _value(context, obx))
    _interpretation(context, said, obx)
    limits = datatypes.text(obx.value(7))
    context.say(said, "referenceRange", obx, 7, [{"text": limits}] if limits else None)
    if order:
        section = codes("diagnostic-section").get(order.value(24).upper())
        context.say(said, "category", order, 24, [{"coding": [{"system": CATEGORY, "code": section}]}] if section else None)
    return key, said


def _interpretation(context: Context, said: Slots, obx: Segment) -> None:
    known = table("codes")["interpretation"]
    flags = [repeat[1].strip() for repeat in obx.repeats(8)]
    concepts = [
        {"coding": [{"system": INTERPRETATION, "code": flag}]} if flag in known else {"text": datatypes.text(flag)}
        for flag in flags
        if flag
    ]
    context.say(said, "interpretation", obx, 8, concepts)


def _note(context: Context, said: Slots, nte: Segment) -> None:
    words = "\n".join(line for line in (datatypes.lines(repeat.text) for repeat in nte.repeats(3)) if line)
    if words:
        before = said["note"][1][0]["text"] + "\n" if "note" in said else ""
        said["note"] = (context.stamp(), [{"text": before + words}])


def _value(context: Context, obx: Segment) -> dict[str, Any]:
    """The one `value[x]` (or dataAbsentReason) of OBX-5 by its type in OBX-2."""
    kind = obx.value(2).upper()
    repeats = obx.repeats(5)
    if obx.deletes(5) or not repeats:
        return {"dataAbsentReason": {"coding": [{"system": ABSENT, "code": "unknown"}]}}
    first = repeats[0]
    if kind == "NM" and len(repeats) == 1 and _NUMBER.match(first[1].strip()):
        return {"valueQuantity": _quantity(obx, first[1].strip())}
    if kind == "NM" and len(repeats) == 1 and (match := _STRUCTURED.match(first[1].replace(" ", ""))):
        return {"valueQuantity": _quantity(obx, match.group(2), match.group(1))}
    if kind == "SN":
        return _structured(obx)
    if kind in ("CE", "CWE", "CNE", "CF", "IS", "ID"):
        concept, _ = datatypes.concept(first)
        return {"valueCodeableConcept": concept} if concept else {"valueString": datatypes.lines(first.text) or "unknown"}
    if kind in ("DT", "TS", "DTM") and (time := times.read(first[1], context.zone)):
        return {"valueDateTime": time.text}
    if kind in ("ED", "RP"):
        context.doubt("An attachment is kept in the message, not in the result", "OBX-5", DATA_TYPE)
        return {"dataAbsentReason": {"coding": [{"system": ABSENT, "code": "unsupported"}]}}
    if kind in ("NM", "DT", "TS", "DTM"):
        context.doubt("The value does not have the type that OBX-2 says; kept as text", "OBX-5", DATA_TYPE)
    words = datatypes.lines("\n".join(repeat.text for repeat in repeats))
    return {"valueString": words} if words else {"dataAbsentReason": {"coding": [{"system": ABSENT, "code": "unknown"}]}}


def _quantity(obx: Segment, number: str, comparator: str | None = None) -> dict[str, Any]:
    quantity: dict[str, Any] = {"value": Decimal(number)}
    put(quantity, "comparator", comparator)
    code, words, system = (datatypes.text(obx.value(6, at)) for at in (1, 2, 3))
    put(quantity, "unit", words or code)
    if coding_system(system) == names.UCUM and code:
        quantity.update(system=names.UCUM, code=code)
    return quantity


def _structured(obx: Segment) -> dict[str, Any]:
    """SN: `>^100`, `^1^-^10` (a range), `^1^:^128` (a ratio)."""
    comparator, first, separator, second = (obx.value(5, at).strip() for at in range(1, 5))
    one, two = (number if _NUMBER.match(number) else None for number in (first, second))
    if one and not second and comparator in ("", "=", "<", ">", "<=", ">="):
        return {"valueQuantity": _quantity(obx, one, comparator if comparator != "=" else None)}
    if one and two and separator == "-":
        return {"valueRange": {"low": _quantity(obx, one), "high": _quantity(obx, two)}}
    if one and two and separator in (":", "/"):
        return {"valueRatio": {"numerator": {"value": Decimal(one)}, "denominator": {"value": Decimal(two)}}}
    return {"valueString": datatypes.lines(f"{comparator}{first}{separator}{second}") or "unknown"}


def _build_value(resource: dict[str, Any], values: Values) -> None:
    for element in VALUES:
        resource.pop(element, None)
    resource.update(values.get("") or {})


BUILDERS: dict[str, Build] = {
    "code": plain("code"),
    "status": plain("status"),
    "effective": plain("effectiveDateTime"),
    "value": _build_value,
    "interpretation": plain("interpretation"),
    "referenceRange": plain("referenceRange"),
    "note": plain("note"),
    "category": plain("category"),
}


def skeleton() -> dict[str, Any]:
    return {"resourceType": "Observation", "status": "unknown"}

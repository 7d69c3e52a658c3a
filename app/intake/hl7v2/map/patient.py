"""PID, PD1 and NK1 to Patient, and PID-3 to the numbers that identify a child.

The NHS number is checked (modulus 11, no repdigits); a wrong one stays as an unverified identifier without the NHS system. Record
numbers of different authorities are kept apart. A death is never undone by a PID-30 of "N" that only repeats a default: a stay that
ended in death stands until that discharge is cancelled.
"""

import re
from dataclasses import dataclass, field
from typing import Any

from app import names
from app.fhir.numbers import whole_number
from app.intake.hl7v2.ack import DATA_TYPE, REQUIRED_FIELD, Problem
from app.intake.hl7v2.er7 import Repeat, Segment
from app.intake.hl7v2.map import datatypes
from app.intake.hl7v2.map.context import Context, Unmappable
from app.intake.hl7v2.map.slots import Build, Slots, Values, extension, plain, put
from app.intake.hl7v2.map.tables import codes, identifier_kind, stay, table
from app.registry.identity import normal_nhs_number

BIRTH_TIME = "http://hl7.org/fhir/StructureDefinition/patient-birthTime"
ETHNIC = "https://fhir.hl7.org.uk/StructureDefinition/Extension-UKCore-EthnicCategory"
UNVERIFIED = "NHS number, not verified"


@dataclass
class Identity:
    """Who the message speaks of. `mrns` are (authority key, number), the key being an ODS code, or `ODS-AUTHORITY`."""

    nhs_number: str | None = None
    mrns: list[tuple[str, str]] = field(default_factory=list)
    identifiers: list[dict[str, Any]] = field(default_factory=list)

    @property
    def key(self) -> str:
        """The number that the sender's messages about this child are ordered by."""
        return "|".join(self.mrns[0]) if self.mrns else self.nhs_number or ""


def identity(context: Context, segment: Segment, number: int) -> Identity:
    """The identifiers of a CX list (PID-3, MRG-1)."""
    found = Identity()
    for repeat in segment.repeats(number):
        _identifier(context, found, repeat, f"{segment.name}-{number}")
    if not found.key and segment.name == "PID":  # some senders still use the field of version 2.1
        for repeat in segment.repeats(2):
            if digits := normal_nhs_number(repeat[1]):
                found.nhs_number = digits
                found.identifiers.append({"system": names.NHS_NUMBER, "value": digits})
    if not found.key:
        raise Unmappable(
            Problem("No record number and no valid NHS number identifies the child", f"{segment.name}-{number}", REQUIRED_FIELD)
        )
    return found


def _identifier(context: Context, found: Identity, repeat: Repeat, where: str) -> None:
    value = datatypes.text(repeat[1])
    authority, type = repeat[4].strip().upper(), repeat[5].strip().upper()
    if not value:
        return
    kind = identifier_kind(authority, type)
    if kind == "nhs":
        digits = normal_nhs_number(value)
        if digits is None:
            context.doubt("The NHS number fails its check and is kept unverified", where, DATA_TYPE)
            found.identifiers.append({"use": "temp", "type": {"text": UNVERIFIED}, "value": value})
        elif found.nhs_number is None:
            found.nhs_number = digits
            found.identifiers.append({"system": names.NHS_NUMBER, "value": digits})
    elif kind == "chi":
        found.identifiers.append({"system": table("identifiers")["chi"]["system"], "value": value})
    elif kind != "ignored":
        own = kind == "hospital" or authority in context.authorities or authority.startswith(context.ods)
        key = context.ods if own else f"{context.ods}-{re.sub('[^A-Z0-9]', '', authority)}"
        found.mrns.append((key, value))
        found.identifiers.append({"system": names.mrn_system(key), "value": value})


def slots(context: Context, pid: Segment, who: Identity) -> Slots:
    """What the message says of the child."""
    said: Slots = {}
    stamp = context.stamp()
    for identifier in who.identifiers:
        said[f"identifier/{identifier.get('system', '')}|{identifier['value']}"] = (stamp, identifier)
    context.say(said, "name", pid, 5, [name for name in map(datatypes.human_name, pid.repeats(5)) if name])
    _birth(context, said, pid)
    sex = pid.value(8).upper()
    gender = codes("sex").get(sex)
    if sex and gender is None:
        context.doubt("This code of sex is not in the map; recorded as unknown", "PID-8")
    context.say(said, "gender", pid, 8, gender or ("unknown" if sex else None))
    context.say(said, "address", pid, 11, [value for value in map(datatypes.address, pid.repeats(11)) if value])
    for number, use in ((13, "home"), (14, "work")):
        found = [value for value in (datatypes.telecom(repeat, use) for repeat in pid.repeats(number)) if value]
        context.say(said, f"telecom/{number}", pid, number, found)
    _ethnic(context, said, pid)
    _births(context, said, pid)
    _death(context, said, pid)
    _practice(context, said)
    _next_of_kin(context, said)
    return said


def _birth(context: Context, said: Slots, pid: Segment) -> None:
    born = context.time(pid, 7)
    if born is None:
        context.say(said, "birthDate", pid, 7, None)
        return
    context.say(said, "birthDate", pid, 7, {"date": born.day, "time": born.text if born.has_time else None})


def _ethnic(context: Context, said: Slots, pid: Segment) -> None:
    system, known, _ = stay("ethnic-category")
    code = pid.value(22).upper()
    if not code:
        context.say(said, "ethnic", pid, 22, None)
    elif code in known:
        context.say(said, "ethnic", pid, 22, {"coding": [{"system": system, "code": code}]})
    else:
        context.doubt("This ethnic category is not in the map; kept as text", "PID-22")
        context.say(said, "ethnic", pid, 22, {"text": datatypes.text(pid.value(22, 2) or pid.value(22))})


def _births(context: Context, said: Slots, pid: Segment) -> None:
    order = whole_number(pid.value(25))
    if order is not None:
        context.say(said, "multipleBirth", pid, 25, order)
    elif pid.value(24) in ("Y", "N"):
        context.say(said, "multipleBirth", pid, 24, pid.value(24) == "Y")


def _death(context: Context, said: Slots, pid: Segment) -> None:
    died = context.time(pid, 29)
    flag = pid.value(30).upper()
    if died:
        context.say(said, "deceased/date", pid, 29, died.text)
    elif pid.deletes(29):
        context.say(said, "deceased/date", pid, 29, None)
    if flag or pid.deletes(30):
        context.say(said, "deceased/flag", pid, 30, flag[:1])


def _practice(context: Context, said: Slots) -> None:
    pd1 = context.message.first("PD1")
    if pd1 is None:
        return
    found = [value for value in map(datatypes.clinician, pd1.repeats(4)) if value]
    for repeat in pd1.repeats(3):
        code = next((part for part in (repeat[3], repeat[10]) if part), "")
        if code or repeat[1]:
            surgery: dict[str, Any] = {"type": "Organization"}
            if code:
                surgery["identifier"] = {"system": names.ODS_CODE, "value": datatypes.text(code).upper()}
            if repeat[1]:
                surgery["display"] = datatypes.text(repeat[1])
            found.append(surgery)
    if found:
        said["generalPractitioner"] = (context.stamp(), found)


def _next_of_kin(context: Context, said: Slots) -> None:
    contacts = []
    for nk1 in context.message.all("NK1"):
        contact: dict[str, Any] = {}
        relationship = nk1.value(3).upper()
        if relationship:
            words = datatypes.text(nk1.value(3, 2))
            coding = {
                "system": "http://terminology.hl7.org/CodeSystem/v2-0131",
                "code": codes("relationship").get(relationship, "U"),
            }
            contact["relationship"] = [{"coding": [coding], **({"text": words} if words else {})}]
        named = next((name for name in map(datatypes.human_name, nk1.repeats(2)) if name), None)
        put(contact, "name", named)
        numbers = [(repeat, use) for field, use in ((5, "home"), (6, "work")) for repeat in nk1.repeats(field)]
        put(contact, "telecom", [value for value in (datatypes.telecom(repeat, use) for repeat, use in numbers) if value])
        put(contact, "address", next((value for value in map(datatypes.address, nk1.repeats(4)) if value), None))
        if contact.keys() - {"relationship"}:
            contacts.append(contact)
    if contacts:
        said["contact"] = (context.stamp(), contacts)


# ---- slots to elements ----------------------------------------------------------------------------------------------


def _build_identifiers(resource: dict[str, Any], values: Values) -> None:
    have = {(entry.get("system"), entry.get("value")): entry for entry in resource.get("identifier", ())}
    for value in values.values():
        if value is None:
            continue
        have[value.get("system"), value["value"]] = value
    put(resource, "identifier", list(have.values()))


def _build_birth(resource: dict[str, Any], values: Values) -> None:
    value = values.get("") or {}
    put(resource, "birthDate", value.get("date"))
    beside = dict(resource.get("_birthDate", {}))
    extension(beside, BIRTH_TIME, {"valueDateTime": value["time"]} if value.get("time") else None)
    put(resource, "_birthDate", beside)


def _build_telecom(resource: dict[str, Any], values: Values) -> None:
    put(resource, "telecom", [entry for value in values.values() for entry in value or ()])


def _build_ethnic(resource: dict[str, Any], values: Values) -> None:
    value = values.get("")
    extension(resource, ETHNIC, {"valueCodeableConcept": value} if value else None)


def _build_births(resource: dict[str, Any], values: Values) -> None:
    value = values.get("")
    put(resource, "multipleBirthBoolean", value if isinstance(value, bool) else None)
    put(resource, "multipleBirthInteger", value if not isinstance(value, bool) else None)


def _build_death(resource: dict[str, Any], values: Values) -> None:
    """The day that PID-29 gives, else that of a stay which ended in death, else the bare fact."""
    date, flag = values.get("date"), values.get("flag")
    in_hospital = sorted(value for name, value in values.items() if name.startswith("stay/") and value)
    when = date or (in_hospital[0] if in_hospital else None)
    resource.pop("deceasedBoolean", None)
    resource.pop("deceasedDateTime", None)
    if when:
        resource["deceasedDateTime"] = when
    elif flag in ("Y", "N"):
        resource["deceasedBoolean"] = flag == "Y"


BUILDERS: dict[str, Build] = {
    "identifier": _build_identifiers,
    "name": plain("name"),
    "birthDate": _build_birth,
    "gender": plain("gender"),
    "address": plain("address"),
    "telecom": _build_telecom,
    "ethnic": _build_ethnic,
    "multipleBirth": _build_births,
    "deceased": _build_death,
    "generalPractitioner": plain("generalPractitioner"),
    "contact": plain("contact"),
}

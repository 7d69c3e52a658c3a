"""Reading what a hospital stay says, from whichever source: the same day of admission is the same stay.

Admission and discharge methods are carried as UK Core does it: an extension on `Encounter.hospitalization` for the first, on
`Encounter` for the second, with the national codes.
"""

from calendar import monthrange
from collections.abc import Iterable
from datetime import date, datetime
from typing import Any, NamedTuple

from app import names
from app.clock import LONDON

ADMISSION_METHOD = "https://fhir.hl7.org.uk/StructureDefinition/Extension-UKCore-AdmissionMethod"
ADMISSION_METHOD_CODES = "https://fhir.hl7.org.uk/CodeSystem/UKCore-AdmissionMethodEngland"
DISCHARGE_METHOD = "https://fhir.hl7.org.uk/StructureDefinition/Extension-UKCore-DischargeMethod"
DISCHARGE_METHOD_CODES = "https://fhir.hl7.org.uk/CodeSystem/UKCore-DischargeMethodEngland"
DIED = frozenset(("4", "79", "exp"))  # discharge method, national discharge destination, FHIR discharge disposition
INPATIENT = frozenset(("IMP", "ACUTE", "NONAC", "SS"))
SOURCE_ORDER = ("operative-record", "fhir", "hes", "hl7v2")  # whom to believe first
STAY_ORDER = ("hes", "fhir", "hl7v2")  # episode statistics are coded after discharge, so they know a stay best
NOT_A_STAY = frozenset(("planned", "cancelled", "entered-in-error"))


class Stay(NamedTuple):
    """All that was told of one day of admission. Days are ISO; `discharged` None is still there, or not told."""

    admitted: str
    discharged: str | None
    method: str | None
    died: bool
    source: str
    hospital: str | None

    def overlaps(self, first: str, last: str) -> bool:
        """Whether any day of it lies in `first`..`last`."""
        return self.admitted <= last and (self.discharged or "9999") >= first


def day_of(text: str | None) -> str | None:
    """The day in London of a FHIR date, dateTime or instant; a month or year stands for its first day."""
    if not text:
        return None
    if len(text) > 10:
        if text[-1] != "Z" and text[-6] not in "+-":
            return text[:10]
        try:
            return datetime.fromisoformat(text.replace(":60", ":59")).astimezone(LONDON).date().isoformat()  # a leap second
        except (ValueError, OverflowError):
            return text[:10]
    return text + "-01-01"[len(text) - 4 :] if len(text) < 10 else text


def last_day_of(text: str) -> str | None:
    """The last day that a FHIR date or dateTime may mean: of a month or year its last."""
    if len(text) == len("2023"):
        return f"{text}-12-31"
    return f"{text}-{monthrange(int(text[:4]), int(text[5:]))[1]}" if len(text) == len("2023-05") else day_of(text)


def source_of(resource: dict[str, Any]) -> str:
    """Where a resource came from, by its tag; untagged ones came over FHIR."""
    for tag in resource.get("meta", {}).get("tag", ()):
        if tag.get("system") == names.SOURCE:
            return str(tag.get("code"))
    return "fhir"


def codes(concept: dict[str, Any] | None, system: str) -> list[str]:
    """The codes that a CodeableConcept has in one system."""
    return [c["code"] for c in (concept or {}).get("coding", ()) if c.get("system") == system and "code" in c]


def extension_code(holder: dict[str, Any], url: str) -> str | None:
    """The first code of an extension's CodeableConcept."""
    for extension in holder.get("extension", ()):
        if extension.get("url") == url:
            for coding in extension.get("valueCodeableConcept", {}).get("coding", ()):
                code: str | None = coding.get("code")
                return code
    return None


def admission_method(encounter: dict[str, Any]) -> str | None:
    """The national admission method of an Encounter."""
    return extension_code(encounter.get("hospitalization", {}), ADMISSION_METHOD) or extension_code(encounter, ADMISSION_METHOD)


def ended_in_death(encounter: dict[str, Any]) -> bool:
    """Whether the discharge method, destination or disposition says that the child died."""
    hospitalization = encounter.get("hospitalization", {})
    told = {extension_code(encounter, DISCHARGE_METHOD), extension_code(hospitalization, DISCHARGE_METHOD)}
    told.update(coding.get("code") for coding in hospitalization.get("dischargeDisposition", {}).get("coding", ()))
    return not told.isdisjoint(DIED)


def admitted_on(encounter: dict[str, Any]) -> str | None:
    """The day of admission of an inpatient Encounter; None for one that is no stay."""
    if encounter.get("status") in NOT_A_STAY or encounter.get("class", {}).get("code") not in INPATIENT:
        return None
    return day_of(encounter.get("period", {}).get("start"))


def stays(encounters: Iterable[dict[str, Any]]) -> list[Stay]:
    """All stays of a child by day of admission. Of each fact of a stay, the best source that tells it counts."""
    by_day: dict[str, list[Stay]] = {}
    for encounter in encounters:
        admitted = admitted_on(encounter)
        if admitted is not None:
            ended = day_of(encounter["period"].get("end"))
            method, died = admission_method(encounter), ended_in_death(encounter)
            stay = Stay(admitted, ended, method, died, source_of(encounter), _hospital(encounter))
            by_day.setdefault(admitted, []).append(stay)
    return [_day(told) if len(told) > 1 else told[0] for _, told in sorted(by_day.items())]


def _day(told: list[Stay]) -> Stay:
    """All of one day of admission: a child who was moved on that day stays from the first hospital's admission to the last one's discharge."""
    hospitals = {stay.hospital for stay in told} - {None} or {None}
    legs = [_leg([stay for stay in told if stay.hospital in (hospital, None)]) for hospital in hospitals]
    legs.sort(key=lambda leg: (leg.discharged or "9999", leg.method or "", leg.hospital or ""))
    method = next((leg.method for leg in legs if leg.method), None)
    return legs[-1]._replace(method=method, died=any(leg.died for leg in legs))


def _leg(told: list[Stay]) -> Stay:
    """What the sources say together of one hospital. Where one source tells of several stays, the last to end ended it."""
    told = sorted(told, key=lambda stay: (_rank(stay.source), stay.discharged or "9999", stay.method or ""))
    by_source = {stay.source: stay.discharged for stay in told}
    return told[0]._replace(
        discharged=next((ended for ended in by_source.values() if ended), None),
        method=next((stay.method for stay in told if stay.method), None),
        died=any(stay.died for stay in told),
    )


def _hospital(encounter: dict[str, Any]) -> str | None:
    """The trust (three characters of the ODS code, of which a site's has more) that provided the stay, where that is told."""
    provider = encounter.get("serviceProvider", {})
    told = provider.get("identifier", {}).get("value") or provider.get("reference", "").rpartition("/")[2]
    return told.upper()[:3] or None


def _rank(source: str) -> int:
    return STAY_ORDER.index(source) if source in STAY_ORDER else len(STAY_ORDER)


def days_between(first: str, last: str) -> int:
    """Days from one ISO day to another."""
    return (date.fromisoformat(last) - date.fromisoformat(first)).days

"""Whether a Reference may point where it points. Quick for the usual `Type/id`; slower only when something looks odd."""

import re
from collections.abc import Container, Mapping
from typing import Any

from app.fhir.definitions import Definitions, Element
from app.fhir.validation.bundles import follow
from app.fhir.validation.report import Path, Report

# HL7's own published examples point to these beyond the table. Whoever copied them should not be refused; a test holds the
# list to exactly what the examples need.
BEYOND_THE_TABLE: Mapping[tuple[str, str], str] = {
    ("DeviceMetric", "parent"): "DeviceDefinition",
    ("DeviceUseStatement", "reasonReference"): "Procedure",
    ("MedicationRequest.dispenseRequest", "performer"): "Practitioner",
    ("Observation", "performer"): "Encounter",
}

_RELATIVE = re.compile(r"([A-Za-z]+)/([^/?#]+)(?:/_history/([^/?#]+))?(#.*)?").fullmatch
_ID = re.compile(r"[A-Za-z0-9.-]{1,64}").fullmatch


def targets_of(type_name: str, element: Element) -> frozenset[str]:
    """The resource types that a reference in that element may point to; empty for any."""
    if not element.targets:
        return frozenset()
    more = BEYOND_THE_TABLE.get((type_name, element.name))
    return frozenset(element.targets) | (frozenset([more]) if more else frozenset())


def is_usual(reference: str, kinds: Container[str]) -> bool:
    """Whether it is `Type/id` of one of those types: what most references are, and nothing to object to."""
    kind, _, identity = reference.partition("/")
    return kind in kinds and _ID(identity) is not None


def check_target(reference: Any, targets: frozenset[str], path: Path, report: Report, definitions: Definitions) -> None:
    """Adds an issue where a relative or contained reference is of a type that the element does not take."""
    if type(reference) is not str:
        return  # said already
    if reference.startswith("#"):
        contained = _contained(report.root, reference[1:])
        wrong = contained is not None and targets and not targets.intersection((contained, "Resource"))
        if wrong:
            report.add("value", path, _sentence(f"The contained resource '{reference[:70]}' is a {contained}", targets))
        return
    match = _RELATIVE(reference)
    if match is None:
        if report.scope is not None and report.scope.entries is not None:
            found = follow(reference, report.scope.entries, path, report)
            if found is not None and targets and found not in targets:
                report.add("value", path, _sentence(f"The reference leads to a {found}", targets))
        return
    kind, identity = match[1], match[2]
    if kind not in definitions.resources:
        report.add("value", path, f"'{kind[:40]}' is not an R4 resource type; a relative reference is Type/id.")
    elif not _ID(identity):
        report.add("value", path, "The id in a relative reference must be 1 to 64 letters, digits, '-' and '.'.")
    elif targets and kind not in targets:
        report.add("value", path, _sentence(f"The reference points to a {kind}", targets))


def _sentence(fact: str, targets: frozenset[str]) -> str:
    return f"{fact}, but this element takes only {', '.join(sorted(targets))}."


def _contained(root: Any, identity: str) -> str | None:
    contained = root.get("contained")
    for each in contained if type(contained) is list else ():
        if type(each) is dict and each.get("id") == identity and type(each.get("resourceType")) is str:
            return str(each["resourceType"])
    return None

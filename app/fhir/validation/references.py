"""Whether a Reference may point where it points. Quick for the usual `Type/id`; slower only when something looks odd."""

import re
from collections.abc import Container, Mapping
from typing import Any, NamedTuple

from app.fhir.definitions import Definitions, Element
from app.fhir.validation.bundles import follow
from app.fhir.validation.report import Path, Report

# HL7's own published examples point to these beyond the table. Whoever copied them should not be refused, but told; a test holds the list to exactly what
# the examples need.
BEYOND_THE_TABLE: Mapping[tuple[str, str], str] = {
    ("DeviceMetric", "parent"): "DeviceDefinition",
    ("DeviceUseStatement", "reasonReference"): "Procedure",
    ("MedicationRequest.dispenseRequest", "performer"): "Practitioner",
    ("Observation", "performer"): "Encounter",
}

_RELATIVE = re.compile(r"([A-Za-z]+)/([^/?#]+)(?:/_history/([^/?#]+))?(#.*)?").fullmatch
_ID = re.compile(r"[A-Za-z0-9.-]{1,64}").fullmatch


class Targets(NamedTuple):
    """The resource types that a reference may point to, empty for any; and the one that is let through with a warning, or ''."""

    allowed: frozenset[str]
    tolerated: str

    def judge(self, kind: str, fact: str, path: Path, report: Report) -> None:
        """Reports a type that the element does not take."""
        if not self.allowed or kind in self.allowed:
            return
        sentence = f"{fact}, but this element takes only {', '.join(sorted(self.allowed))}."
        if kind != self.tolerated:
            report.add("value", path, sentence)
        elif report.scope is not None:  # else nobody asks for warnings
            report.note("warning", "value", path, sentence + " An example of HL7's does the same, so it is let through.")


def targets_of(type_name: str, element: Element) -> Targets:
    """What a reference in that element may point to."""
    return Targets(frozenset(element.targets), BEYOND_THE_TABLE.get((type_name, element.name), ""))


def is_usual(reference: str, kinds: Container[str]) -> bool:
    """Whether it is `Type/id` of one of those types: what most references are, and nothing to object to."""
    kind, _, identity = reference.partition("/")
    return kind in kinds and _ID(identity) is not None


def check_target(reference: Any, targets: Targets, path: Path, report: Report, definitions: Definitions) -> None:
    """Adds an issue where a relative or contained reference, or one inside the Bundle, is of a type that the element does not take."""
    if type(reference) is not str:
        return  # said already
    if reference.startswith("#"):
        contained = _contained(report.root, reference[1:])
        if contained is not None and "Resource" not in targets.allowed:
            targets.judge(contained, f"The contained resource '{reference[:70]}' is a {contained}", path, report)
        return
    match = _RELATIVE(reference)
    if match is None:
        if report.scope is not None and report.scope.entries is not None:
            found = follow(reference, report.scope.entries, path, report)
            if found is not None:
                targets.judge(found, f"The reference leads to a {found}", path, report)
        return
    kind, identity = match[1], match[2]
    if kind not in definitions.resources:
        report.add("value", path, f"'{kind[:40]}' is not an R4 resource type; a relative reference is Type/id.")
    elif not _ID(identity):
        report.add("value", path, "The id in a relative reference must be 1 to 64 letters, digits, '-' and '.'.")
    else:
        targets.judge(kind, f"The reference points to a {kind}", path, report)


def _contained(root: Any, identity: str) -> str | None:
    contained = root.get("contained")
    for each in contained if type(contained) is list else ():
        if type(each) is dict and each.get("id") == identity and type(each.get("resourceType")) is str:
            return str(each["resourceType"])
    return None

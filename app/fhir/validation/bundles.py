"""What a Bundle must be beyond its invariants: fullUrls that agree with their resources, references inside that lead somewhere."""

import re
from collections.abc import Mapping
from typing import Any

from app.fhir.definitions import Definitions
from app.fhir.references import references
from app.fhir.validation.primitives import quoted
from app.fhir.validation.report import Path, Report
from app.fhir.validation.scope import Entries

_LOGICAL = re.compile(r"urn:(?:uuid|oid):").match
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:").match
_SELF_CONTAINED = frozenset(["transaction", "document", "message"])


def full_urls(definitions: Definitions, bundle: Mapping[str, Any], path: Path, report: Report) -> None:
    """A fullUrl is absolute, and where it is of the form `base/Type/id` says the same as the resource."""
    entries = bundle.get("entry")
    for index, entry in enumerate(entries if type(entries) is list else ()):
        url = entry.get("fullUrl") if type(entry) is dict else None
        if type(url) is not str:
            continue
        where = ((path, "entry", index), "fullUrl")
        if not _ABSOLUTE(url):
            report.add(
                "value", where, "A fullUrl must be absolute: the URL of the resource on its server, or urn:uuid and a UUID."
            )
            continue
        resource = entry.get("resource")
        parts = url.split("/")
        if type(resource) is not dict or len(parts) < 3 or parts[-2] not in definitions.resources:
            continue
        told = f"{resource.get('resourceType')}/{resource.get('id')}"
        if "id" in resource and f"{parts[-2]}/{parts[-1]}" != told:
            report.add(
                "value", where, f"The fullUrl ends with {quoted('/'.join(parts[-2:]))}, but the resource is {quoted(told)}."
            )


def loose_ends(bundle: Mapping[str, Any], entries: Entries, path: Path, report: Report) -> None:
    """References by urn:uuid or urn:oid can only mean an entry of this Bundle."""
    found = bundle.get("entry")
    severity = "error" if bundle.get("type") in _SELF_CONTAINED else "warning"
    for index, entry in enumerate(found if type(found) is list else ()):
        resource = entry.get("resource") if type(entry) is dict else None
        if type(resource) is not dict:
            continue
        missing = {
            value for _, _, value in references(resource) if _LOGICAL(value) and value.partition("#")[0] not in entries.by_url
        }
        for value in sorted(missing):
            where = ((path, "entry", index), "resource")
            report.note(
                severity, "not-found", where, f"No entry of this Bundle has the fullUrl {quoted(value)} that is referred to."
            )

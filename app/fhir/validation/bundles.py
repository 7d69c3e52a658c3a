"""What a Bundle must be beyond its invariants: fullUrls that agree with their resources, references inside that lead somewhere."""

import re
from collections.abc import Mapping
from typing import Any

from app.fhir.definitions import Definitions
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


def follow(reference: str, entries: Entries, path: Path, report: Report) -> str | None:
    """The type of the resource that a reference leads to inside its Bundle; None where it leads out.

    `urn:uuid:` and `urn:oid:` can mean nothing but an entry: where there is none, nobody will ever find it.
    """
    target = entries.by_url.get(reference.partition("#")[0])
    if target is not None:
        return str(target.get("resourceType"))
    if _LOGICAL(reference):
        severity = "error" if entries.type in _SELF_CONTAINED else "warning"
        report.note(severity, "not-found", path, f"No entry of this Bundle has the fullUrl {quoted(reference)}.")
    return None

"""`_summary` and `_elements`: a resource cut down, and marked SUBSETTED so that nobody stores it back as the whole."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from app.fhir import codec
from app.fhir.definitions import Element, r4
from app.fhir.errors import BadRequest

_SUBSETTED = {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "SUBSETTED"}
_ALWAYS = ("resourceType", "id", "meta")
SUMMARIES = ("true", "text", "data", "count", "false")


@cache
def _by_key(type: str) -> dict[str, Element]:
    keys: dict[str, Element] = {}
    for element in r4().elements(type).values():
        for key in element.json_names:
            keys[key] = keys["_" + key] = element
    return keys


def options(summary: str | None, elements: str | None) -> tuple[str, tuple[str, ...]]:
    """`_summary` and `_elements` as asked on a read. Raises BadRequest."""
    if summary is not None and summary not in SUMMARIES:
        raise BadRequest(f"_summary={summary[:40]}: it is one of {', '.join(SUMMARIES)}.")
    names = tuple(name.strip().rpartition(".")[2] for name in (elements or "").split(",") if name.strip())
    return summary or "false", names


def subset(raw: bytes, summary: str, elements: Sequence[str]) -> bytes:
    """The JSON of the part. `summary` and `elements` as `options` gives them."""
    if summary in ("false", "count") and not elements:
        return raw
    return codec.encode(cut(codec.decode(raw), summary, elements))


def cut(resource: dict[str, Any], summary: str, elements: Sequence[str]) -> dict[str, Any]:
    """The same on a decoded resource, which is left as it is."""
    keys = _by_key(resource["resourceType"])
    if elements:
        kept = {
            k: v for k, v in resource.items() if k in _ALWAYS or keys[k].name in elements or keys[k].min or keys[k].is_modifier
        }
    elif summary == "text":
        kept = {k: v for k, v in resource.items() if k in (*_ALWAYS, "text") or keys[k].min}
    elif summary == "data":
        kept = {k: v for k, v in resource.items() if k != "text"}
    else:
        kept = {"resourceType": resource["resourceType"], **_summary(resource, resource["resourceType"])}
    meta = kept.get("meta") or {}
    return kept | {"meta": meta | {"tag": [*meta.get("tag", ()), _SUBSETTED]}}


def _summary(node: dict[str, Any], type: str) -> dict[str, Any]:
    keys = _by_key(type)
    kept = {}
    for key, value in node.items():
        element = keys.get(key)
        if element is None or not element.is_summary:
            continue
        inner = element.types[0]
        if "." in inner and not key.startswith("_"):  # a backbone element has flags of its own
            value = [_summary(each, inner) for each in value] if isinstance(value, list) else _summary(value, inner)
        kept[key] = value
    return kept

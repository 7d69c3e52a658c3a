"""Every place in a resource that points at another one: found, rewritten (transactions), and the conditional ones among them.

Places are told by element type, not by key: `Reference.reference`, values of the uri family (uri, url, canonical, oid, uuid), and links and
images in narrative. A holder is the dict or list in which the value lies, so that `holder[key] = value` replaces it.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple

from app.fhir.definitions import r4

_URIS = frozenset(["uri", "url", "canonical", "oid", "uuid"])
_LINK = re.compile(r"""(\s(?:href|src)\s*=\s*)("[^"]*"|'[^']*')""", re.IGNORECASE)


class Place(NamedTuple):
    """`holder[key]` is `value`. `kind`: "reference", "uri" or "xhtml"."""

    holder: Any
    key: Any
    value: str
    kind: str


@cache
def _shape(type_name: str) -> Mapping[str, str]:
    """JSON key -> type of the children worth looking into."""
    if type_name not in r4().types:
        return {}
    children: dict[str, str] = {}
    for element in r4().elements(type_name).values():
        children.update((key, kind) for key, kind in element.json_names.items() if _may_point(kind))
    return children


def _may_point(kind: str) -> bool:
    return kind in _URIS or kind == "xhtml" or kind not in r4().primitives


def places(resource: Mapping[str, Any]) -> Iterator[Place]:
    """All places, contained resources and Bundle entries included. Iterative: depth costs no stack."""
    pending: list[tuple[Any, str]] = [(resource, str(resource.get("resourceType", "")))]
    while pending:
        element, type_name = pending.pop()
        shape = _shape(type_name)
        # What an element has is far less than what its type could have. A caller may replace values, not keys, on the way.
        for key, value in element.items():
            kind = shape.get(key)
            if kind is not None:
                if value is not None:
                    yield from _below(element, key, value, kind, pending)
            elif key[0] == "_":  # extensions of primitives
                pending.extend((each, "Element") for each in _listed(value) if type(each) is dict)


def _listed(value: Any) -> list[Any]:
    return value if type(value) is list else [value]


def _below(element: Any, key: str, value: Any, kind: str, pending: list[tuple[Any, str]]) -> Iterator[Place]:
    if kind == "xhtml":
        if type(value) is str:
            yield Place(element, key, value, "xhtml")
    elif kind in _URIS:
        if type(value) is list:
            yield from (Place(value, at, one, "uri") for at, one in enumerate(value) if type(one) is str)
        elif type(value) is str:
            yield Place(element, key, value, "uri")
    else:
        for one in _listed(value):
            if type(one) is not dict:
                continue
            if kind == "Reference" and type(one.get("reference")) is str:
                yield Place(one, "reference", one["reference"], "reference")
            pending.append((one, str(one.get("resourceType", "")) if kind == "Resource" else kind))


def references(resource: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], str, str]]:
    """`(holder, key, value)` of every Reference.reference: the literal references."""
    return ((place.holder, place.key, place.value) for place in places(resource) if place.kind == "reference")


def conditional_references(resource: Mapping[str, Any]) -> list[tuple[dict[str, Any], str, str, str]]:
    """`(holder, key, type, query)` of every reference that is a search (`Patient?identifier=...`)."""
    found = []
    for holder, key, value in references(resource):
        type_name, mark, query = value.partition("?")
        if mark and type_name in r4().resources:
            found.append((holder, key, type_name, query))
    return found


def rewrite(resource: Mapping[str, Any], mapping: Mapping[str, str]) -> int:
    """Replace in place what equals a key of `mapping` (a fullUrl, say), a `#fragment` kept; the number of places changed.

    Identity elements keep their values: `Resource.id` and `Identifier.system` are no pointers, so uris are replaced only when the whole
    value is a key.
    """
    if not mapping:
        return 0
    changed = 0
    for place in list(places(resource)):
        new = _in_html(place.value, mapping) if place.kind == "xhtml" else _target(place.value, mapping)
        if new is not None and new != place.value:
            place.holder[place.key] = new
            changed += 1
    return changed


def _target(value: str, mapping: Mapping[str, str]) -> str | None:
    found = mapping.get(value)
    if found is None and "#" in value:
        base, _, fragment = value.partition("#")
        found = f"{mapping[base]}#{fragment}" if base in mapping else None
    return found


def _in_html(text: str, mapping: Mapping[str, str]) -> str | None:
    if "href" not in text and "src" not in text:
        return None

    def replaced(match: re.Match[str]) -> str:
        quoted = match[2]
        new = _target(quoted[1:-1], mapping)
        return match[0] if new is None else f"{match[1]}{quoted[0]}{new}{quoted[0]}"

    return _LINK.sub(replaced, text)

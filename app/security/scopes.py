"""SMART v2 scopes: `system/Observation.rs` narrows what a role allows, and never widens it.

The grammar is SMART App Launch 2.2 ("scopes and launch context"): `(patient|user|system)/(Type|*).` and a subset of `cruds` in that order;
the v1 words `read`, `write` and `*` are understood. A scope with a search restriction (`?category=...`) is refused at registration: to
take it and not enforce it would widen it.
"""

import re
from functools import lru_cache

from app.fhir.errors import BadRequest, Forbidden
from app.security.access import Access

_SCOPE = re.compile(r"(?P<context>patient|user|system)/(?P<type>\*|[A-Z][A-Za-z]+)\.(?P<verbs>[a-z*]+)(?P<query>\?.*)?")
_V1 = {"read": "rs", "write": "cud", "*": "cruds"}
_WORDS = {"c": "create", "r": "read", "u": "update", "d": "delete", "s": "search"}


def parse_scopes(text: str) -> frozenset[str]:
    """A space-separated list, brought to v2. Raises BadRequest for a scope that cannot be enforced."""
    return frozenset(_normal(scope) for scope in text.split())


def _normal(scope: str) -> str:
    match = _SCOPE.fullmatch(scope)
    if match is None:
        raise BadRequest(f"'{scope[:80]}' is not a SMART scope. An example: system/Observation.rs")
    if match["query"]:
        raise BadRequest(f"'{scope[:80]}' has a search restriction, which this server does not enforce and so does not take.")
    if match["context"] == "patient":
        raise BadRequest(f"'{scope[:80]}' is for a patient's own application; this server gives system and user scopes.")
    verbs = _V1.get(match["verbs"], match["verbs"])
    if not re.fullmatch("c?r?u?d?s?", verbs):
        raise BadRequest(f"'{scope[:80]}': the permissions must be some of the letters c, r, u, d, s, in that order.")
    return f"{match['context']}/{match['type']}.{verbs}"


@lru_cache(maxsize=4096)
def _granted(scopes: frozenset[str], type: str, verb: str) -> bool:
    for scope in scopes:
        match = _SCOPE.fullmatch(scope)
        if match and match["type"] in ("*", type) and verb in match["verbs"]:
            return True
    return False


def permits(access: Access, type: str, verb: str) -> bool:
    """Whether role and scopes allow `verb` (one letter of `cruds`) on `type`. What rows are seen is the store's part."""
    if access.role in ("parent", "public"):
        return False
    if verb in "cud" and not access.may_write:
        return False
    return not access.scopes or _granted(access.scopes, type, verb)


def require(access: Access, type: str, verb: str) -> None:
    """Raises Forbidden where `permits` is false."""
    if not permits(access, type, verb):
        raise Forbidden(f"You may not {_WORDS[verb]} {type} here: your role or your scopes do not allow it.")

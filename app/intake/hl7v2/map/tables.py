"""The maps of mappings/hl7v2/, read once. What an integrator may change is there, not here."""

import json
from functools import cache, lru_cache
from typing import Any

from app.content import MAPPINGS


@cache
def table(name: str) -> dict[str, Any]:
    """One file of mappings/hl7v2/."""
    loaded: dict[str, Any] = json.loads((MAPPINGS / "hl7v2" / f"{name}.json").read_bytes())
    return loaded


@cache
def codes(name: str) -> dict[str, str]:
    """One map of codes.json."""
    found: dict[str, str] = table("codes")[name]
    return found


@cache
def stay(name: str) -> tuple[str, frozenset[str], frozenset[str]]:
    """System, known codes, and those that mean death, of one list of hospital-stay.json."""
    found = table("hospital-stay")[name]
    return found["system"], frozenset(found["codes"]), frozenset(found.get("died", ()))


def event(code: str) -> dict[str, Any] | None:
    """What is done with a trigger event; None where it is not mapped."""
    found: dict[str, Any] | None = table("events")["events"].get(code)
    return found


@lru_cache(4096)
def coding_system(name: str) -> str | None:
    """The URL of a coding system named in a message."""
    found: str | None = table("code-systems")["systems"].get(name.upper())
    return found


@lru_cache(4096)
def identifier_kind(authority: str, type: str) -> str:
    """`nhs`, `chi`, `ignored`, `hospital` (its own record number) or `other` (a record number of another authority)."""
    rules = table("identifiers")
    for kind in ("nhs", "chi"):
        if type in rules[kind]["types"] or authority in rules[kind]["authorities"]:
            return kind
    if type in rules["ignored"]["types"]:
        return "ignored"
    return "hospital" if authority in rules["hospital"]["authorities"] else "other"

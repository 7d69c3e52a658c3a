"""Claims: what makes guards safe between processes.

A snapshot transaction does not see what another adds meanwhile, so two could each find nothing and both create. Every commit with guards therefore
writes to small claim documents: for what its guards ask about and for what its writes may change in another's guards. Two commits that could spoil
each other write one claim both, MongoDB lets the first pass and the other begins again. What must stay true: whatever changes what a guard's plan
matches has, when it is written under guards, one of that plan's claims. Commits without guards need none: before or after a guarded one, each order is
right.

A guard that asks for an identifier, a child, an encounter or an id, and for nothing of other resources, claims just that. Any other claims all `STRIPES`,
of which every guarded write takes one at random: dear, rare, and safe.
"""

import secrets
from collections.abc import Iterable, Sequence
from datetime import timedelta
from hashlib import blake2b
from typing import Any

from pymongo import UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection

from app.fhir.search import types as t
from app.store.mongo.words import Document, param_key

STRIPES = 128
KEEP = timedelta(hours=1)  # far longer than a transaction may last
ANCHORS = ("Patient", "Encounter", "EpisodeOfCare")  # what few resources at a time refer to


def of_plan(plan: t.Plan) -> set[str]:
    """The claims of a guard."""
    # What a chain or `_has` finds changes with resources that the plan does not match, and that have none of its exact claims.
    if not any(isinstance(clause, t.Chain | t.Has | t.AnyOf) for clause in plan.where):
        for clause in plan.where:
            if found := _exact(clause, plan.types):
                return found
    return {f"*{stripe}" for stripe in range(STRIPES)}


def of_any_write() -> str:
    """The claim that every guarded write has, against guards that ask for anything."""
    return f"*{secrets.randbelow(STRIPES)}"


def _exact(clause: t.Clause, types: Sequence[str]) -> set[str]:
    """Claims of which whatever holds `clause` has one; empty where there are none so narrow."""
    match clause:
        case t.Ids() if types:
            return {f"{type}/{id}" for type in types for id in clause.ids}
        case t.Match(modifier=None) if types:
            found: set[str] = set()
            for value in clause.values:
                claims = _of_value(clause.param, value, types)
                if not claims:
                    return set()
                found |= claims
            return found
    return set()


def _of_value(param: t.Param, value: t.Value, types: Sequence[str]) -> set[str]:
    match value:
        case t.TokenValue() if param.code == "identifier" and value.code is not None:
            return {f"{type}={value.code}" for type in types}
        case t.ReferenceValue() if value.id is not None and value.type in ANCHORS:
            return {f"{type}>{value.type}/{value.id}" for type in types}
    return set()


def of_resource(type: str, id: str, words: Iterable[str]) -> set[str]:
    """The claims of a write, from the index words `k` before or after it."""
    found = {f"{type}/{id}"}
    identifier = param_key(type, "identifier") + "="
    for word in words:
        if word.startswith(identifier):
            found.add(f"{type}={word[9:]}")
        elif word[8] == "r" and word[9:].partition("/")[0] in ANCHORS:
            found.add(f"{type}>{word[9:]}")
    return found


async def stake(claims: AsyncCollection[Document], session: AsyncClientSession, wanted: Iterable[str]) -> None:
    """Write to each claim, so that this transaction and any other that does so cannot both pass."""
    # Hashed, since an identifier must not stand in a second place.
    names = sorted(blake2b(name.encode(), digest_size=16).hexdigest() for name in set(wanted))
    # MongoDB removes old claims by its own clock, so it stamps them, too.
    update: dict[str, Any] = {"$inc": {"n": 1}, "$currentDate": {"at": True}}
    if names:
        await claims.bulk_write([UpdateOne({"_id": name}, update, upsert=True) for name in names], session=session)

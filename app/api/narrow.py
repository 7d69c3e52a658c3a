"""Scopes applied to a search plan: types, chains, `_has` and includes that the caller's scopes do not cover are cut out or refused.

Rows are the store's part (owners); this is about types, which scopes speak of.
"""

from dataclasses import replace

from app.fhir.errors import Forbidden
from app.fhir.search.types import AnyOf, Chain, Clause, Has, Plan
from app.security.access import Access
from app.security.scopes import permits, require


def narrow(access: Access, plan: Plan) -> Plan:
    """The plan with what the caller may search. Raises Forbidden where nothing is left."""
    if not access.scopes:
        return plan
    types = tuple(type for type in plan.types if permits(access, type, "s"))
    if not types:
        require(access, plan.types[0], "s")
    return replace(plan, types=types, where=tuple(_clause(access, clause) for clause in plan.where))


def _clause(access: Access, clause: Clause) -> Clause:
    if isinstance(clause, Chain):
        targets = tuple(type for type in clause.targets if permits(access, type, "s"))
        if not targets:
            require(access, clause.targets[0], "s")
        return replace(clause, targets=targets, where=_clause(access, clause.where))
    if isinstance(clause, Has):
        require(access, clause.source, "s")
        return replace(clause, where=_clause(access, clause.where))
    if isinstance(clause, AnyOf):
        kept = []
        refused: Forbidden | None = None
        for inner in clause.clauses:
            try:
                kept.append(_clause(access, inner))
            except Forbidden as error:
                refused = error
        if not kept and refused:
            raise refused
        return AnyOf(tuple(kept))
    return clause

"""The few searches that the registry makes, as plans. Nothing here reads a store."""

from collections.abc import Iterable

from app.fhir.search.types import AnyOf, Clause, Match, Param, Plan, ReferenceValue, TokenValue

PAGE = 500


def by_identifier(type: str, *identifiers: tuple[str, str], count: int = 20) -> Plan:
    """`type?identifier=system|value,…`."""
    values = tuple(TokenValue(system, value) for system, value in identifiers)
    return Plan((type,), (Match(Param("identifier", "token"), values),), count=count)


def of_patient(types: Iterable[str], patient: str, *where: Clause, param: str = "patient", count: int = PAGE) -> Plan:
    """`?_type=…&patient=Patient/<patient>` for types that share the search parameter `param`."""
    return of_patients(types, (patient,), *where, param=param, count=count)


def of_patients(types: Iterable[str], patients: Iterable[str], *where: Clause, param: str = "patient", count: int = PAGE) -> Plan:
    """The same for any of several Patients."""
    values = tuple(ReferenceValue("Patient", patient) for patient in patients)
    return Plan(tuple(types), (Match(Param(param, "reference", ("Patient",)), values), *where), count=count)


def coded(*codes: tuple[str, str | None], param: str = "code") -> Clause:
    """`code=system|code,…`; a code of None is any code of that system."""
    return Match(Param(param, "token"), tuple(TokenValue(system, code) for system, code in codes))


def any_of(*clauses: Clause) -> Clause:
    """One clause that holds where any of `clauses` does."""
    return clauses[0] if len(clauses) == 1 else AnyOf(clauses)

"""FHIR R4 4.0.1 as a table of facts: elements, code lists, invariants, search parameters, compartments, operations.

`r4()` is the whole of it, read once from the file that `build` makes from HL7's package. Nobody edits that file by hand,
and nothing else in the program knows a fact about R4 that is in it.
"""

from app.fhir.definitions.table import (
    Component,
    Definitions,
    Element,
    Invariant,
    Operation,
    OperationParameter,
    SearchParameter,
    Type,
    r4,
)

__all__ = ["Component", "Definitions", "Element", "Invariant", "Operation", "OperationParameter", "SearchParameter", "Type", "r4"]

"""FHIRPath, compiled to closures: one engine for search parameters, invariants, questionnaires and measure criteria.

    compile("Patient.name.where(use = 'official').family").evaluate(patient)  ->  ["Chalmers"]

An expression is parsed once and specialised once for each type that it meets. Evaluation has a step budget (`TooCostly`), never touches
its input, and does no I/O: references are followed only through the `resolve` that the caller hands in.
"""

from app.fhir.fhirpath.environment import Environment
from app.fhir.fhirpath.errors import FHIRPathError, SyntaxProblem
from app.fhir.fhirpath.expression import Expression, compile
from app.fhir.fhirpath.values import Node

__all__ = ["Environment", "Expression", "FHIRPathError", "Node", "SyntaxProblem", "compile"]

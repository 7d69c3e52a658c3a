"""The functions of FHIRPath, a file for each chapter of the standard. `registry` says how to add one."""

from app.fhir.fhirpath.functions import boundaries, collections, conversions, existence, fhir, numbers, strings, tree, utility
from app.fhir.fhirpath.functions.registry import FUNCTIONS, Function

__all__ = [
    "FUNCTIONS",
    "Function",
    "boundaries",
    "collections",
    "conversions",
    "existence",
    "fhir",
    "numbers",
    "strings",
    "tree",
    "utility",
]

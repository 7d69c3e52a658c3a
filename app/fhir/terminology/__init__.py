"""Code systems and value sets in memory, for bindings: is this code in that set? Yes, no, or nobody here can tell.

A set that draws on a system which is not loaded (SNOMED CT, LOINC) is still known in part: a code of another system is not in it. No answer is
ever guessed, so a binding complains only about what is certain.
"""

from app.fhir.terminology.membership import Terminology, standard

__all__ = ["Terminology", "standard"]

"""Structured Data Capture: validate, populate and extract questionnaire responses. Pure functions over plain JSON.

What must stay true: answers are never changed on the way; what a person has not said is never made up; every complaint is
a sentence with a place. Knows FHIR and FHIRPath, and nothing of HTTP or surgery; only `operations` reads a store.
"""

from app.forms.enablement import enabled, without_disabled
from app.forms.extraction import Extracted, extract, resources
from app.forms.items import ItemIssue
from app.forms.operations import operations
from app.forms.populate import populate
from app.forms.validation import validate_response

__all__ = [
    "Extracted",
    "ItemIssue",
    "enabled",
    "extract",
    "operations",
    "populate",
    "resources",
    "validate_response",
    "without_disabled",
]

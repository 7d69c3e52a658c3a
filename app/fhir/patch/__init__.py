"""The three ways to say what should change in a resource: JSON Patch (RFC 6902), FHIRPath Patch (R4) and XML Patch (RFC 5261).

    json_patch({"resourceType": "Patient", "active": True}, [{"op": "replace", "path": "/active", "value": False}])

What must stay true: the resource that is handed in is never touched, and neither is half of a patch applied; no patch makes a resource larger
or deeper than its budget; a problem names the operation and, where there is one, the place in the resource. What comes out is
well-formed, and still has to be validated.
"""

from app.fhir.patch.errors import PatchError
from app.fhir.patch.fhirpath_patch import fhirpath_patch
from app.fhir.patch.json_patch import json_patch, read_json_patch
from app.fhir.patch.xml_patch import xml_patch

__all__ = ["PatchError", "fhirpath_patch", "json_patch", "read_json_patch", "xml_patch"]

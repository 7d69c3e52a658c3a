"""What can go wrong with a patch: it is no patch (`BadRequest`, `Malformed`), or it does not fit the resource (`PatchError`)."""

from app.fhir.errors import FHIRError

MAX_OPERATIONS = 1000


class PatchError(FHIRError):
    """A patch that is one, but cannot be applied to this resource: a place that is not there, a test that does not hold."""

    status, code = 422, "processing"

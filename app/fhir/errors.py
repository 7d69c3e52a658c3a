"""One family of errors. Each knows its HTTP status, its OperationOutcome code and where it struck.

Raise one of these and the channel does the rest: the REST facade answers an OperationOutcome, the MLLP listener a
NAK with ERR, the command line a sentence and an exit code, a page a sentence. Nobody builds an OperationOutcome by hand.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Issue:
    """One problem. `code` is an R4 IssueType; `expression` a FHIRPath location such as `Patient.name[0].given`."""

    severity: str  # fatal | error | warning | information
    code: str
    diagnostics: str
    expression: str | None = None
    line: int | None = None
    column: int | None = None

    def as_fhir(self) -> dict[str, Any]:
        """As `OperationOutcome.issue`."""
        issue: dict[str, Any] = {"severity": self.severity, "code": self.code, "diagnostics": self.diagnostics}
        if self.line is not None:
            issue["location"] = [f"line {self.line}" + (f", column {self.column}" if self.column is not None else "")]
        if self.expression:
            issue["expression"] = [self.expression]
        return issue

    def __str__(self) -> str:
        column = f", column {self.column}" if self.column is not None else ""
        where = self.expression or (f"line {self.line}{column}" if self.line is not None else "")
        return f"{where}: {self.diagnostics}" if where else self.diagnostics


def operation_outcome(issues: Iterable[Issue]) -> dict[str, Any]:
    """The OperationOutcome that carries `issues`."""
    return {"resourceType": "OperationOutcome", "issue": [issue.as_fhir() for issue in issues]}


class FHIRError(Exception):
    """The base: unexpected on our side. Subclasses fix `status` and `code`."""

    status = 500
    code = "exception"

    def __init__(
        self,
        diagnostics: str = "",
        *,
        expression: str | None = None,
        line: int | None = None,
        column: int | None = None,
        issues: Sequence[Issue] | None = None,
    ) -> None:
        self.issues: tuple[Issue, ...] = tuple(
            issues if issues is not None else [Issue("error", self.code, diagnostics, expression, line, column)]
        )
        super().__init__(diagnostics or "; ".join(str(issue) for issue in self.issues))

    def outcome(self) -> dict[str, Any]:
        """As an OperationOutcome."""
        return operation_outcome(self.issues)


class Malformed(FHIRError):
    """Bytes that are not JSON or XML, or break the hard limits on depth and size."""

    status, code = 400, "structure"


class Invalid(FHIRError):
    """Well-formed, but not valid R4: carries every issue at once."""

    status, code = 400, "invalid"


class BadRequest(FHIRError):
    """A search, header or operation parameter that does not mean anything."""

    status, code = 400, "value"


class NotSupported(FHIRError):
    """Something that the standard has and this server does not."""

    status, code = 400, "not-supported"


class Unauthenticated(FHIRError):
    """Nobody knows who asks."""

    status, code = 401, "login"


class Forbidden(FHIRError):
    """We know who asks, and they may not."""

    status, code = 403, "forbidden"


class NotFound(FHIRError):
    """No such thing, or not for this caller to know of."""

    status, code = 404, "not-found"


class MethodNotAllowed(FHIRError):
    """The interaction does not exist on this URL."""

    status, code = 405, "not-supported"


class NotAcceptable(FHIRError):
    """No representation that the caller accepts."""

    status, code = 406, "not-supported"


class Conflict(FHIRError):
    """Somebody else was faster, or the request contradicts what is there."""

    status, code = 409, "conflict"


class Gone(FHIRError):
    """It was here and has been deleted."""

    status, code = 410, "deleted"


class PreconditionFailed(FHIRError):
    """If-Match or a conditional interaction did not hold."""

    status, code = 412, "conflict"


class MultipleMatches(PreconditionFailed):
    """A conditional interaction matched more than one resource."""

    code = "multiple-matches"


class TooLarge(FHIRError):
    """More bytes than the server takes in one request."""

    status, code = 413, "too-long"


class UnsupportedMedia(FHIRError):
    """A body in a format that the server does not read."""

    status, code = 415, "not-supported"


class BusinessRule(FHIRError):
    """Valid R4 that this server's own rules do not allow."""

    status, code = 422, "business-rule"


class TooCostly(FHIRError):
    """Over a step, depth or size budget."""

    status, code = 403, "too-costly"


class Unavailable(FHIRError):
    """The store cannot answer just now; the caller should retry."""

    status, code = 503, "transient"

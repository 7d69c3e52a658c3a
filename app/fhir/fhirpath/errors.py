"""What can go wrong with an expression: it does not parse, or it does not fit what it is asked of."""

from app.fhir.errors import BadRequest


class FHIRPathError(BadRequest):
    """The expression is wrong in itself (syntax, unknown function or type) or on this input (two items where one is needed)."""

    code = "invalid"


class SyntaxProblem(FHIRPathError):
    """Does not parse. `position` counts characters from 0."""

    def __init__(self, text: str, position: int, expected: str) -> None:
        self.position = position
        found = f"'{text[position : position + 12]}'" if position < len(text) else "the end"
        super().__init__(f"FHIRPath: expected {expected} at character {position + 1}, found {found}")

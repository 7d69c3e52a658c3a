"""How a function joins the engine.

`@function("where", 1, lazy=True)` on `def where(items, env, criteria)`: `items` is the input collection; an argument is a collection, or
with `lazy` a `Code` to be run on each item (`criteria.test(item, env)`). With `test` the function answers True, False or None (empty)
instead of a collection. `result` is the FHIR type of the items it gives: a name, "same" as the input, or None for unknown.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

Implementation = Callable[..., Any]
F = TypeVar("F", bound=Implementation)


@dataclass(frozen=True, slots=True)
class Function:
    """One function. `least` and `most` count its arguments."""

    name: str
    run: Implementation
    least: int
    most: int
    lazy: bool
    test: bool
    result: str | None

    @property
    def works_on_text(self) -> bool:
        """Whether its cost goes with the length of a text."""
        return not self.lazy and self.run.__module__.endswith((".strings", ".conversions"))

    @property
    def arity(self) -> str:
        """For an error message."""
        if self.least == self.most:
            return "no argument" if self.least == 0 else f"{self.least} argument{'s' if self.least > 1 else ''}"
        return f"{self.least} to {self.most} arguments"


FUNCTIONS: dict[str, Function] = {}


def function(
    name: str, least: int = 0, most: int | None = None, *, lazy: bool = False, test: bool = False, result: str | None = None
) -> Callable[[F], F]:
    """Register the decorated function under its FHIRPath name."""

    def register(run: F) -> F:
        FUNCTIONS[name] = Function(name, run, least, least if most is None else most, lazy, test, result)
        return run

    return register

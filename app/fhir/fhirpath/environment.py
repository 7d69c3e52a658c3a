"""What an evaluation carries along: the resource, variables, helpers and the step budget."""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from app.fhir.errors import TooCostly
from app.fhir.fhirpath.errors import FHIRPathError
from app.fhir.fhirpath.values import EMPTY, Items, Node

MAX_STEPS = 1_000_000
MAX_TEXT = 1_000_000
TEXT_STEP = 100  # characters of new text that count as one step
Resolver = Callable[[str], Mapping[str, Any] | None]
MemberOf = Callable[[Any, str], bool | None]
Conforms = Callable[[Node, str], bool | None]
Trace = Callable[[str, list[Any]], None]

_WELL_KNOWN = {
    "sct": "http://snomed.info/sct",
    "loinc": "http://loinc.org",
    "ucum": "http://unitsofmeasure.org",
}
RESERVED = frozenset(["context", "resource", "rootResource", *_WELL_KNOWN])


class Environment:
    """One evaluation. `resource` is the nearest resource, `root` the outermost (they differ for contained ones).

    Walks take what they find off `steps`; whatever loops over items watches it (`each`, `spend`).
    What most evaluations do not need are defaults of the class, so that making one costs three assignments.
    """

    variables: Mapping[str, Any] | None = None
    resolve: Resolver | None = None
    member_of: MemberOf | None = None
    conforms: Conforms | None = None
    trace: Trace | None = None
    steps: int = MAX_STEPS
    index: int | None = None
    total: Items = EMPTY
    moment: datetime | None = None

    def __init__(self, context: Any, resource: Node | None = None, root: Node | None = None) -> None:
        self.context = context
        self.resource = resource or context
        self.root = root or self.resource

    def each(self, items: Items) -> Iterator[Any]:
        """The items one by one, with `index` told and the budget watched. Restores `index` when done."""
        saved = self.index
        self.steps -= len(items)
        try:
            for self.index, item in enumerate(items):
                if self.steps < 0:
                    self.spend(0)
                yield item
        finally:
            self.index = saved

    def spend(self, steps: int) -> None:
        """Count work done. Raises TooCostly beyond the budget."""
        self.steps -= steps
        if self.steps < 0:
            raise TooCostly("FHIRPath: the expression takes more steps than allowed")

    def now(self) -> datetime:
        """The moment of this evaluation: the same wherever it is asked for."""
        if self.moment is None:
            self.moment = datetime.now(UTC)
        return self.moment

    def variable(self, name: str) -> Items:
        """The value of `%name`. Raises FHIRPathError for one that was not given."""
        if self.variables is not None and name in self.variables:
            value = self.variables[name]
            return (
                [_item(one) for one in value if one is not None]
                if isinstance(value, list)
                else []
                if value is None
                else [_item(value)]
            )
        match name:
            case "resource":
                return [self.resource]
            case "rootResource":
                return [self.root]
            case "context":
                return [self.context]
        if name in _WELL_KNOWN:
            return [_WELL_KNOWN[name]]
        if name.startswith("vs-"):
            return [f"http://hl7.org/fhir/ValueSet/{name[3:]}"]
        if name.startswith("ext-"):
            return [f"http://hl7.org/fhir/StructureDefinition/{name[4:]}"]
        raise FHIRPathError(f"FHIRPath: there is no %{name}")


def _item(value: Any) -> Any:
    return Node(value, str(value.get("resourceType", ""))) if isinstance(value, dict) else value

"""The two halves of search, as plain values.

`Entries` is what a resource says (made when it is written); `Plan` is what a caller asks (made when a query arrives).
Both stores index the first and compile the second; neither looks into a resource or a query string.

Dates are half-open ranges in microseconds since 1970 UTC; strings are folded (NFKD, no accents, case-folded, single spaces);
quantities and numbers are closed ranges of floats at the precision that was written.
"""

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

IN_BASE_UNITS = "~ucum"  # instead of a unit's system, which is a URI and can be no such thing
Kind = Literal["token", "string", "reference", "date", "number", "quantity", "uri", "composite", "special"]
Prefix = Literal["eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"]


# ---- what a resource says -------------------------------------------------------------------------------------------


class Token(NamedTuple):
    """A code, identifier, boolean or contact point. `system` is "" where none was given. `text` is folded display text."""

    param: str
    system: str
    code: str
    text: str = ""


class OfType(NamedTuple):
    """An identifier with its type, for `:of-type`."""

    param: str
    system: str  # of the type coding
    code: str  # of the type coding
    value: str  # of the identifier


class String(NamedTuple):
    """Folded text, and the text as written for `:exact`."""

    param: str
    folded: str
    exact: str


class Reference(NamedTuple):
    """A reference. Relative and own-server references have `type` and `id`; others keep `url`; logical ones `system|value`."""

    param: str
    type: str  # "" if unknown
    id: str  # "" if not of this server
    url: str = ""  # absolute, canonical (without version) or urn
    version: str = ""  # of a canonical
    system: str = ""  # of a logical identifier
    value: str = ""


class Date(NamedTuple):
    """`low` inclusive, `high` exclusive, microseconds since 1970 UTC. An open side is +-(1 << 62)."""

    param: str
    low: int
    high: int


class Number(NamedTuple):
    param: str
    low: float
    high: float


class Quantity(NamedTuple):
    """In the unit as written. `system`/`code` are "" where absent; `unit` is the human text.

    A quantity whose UCUM unit is understood has a second entry, in base units, whose system is `IN_BASE_UNITS`. Where no system is
    asked for, only the first is meant.
    """

    param: str
    low: float
    high: float
    system: str
    code: str
    unit: str = ""


class Uri(NamedTuple):
    param: str
    uri: str


class Composite(NamedTuple):
    """Component entries that came from one element: each component has one or more entries of its own kind, a quantity both of its."""

    param: str
    components: tuple[tuple["Entry", ...], ...]


Entry = Token | OfType | String | Reference | Date | Number | Quantity | Uri | Composite


@dataclass(slots=True)
class Entries:
    """All index entries of one resource. Params are codes (`birthdate`), not URLs."""

    tokens: list[Token] = field(default_factory=list)
    of_types: list[OfType] = field(default_factory=list)
    strings: list[String] = field(default_factory=list)
    references: list[Reference] = field(default_factory=list)
    dates: list[Date] = field(default_factory=list)
    numbers: list[Number] = field(default_factory=list)
    quantities: list[Quantity] = field(default_factory=list)
    uris: list[Uri] = field(default_factory=list)
    composites: list[Composite] = field(default_factory=list)


# ---- what a caller asks ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Param:
    """A search parameter as the compiler needs it."""

    code: str
    kind: Kind
    targets: tuple[str, ...] = ()  # of a reference
    components: tuple["Param", ...] = ()  # of a composite
    told_by: tuple[tuple[str, tuple[str, ...]], ...] = ()  # types on which the entries of other parameters are all of this one's

    def codes(self, type: str) -> tuple[str, ...]:
        """Under which codes the entries of this parameter are found on a type."""
        for name, codes in self.told_by:
            if name == type:
                return codes
        return (self.code,)


@dataclass(frozen=True, slots=True)
class TokenValue:
    """`system` None: any system; "": explicitly none. `code` None: any code of that system. `value` only for :of-type."""

    system: str | None
    code: str | None
    value: str | None = None


@dataclass(frozen=True, slots=True)
class StringValue:
    folded: str
    exact: str


@dataclass(frozen=True, slots=True)
class ReferenceValue:
    """Either `id` (with `type` where known), or `url` (absolute, canonical, urn), or `system`/`value` for :identifier."""

    type: str | None = None
    id: str | None = None
    url: str | None = None
    version: str | None = None
    system: str | None = None
    value: str | None = None


@dataclass(frozen=True, slots=True)
class DateValue:
    prefix: Prefix
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class NumberValue:
    prefix: Prefix
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class QuantityValue:
    prefix: Prefix
    low: float
    high: float
    system: str | None
    code: str | None


@dataclass(frozen=True, slots=True)
class UriValue:
    uri: str


@dataclass(frozen=True, slots=True)
class CompositeValue:
    components: tuple["Value", ...]


Value = TokenValue | StringValue | ReferenceValue | DateValue | NumberValue | QuantityValue | UriValue | CompositeValue

Modifier = Literal["exact", "contains", "not", "text", "in", "not-in", "above", "below", "of-type", "identifier"]


@dataclass(frozen=True, slots=True)
class Match:
    """`param[:modifier]=v1,v2`: any of `values` (with `not`: none of them)."""

    param: Param
    values: tuple[Value, ...]
    modifier: Modifier | None = None


@dataclass(frozen=True, slots=True)
class Missing:
    """`param:missing=true|false`."""

    param: Param
    missing: bool


@dataclass(frozen=True, slots=True)
class Chain:
    """`subject:Patient.name=peter`: some reference in `param` to one of `targets` for which `where` holds."""

    param: Param
    targets: tuple[str, ...]
    where: "Clause"


@dataclass(frozen=True, slots=True)
class Has:
    """`_has:Observation:patient:code=1234`: some `source` refers here by `param`, and `where` holds for it."""

    source: str
    param: Param
    where: "Clause"


@dataclass(frozen=True, slots=True)
class Ids:
    """`_id=a,b`."""

    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LastUpdated:
    """`_lastUpdated=ge2024-01-01`: any of `values`."""

    values: tuple[DateValue, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one of the clauses (a chain over several target types, a compartment)."""

    clauses: tuple["Clause", ...]


@dataclass(frozen=True, slots=True)
class Nothing:
    """Never holds (an id of an impossible form, say)."""


Clause = Match | Missing | Chain | Has | Ids | LastUpdated | AnyOf | Nothing


@dataclass(frozen=True, slots=True)
class SortKey:
    """`param` None means `_lastUpdated`, `_id` has its own code. Ties are broken by id."""

    param: Param
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Include:
    """`_include=Source:param[:target]`, or `_revinclude` with the same three parts. `params` holds all for `*`."""

    source: str
    params: tuple[Param, ...]
    target: str | None = None
    iterate: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """One search, ready to be compiled. All of `where` must hold."""

    types: tuple[str, ...]
    where: tuple[Clause, ...] = ()
    sort: tuple[SortKey, ...] = ()
    count: int = 50
    cursor: str | None = None  # opaque to all but the store that made it
    includes: tuple[Include, ...] = ()
    revincludes: tuple[Include, ...] = ()
    total: Literal["none", "estimate", "accurate"] = "none"
    summary: Literal["true", "text", "data", "count", "false"] = "false"
    elements: tuple[str, ...] = ()
    used: tuple[tuple[str, str], ...] = ()  # the parameters that were understood, for the self link
    ignored: tuple[str, ...] = ()  # the parameters that were not, for the OperationOutcome

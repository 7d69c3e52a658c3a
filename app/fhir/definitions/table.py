"""The shape of the table, and the questions it answers.

A backbone element is a type of its own, named by its path: `Patient.contact`. A content reference is a use of such a type
(`Questionnaire.item.item` has the type `Questionnaire.item`). A choice element has its bare name (`value`) and many types.
"""

import functools
import gzip
from collections.abc import Mapping
from importlib import resources
from typing import Literal

import msgspec

FILE = "r4.json.gz"


class Invariant(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A rule in FHIRPath. It is asked of the type or element that carries it."""

    key: str
    severity: Literal["error", "warning"]
    human: str
    expression: str


class Element(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One element of a type. `max` None means unbounded."""

    name: str  # `birthDate`; of a choice the bare name, `value`
    min: int
    max: int | None
    types: tuple[str, ...]  # in the order of the standard; `Resource` where any resource may stand
    is_choice: bool = False
    codes: str = ""  # value set of a required binding, where its codes are in the table
    targets: tuple[str, ...] = ()  # resource types that a Reference or canonical may point to; empty: any
    is_summary: bool = False
    is_modifier: bool = False
    is_xml_attribute: bool = False
    invariants: tuple[Invariant, ...] = ()
    binding: str = ""  # value set of a required or extensible binding, listed or not
    is_extensible: bool = False  # whether that binding is extensible
    profile: str = ""  # profile of the data type that every value keeps to: `SimpleQuantity`
    reference: str = ""  # path whose content this element repeats: `Questionnaire.item`

    @property
    def is_list(self) -> bool:
        """Whether JSON has an array here."""
        return self.max is None or self.max > 1

    @property
    def json_names(self) -> dict[str, str]:
        """JSON key -> type: `{"valueQuantity": "Quantity", ...}` of a choice, one entry else."""
        if not self.is_choice:
            return {self.name: self.types[0]}
        return {self.name + type_name[0].upper() + type_name[1:]: type_name for type_name in self.types}


class Type(msgspec.Struct, frozen=True):
    """A resource, data type or backbone element. `own` leaves out what `base` gives."""

    name: str
    kind: Literal["resource", "complex", "primitive", "backbone"]
    base: str
    abstract: bool
    own: tuple[Element, ...]
    invariants: tuple[Invariant, ...] = ()
    pattern: str = ""  # of a primitive, as published


class Component(msgspec.Struct, frozen=True):
    """A part of a composite search parameter: the URL of the parameter it uses, and where to look from."""

    definition: str
    expression: str


class SearchParameter(msgspec.Struct, frozen=True, gc=False):
    """A search parameter as published. `expression` may be empty (`_text`, `_content`)."""

    url: str
    code: str
    type: str
    base: tuple[str, ...]
    expression: str = ""
    targets: tuple[str, ...] = ()
    components: tuple[Component, ...] = ()


class OperationParameter(msgspec.Struct, frozen=True):
    """A parameter of an operation. `max` None means unbounded; `type` is empty where it has parts."""

    name: str
    use: Literal["in", "out"]
    min: int
    max: int | None
    type: str = ""


class Operation(msgspec.Struct, frozen=True):
    """An operation as published: on which levels and types, and with which parameters."""

    url: str
    code: str
    affects_state: bool
    system: bool
    type: bool
    instance: bool
    resources: tuple[str, ...]
    parameters: tuple[OperationParameter, ...] = ()


class Table(msgspec.Struct, frozen=True):
    """The file."""

    version: str
    types: tuple[Type, ...]
    value_sets: dict[str, dict[str, tuple[str, ...]]]
    search_parameters: tuple[SearchParameter, ...]
    compartments: dict[str, dict[str, tuple[str, ...]]]
    operations: tuple[Operation, ...]


class Definitions:
    """The standard, ready to be asked.

    `types`: every type by name. `resources`: names of the concrete resource types. `search_parameters`: all of R4's.
    `compartments`: `{"Patient": {"Observation": ("subject", "performer"), ...}}`. `operations`: all of R4's.
    `value_sets`: `{url: {system: codes}}` of the required bindings that can be listed.
    """

    def __init__(self, table: Table) -> None:
        self.version = table.version
        self.types: Mapping[str, Type] = {each.name: each for each in table.types}
        self.resources = frozenset(each.name for each in table.types if each.kind == "resource" and not each.abstract)
        self.primitives = frozenset(each.name for each in table.types if each.kind == "primitive")
        self.search_parameters = table.search_parameters
        self.compartments = table.compartments
        self.operations = table.operations
        self.value_sets = table.value_sets
        self._elements: dict[str, dict[str, Element]] = {}
        self._json_elements: dict[str, dict[str, Element]] = {}

    def elements(self, type_name: str) -> Mapping[str, Element]:
        """All elements of a type by bare name, inherited ones first, in the order of the standard. KeyError if no such type."""
        found = self._elements.get(type_name)
        if found is None:
            kind = self.types[type_name]
            found = dict(self.elements(kind.base)) if kind.base else {}
            found.update((each.name, each) for each in kind.own)
            self._elements[type_name] = found
        return found

    def json_elements(self, type_name: str) -> Mapping[str, Element]:
        """The same by JSON name, a choice once for each of its types and then with that one type: `valueQuantity`."""
        found = self._json_elements.get(type_name)
        if found is None:
            found = {
                key: msgspec.structs.replace(each, types=(kind,)) if each.is_choice else each
                for each in self.elements(type_name).values()
                for key, kind in each.json_names.items()
            }
            self._json_elements[type_name] = found
        return found

    def element(self, type_name: str, name: str) -> Element | None:
        """The element of that bare name (`value`) or JSON name (`valueQuantity`, then with that one type); None if there is none."""
        if type_name not in self.types:
            return None
        return self.elements(type_name).get(name) or self.json_elements(type_name).get(name)

    def ancestors(self, type_name: str) -> tuple[str, ...]:
        """The type and what it builds on, nearest first: `("Patient", "DomainResource", "Resource")`."""
        chain: list[str] = []
        while type_name:
            chain.append(type_name)
            type_name = self.types[type_name].base
        return tuple(chain)

    def invariants(self, type_name: str) -> tuple[Invariant, ...]:
        """The rules on a type as a whole, inherited ones included."""
        return tuple(rule for name in reversed(self.ancestors(type_name)) for rule in self.types[name].invariants)


def pack(table: Table) -> bytes:
    """The bytes of the file: the same table gives the same JSON."""
    return gzip.compress(msgspec.json.encode(table), compresslevel=9, mtime=0)


def unpack(raw: bytes) -> Table:
    """The table in those bytes."""
    return msgspec.json.decode(gzip.decompress(raw), type=Table)


@functools.cache
def r4() -> Definitions:
    """R4 4.0.1, read once (some milliseconds)."""
    return Definitions(unpack(resources.files(__package__).joinpath(FILE).read_bytes()))

"""FHIR operations as values: an OperationDefinition and the function that answers it.

The definition is the one source: it drives the route (`system`, `type`, `instance`, `resource`), how parameters are read from a query
string or a body, and the entry in the CapabilityStatement. Any room can make an `Operation`; the REST facade only serves it.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, Literal

from app.fhir.errors import BadRequest

Level = Literal["system", "type", "instance"]


@dataclass(frozen=True, slots=True)
class OperationRequest:
    """One call. `parameters` is always a Parameters resource, whichever way the caller sent it; `base` is the FHIR base URL, for links."""

    level: Level
    type: str | None = None
    id: str | None = None
    method: str = "POST"
    base: str = ""
    parameters: Mapping[str, Any] = field(default_factory=lambda: {"resourceType": "Parameters"})

    def values(self, name: str) -> list[Any]:
        """All values of a parameter: the `value[x]`, the `resource`, or for a parameter with parts its list of parts."""
        return [_value(entry) for entry in self.parameters.get("parameter") or [] if entry.get("name") == name]

    def value(self, name: str, default: Any = None) -> Any:
        """The first value of a parameter, or `default`."""
        values = self.values(name)
        return values[0] if values else default


# The first argument is `app.security.access.Access`, of which this floor knows nothing.
# The result is a resource: as a dict, or as the bytes of its JSON where they are at hand.
Handler = Callable[[Any, OperationRequest], Awaitable[Mapping[str, Any] | bytes]]


@dataclass(frozen=True, slots=True)
class Operation:
    """`definition` is a whole R4 OperationDefinition resource."""

    definition: Mapping[str, Any]
    handler: Handler

    @property
    def name(self) -> str:
        """Without the `$`."""
        return str(self.definition["code"])

    @property
    def types(self) -> tuple[str, ...]:
        """The resource types that have it; `("Resource",)` means all."""
        return tuple(self.definition.get("resource") or ())

    @property
    def levels(self) -> frozenset[Level]:
        """Where it can be called."""
        every: tuple[Level, ...] = ("system", "type", "instance")
        return frozenset(level for level in every if self.definition.get(level))

    @property
    def affects_state(self) -> bool:
        """True where GET is not allowed."""
        return bool(self.definition.get("affectsState"))

    def answers(self, level: Level, type: str | None) -> bool:
        """Whether the operation exists at that place."""
        return level in self.levels and (level == "system" or type in self.types or "Resource" in self.types)

    def _inputs(self) -> dict[str, Mapping[str, Any]]:
        return {p["name"]: p for p in self.definition.get("parameter") or [] if p.get("use") == "in"}

    def from_query(self, pairs: Sequence[tuple[str, str]]) -> dict[str, Any]:
        """Parameters from a query string. Raises BadRequest for a name or a value that the definition does not have."""
        parameters = self._told(pairs)
        return self.checked({"resourceType": "Parameters", **({"parameter": parameters} if parameters else {})})

    def _told(self, pairs: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
        inputs = self._inputs()
        parameters = []
        for name, text in pairs:
            if name in ("_format", "_pretty"):
                continue
            if name not in inputs:
                raise BadRequest(f"${self.name} has no parameter '{name}'. It has: {', '.join(sorted(inputs)) or 'none'}.")
            type_ = str(inputs[name].get("type", "string"))
            parameters.append({"name": name, **_primitive(name, type_, text)})
        return parameters

    def from_body(self, body: Mapping[str, Any], pairs: Sequence[tuple[str, str]] = ()) -> dict[str, Any]:
        """Parameters from a body: a Parameters resource, or the one resource that the operation takes; beside that the URL may have the others."""
        if body.get("resourceType") == "Parameters":
            return self.checked(dict(body))
        single = [name for name, p in self._inputs().items() if str(p.get("type", ""))[:1].isupper()]
        if len(single) != 1 and "resource" in single:
            single = ["resource"]
        if len(single) != 1:
            raise BadRequest(
                f"${self.name} takes a Parameters resource, not a {body.get('resourceType')}.", expression="Parameters"
            )
        given = [{"name": single[0], "resource": dict(body)}, *self._told(pairs)]
        return self.checked({"resourceType": "Parameters", "parameter": given})

    def checked(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """The same, after a check of names, of what each may be and how often it may come. Raises BadRequest."""
        inputs = self._inputs()
        entries = parameters.get("parameter") or []
        if not _objects(entries):
            raise BadRequest("Parameters.parameter must be an array of objects.", expression="Parameters.parameter")
        counts: dict[str, int] = {}
        for index, entry in enumerate(entries):
            name = str(entry.get("name"))
            counts[name] = counts.get(name, 0) + 1
            at = f"Parameters.parameter[{index}]"
            if name not in inputs:
                raise BadRequest(f"${self.name} has no parameter '{name}'.", expression=f"{at}.name")
            type_ = str(inputs[name].get("type", ""))
            if not _is(type_, _value(entry)):
                raise BadRequest(f"The parameter '{name}' of ${self.name} is not {type_ or 'a list of parts'}.", expression=at)
        for name, declared in inputs.items():
            most = str(declared.get("max", "*"))
            if counts.get(name, 0) < int(declared.get("min", 0)):
                raise BadRequest(f"${self.name} needs the parameter '{name}'.", expression="Parameters.parameter")
            if most != "*" and counts.get(name, 0) > int(most):
                raise BadRequest(
                    f"${self.name} takes the parameter '{name}' at most {most} time(s).", expression="Parameters.parameter"
                )
        return parameters


def _value(entry: Mapping[str, Any]) -> Any:
    if "resource" in entry:
        return entry["resource"]
    if "part" in entry:
        return entry["part"]
    return next((value for key, value in entry.items() if key.startswith("value")), None)


_TEXT = {"string", "code", "uri", "url", "canonical", "id", "date", "dateTime", "instant", "time", "oid", "uuid", "markdown"}
_WHOLE = {"integer", "positiveInt", "unsignedInt"}


def _objects(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, dict) for each in value)


def _is(type_: str, value: Any) -> bool:
    """Whether a value can be of that type at all: a handler that asked for a number gets a number. `code` may come as `valueString`."""
    if not type_:
        return _objects(value)
    if type_ == "boolean":
        return isinstance(value, bool)
    if type_ in _WHOLE:
        return isinstance(value, int) and not isinstance(value, bool)
    if type_ == "decimal":
        return isinstance(value, int | Decimal) and not isinstance(value, bool)
    return type_ == "Any" or isinstance(value, str if type_ in _TEXT else dict)


def _primitive(name: str, type_: str, text: str) -> dict[str, Any]:
    """`valueX` for a primitive in a query string. Raises BadRequest."""
    key = f"value{type_[0].upper()}{type_[1:]}"
    if type_ in _TEXT:
        return {key: text}
    if type_ == "Reference":
        return {key: {"reference": text}}
    if type_ == "boolean" and text in ("true", "false"):
        return {key: text == "true"}
    try:
        if type_ in _WHOLE:
            return {key: int(text)}
        if type_ == "decimal":
            return {key: Decimal(text)}
    except (ValueError, InvalidOperation):
        pass
    raise BadRequest(f"The parameter '{name}' is a {type_}: '{text[:60]}' cannot be read as one from a URL.")

"""One asked value to a typed one: `ge2024-01-01`, `http://loinc.org|8480-6`, `5.4|http://unitsofmeasure.org|mg`."""

from decimal import Decimal

from app.fhir.definitions import r4
from app.fhir.errors import BadRequest
from app.fhir.fhirpath.types import type_in_reference
from app.fhir.search.types import (
    CompositeValue,
    DateValue,
    NumberValue,
    Param,
    Prefix,
    QuantityValue,
    ReferenceValue,
    StringValue,
    TokenValue,
    UriValue,
    Value,
)
from app.fhir.search.values import date_range, fold, number_range, parse_number, split, unescape

_PREFIXES: dict[str, Prefix] = {
    "eq": "eq", "ne": "ne", "gt": "gt", "lt": "lt", "ge": "ge", "le": "le", "sa": "sa", "eb": "eb", "ap": "ap",
}  # fmt: skip
_RANGED = ("eq", "ne")


def _prefix(text: str) -> tuple[Prefix, str]:
    prefix = _PREFIXES.get(text[:2])
    return (prefix, text[2:]) if prefix is not None else ("eq", text)


class Reader:
    """Reads values. `base` is the server's own URL with a slash, `now` microseconds since 1970 (for `ap` on dates)."""

    def __init__(self, base: str | None, now: int) -> None:
        self.base = base
        self.now = now

    def value(self, name: str, param: Param, modifier: str, text: str, target: str | None = None) -> Value:
        """`text` still has its escapes. Raises BadRequest naming the parameter."""
        match param.kind:
            case "token":
                return self.token(name, modifier, text)
            case "string":
                plain = unescape(text)
                return StringValue(fold(plain), plain)
            case "reference":
                return self.identifier(name, text) if modifier == "identifier" else self.reference(name, param, text, target)
            case "date":
                return self.date(name, text)
            case "number":
                prefix, low, high = self.number(name, text)
                return NumberValue(prefix, low, high)
            case "quantity":
                return self.quantity(name, text)
            case "uri":
                return UriValue(unescape(text))
            case "composite":
                return self.composite(name, param, text)
        raise BadRequest(f"{name}: a {param.kind} parameter cannot be searched")

    def token(self, name: str, modifier: str, text: str) -> Value:
        if modifier == "text":
            plain = unescape(text)
            return StringValue(fold(plain), plain)
        parts = [unescape(part) for part in split(text, "|")]
        if modifier == "of-type":
            if len(parts) != 3 or not all(parts[1:]):
                raise BadRequest(f"{name}: write system|code|value")
            return TokenValue(parts[0] or None, parts[1], parts[2])
        if len(parts) > 2:
            raise BadRequest(f"{name}: '{text[:100]}' has more than one '|'")
        if len(parts) == 1:
            return TokenValue(None, parts[0])
        system, code = parts
        if not system and not code:
            raise BadRequest(f"{name}: '|' alone is no code")
        return TokenValue(system, code or None)

    def identifier(self, name: str, text: str) -> ReferenceValue:
        parts = [unescape(part) for part in split(text, "|")]
        if len(parts) > 2 or not parts[-1]:
            raise BadRequest(f"{name}: write system|value")
        return ReferenceValue(system=parts[0] if len(parts) == 2 else None, value=parts[-1])

    def reference(self, name: str, param: Param, text: str, target: str | None) -> ReferenceValue:
        plain = unescape(text)
        if self.base is not None and plain.startswith(self.base):
            plain = plain[len(self.base) :]
        if ":" in plain:
            url, _, version = plain.partition("|")
            return ReferenceValue(type=target or type_in_reference(url), url=url, version=version or None)
        parts = plain.split("/")
        if len(parts) == 1:
            only = param.targets[0] if len(param.targets) == 1 and param.targets[0] in r4().resources else None
            return ReferenceValue(type=target or only, id=plain)
        if len(parts) not in (2, 4) or parts[0] not in r4().resources or not parts[1]:
            raise BadRequest(f"{name}: '{plain[:100]}' is no reference: write Type/id, an id, or an absolute URL")
        if target is not None and target != parts[0]:
            raise BadRequest(f"{name}: '{plain[:100]}' is not a {target}")
        return ReferenceValue(type=parts[0], id=parts[1])

    def date(self, name: str, text: str) -> DateValue:
        prefix, rest = _prefix(unescape(text).strip())
        span = date_range(rest[:-6] + "+" + rest[-5:] if rest[-6:-5] == " " and "T" in rest else rest)
        if span is None:
            raise BadRequest(f"{name}: '{text[:40]}' is no date; write 2024, 2024-05, 2024-05-31 or 2024-05-31T10:00:00Z")
        low, high = span
        if prefix == "ap":
            slack = abs(self.now - low) // 10
            low, high = low - slack, high + slack
        return DateValue(prefix, low, high)

    def number(self, name: str, text: str) -> tuple[Prefix, float, float]:
        """The prefix and the closed range: what rounds to the number after eq and ne, 10 % about it after ap, else the number."""
        prefix, rest = _prefix(text.strip())
        value = parse_number(rest)
        if value is None:
            raise BadRequest(f"{name}: '{text[:40]}' is no number")
        if prefix in _RANGED:
            return prefix, *number_range(value)
        slack = abs(value) / Decimal(10) if prefix == "ap" else Decimal(0)
        return prefix, float(value - slack), float(value + slack)

    def quantity(self, name: str, text: str) -> QuantityValue:
        parts = [unescape(part) for part in split(text, "|")]
        if len(parts) > 3:
            raise BadRequest(f"{name}: write number|system|code")
        prefix, low, high = self.number(name, parts[0])
        if len(parts) == 2:  # `5.4|mg`: a unit whose system is left out with its bar
            return QuantityValue(prefix, low, high, None, parts[1] or None)
        system, code = (parts[1], parts[2]) if len(parts) == 3 else ("", "")
        return QuantityValue(prefix, low, high, system or None, code or None)

    def composite(self, name: str, param: Param, text: str) -> CompositeValue:
        parts = split(text, "$")
        if len(parts) != len(param.components):
            raise BadRequest(f"{name}: write {len(param.components)} values with '$' between them")
        return CompositeValue(
            tuple(self.value(name, component, "", part) for component, part in zip(param.components, parts, strict=True))
        )

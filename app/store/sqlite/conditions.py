"""One value of a search as a condition on the columns of one index row (R4, search prefixes and modifiers).

The same conditions serve an index table and a component of a composite, which has the same columns. Dates are half-open ranges,
numbers closed ones. What must stay true: each condition that leads bounds `low`, by which all rows are indexed, or asks for the few
rows so wide that `high` has an index of its own.
"""

from collections.abc import Sequence
from typing import NamedTuple

from app.fhir.errors import NotSupported
from app.fhir.search import types as t
from app.store.meaning import LOGICAL, inside
from app.store.sqlite.rows import hashed

_LAST = "\U0010ffff"
DAY = 86_400_000_000
BASE = hashed(t.IN_BASE_UNITS)


class Sql(NamedTuple):
    """A piece of SQL with the values of its question marks."""

    text: str
    values: tuple[object, ...] = ()


def any_of(pieces: Sequence[Sql]) -> Sql:
    """`(a OR b)`."""
    return _join(" OR ", pieces, "0")


def all_of(pieces: Sequence[Sql]) -> Sql:
    """`(a AND b)`."""
    return _join(" AND ", pieces, "1")


def _join(word: str, pieces: Sequence[Sql], none: str) -> Sql:
    if len(pieces) == 1:
        return pieces[0]
    text = word.join(piece.text for piece in pieces)
    return Sql(f"({text})" if pieces else none, tuple(value for piece in pieces for value in piece.values))


def one_of(column: str, values: Sequence[object]) -> Sql:
    """`column = ?` or `column IN (?, ?)`."""
    if len(values) == 1:
        return Sql(f"{column} = ?", tuple(values))
    return Sql(f"{column} IN ({', '.join('?' * len(values))})", tuple(values))


def table_of(kind: t.Kind, modifier: str | None = None) -> tuple[str, str]:
    """The index table of a kind of parameter, and the part of its key. Raises NotSupported for a kind that is not indexed."""
    if kind == "token" and modifier == "text":
        return "string", "text"
    if kind == "token" and modifier == "of-type":
        return "token", "of-type"
    tables = {"uri": "string", "quantity": "number", "special": ""}
    table = tables.get(kind, kind)
    if not table:
        raise NotSupported("This parameter cannot be searched by value.")
    return table, ""


def conditions(match: t.Match, a: str) -> list[Sql]:
    """The alternatives of `match` on a row called `a`, as few as there can be."""
    pairs = [
        value for value in match.values if isinstance(value, t.TokenValue) and value.code is not None and value.system is not None
    ]
    if len(pairs) > 1 and match.modifier in (None, "not", "in", "not-in"):
        rest = [value for value in match.values if value not in pairs]
        listed = Sql(
            f"({a}.code, {a}.system) IN (VALUES {', '.join(['(?, ?)'] * len(pairs))})",
            tuple(part for value in pairs for part in (value.code, hashed(value.system or ""))),
        )
        return [listed, *(condition(match.param, match.modifier, value, a) for value in rest)]
    return [condition(match.param, match.modifier, value, a) for value in match.values]


def leading(match: t.Match, a: str) -> list[Sql]:
    """The same, each bounded on a column that an index leads with.

    A bound on `high` is one on `low` for rows that are no wider than `DAY` (a number: than nothing), and for the others has an index.
    """
    if match.param.kind not in ("date", "number", "quantity"):
        return conditions(match, a)
    width = DAY if match.param.kind == "date" else 0
    found: list[Sql] = []
    for value in match.values:
        one = condition(match.param, match.modifier, value, a)
        if not isinstance(value, t.DateValue | t.NumberValue | t.QuantityValue) or value.prefix not in ("gt", "ge", "ap", "ne"):
            found.append(one)
            continue
        wide = Sql(f"{a}.high - {a}.low > {width}")
        beyond = value.low if value.prefix in ("ge", "ap") else value.high
        if value.prefix == "ne":
            found.append(all_of([Sql(f"{a}.low < ?", (value.low,)), one]))
        found += [all_of([Sql(f"{a}.low >= ?", (beyond - width,)), one]), all_of([wide, Sql(f"{a}.high >= ?", (beyond,)), one])]
    return found


def condition(param: t.Param, modifier: str | None, value: t.Value, a: str) -> Sql:
    """What a row called `a` must say for `value` to hold."""
    match value:
        case t.TokenValue():
            return _token(value, modifier, a)
        case t.StringValue():
            return _string(value, modifier, a)
        case t.UriValue():
            return _uri(value.uri, modifier, a)
        case t.ReferenceValue():
            return _reference(value, a)
        case t.DateValue():
            return date_condition(f"{a}.low", f"{a}.high", value)
        case t.NumberValue():
            return _number(value, a)
        case t.QuantityValue():
            return all_of([_number(value, a), *_unit(value, a)])
    raise NotSupported(f"The parameter '{param.code}' cannot be searched like this.")


def _token(value: t.TokenValue, modifier: str | None, a: str) -> Sql:
    if modifier in ("above", "below"):
        raise NotSupported(f"The modifier ':{modifier}' is not supported on tokens.")
    if modifier == "text":
        return _string(t.StringValue(value.code or "", value.code or ""), None, a)
    code = f"{value.code}|{value.value}" if modifier == "of-type" else value.code
    pieces = []
    if code is not None:
        pieces.append(Sql(f"{a}.code = ?", (code,)))
    if value.system is not None:
        pieces.append(Sql(f"{a}.system = ?", (hashed(value.system),)))
    return all_of(pieces)


def _prefix(column: str, text: str) -> Sql:
    return Sql(f"{column} >= ? AND {column} < ?", (text, text + _LAST))


def _string(value: t.StringValue, modifier: str | None, a: str) -> Sql:
    if modifier == "exact":
        return Sql(f"{a}.folded = ? AND {a}.exact = ?", (value.folded, value.exact))
    if modifier == "contains":
        return Sql(f"instr({a}.folded, ?) > 0", (inside(value),))
    return _prefix(f"{a}.folded", value.folded)


def _uri(uri: str, modifier: str | None, a: str) -> Sql:
    if modifier == "below":
        stem = uri.rstrip("/") + "/"
        return any_of([Sql(f"{a}.folded = ?", (uri,)), _prefix(f"{a}.folded", stem)])
    if modifier == "above":
        return one_of(f"{a}.folded", _ancestors(uri))
    return Sql(f"{a}.folded = ?", (uri,))


def _ancestors(uri: str) -> list[str]:
    ends = [index for index, char in enumerate(uri) if char == "/"]
    return [uri, *(form for end in ends for form in (uri[:end], uri[: end + 1]))]


def _reference(value: t.ReferenceValue, a: str) -> Sql:
    pieces = []
    if value.id is not None:
        pieces.append(Sql(f"{a}.id = ?", (value.id,)))
        known = Sql(f"{a}.type = ?", (value.type,)) if value.type else Sql(f"{a}.type NOT IN ('', '{LOGICAL}')")
        pieces.append(known)
    elif value.url is not None:
        pieces.append(Sql(f"{a}.id = ? AND {a}.type = ''", (value.url,)))
        if value.version:
            pieces.append(Sql(f"{a}.version = ?", (value.version,)))
    else:
        if value.value is not None:
            pieces.append(Sql(f"{a}.id = ?", (value.value,)))
        pieces.append(Sql(f"{a}.type = '{LOGICAL}'"))
        if value.system is not None:
            pieces.append(Sql(f"{a}.version = ?", (value.system,)))
    return all_of(pieces)


def date_condition(low: str, high: str, value: t.DateValue, span: int = 0) -> Sql:
    """Half-open ranges. `span`: where only `low` is kept, `high` is the same column and this much more."""
    first, last = value.low, value.high
    match value.prefix:
        case "eq":
            return Sql(f"{low} >= ? AND {low} < ? AND {high} <= ?", (first, last, last - span))
        case "ne":
            return Sql(f"({low} < ? OR {high} > ?)", (first, last - span))
        case "gt":
            return Sql(f"{high} > ?", (last - span,))
        case "lt":
            return Sql(f"{low} < ?", (first,))
        case "ge":
            return Sql(f"{high} > ? AND ({high} > ? OR {low} >= ?)", (first - span, last - span, first))
        case "le":
            return Sql(f"{low} < ? AND ({low} < ? OR {high} <= ?)", (last, first, last - span))
        case "sa":
            return Sql(f"{low} >= ?", (last,))
        case "eb":
            return Sql(f"{low} < ? AND {high} <= ?", (first, first - span))
        case "ap":
            return Sql(f"{low} < ? AND {high} > ?", (last, first - span))


def _number(value: t.NumberValue | t.QuantityValue, a: str) -> Sql:
    low, high, first, last = f"{a}.low", f"{a}.high", value.low, value.high
    match value.prefix:
        case "eq":
            return Sql(f"{low} >= ? AND {low} <= ? AND {high} <= ?", (first, last, last))
        case "ne":
            return Sql(f"({low} < ? OR {high} > ?)", (first, last))
        case "gt":
            return Sql(f"{high} > ?", (last,))
        case "lt":
            return Sql(f"{low} < ?", (first,))
        case "ge":
            return Sql(f"{high} >= ? AND ({high} > ? OR {low} >= ?)", (first, last, first))
        case "le":
            return Sql(f"{low} <= ? AND ({low} < ? OR {high} <= ?)", (last, first, last))
        case "sa":
            return Sql(f"{low} > ?", (last,))
        case "eb":
            return Sql(f"{low} < ? AND {high} < ?", (first, first))
        case "ap":
            return Sql(f"{low} <= ? AND {high} >= ?", (last, first))


def _unit(value: t.QuantityValue, a: str) -> list[Sql]:
    if value.code is not None and value.system is not None:
        return [Sql(f"{a}.code = ? AND {a}.system = ?", (value.code, hashed(value.system)))]
    if value.system is not None:
        return [Sql(f"{a}.system = ?", (hashed(value.system),))]
    as_written = Sql(f"{a}.system <> {BASE}")
    return [as_written] if value.code is None else [as_written, Sql(f"({a}.code = ? OR {a}.unit = ?)", (value.code, value.code))]

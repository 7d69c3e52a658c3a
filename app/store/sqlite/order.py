"""`_sort`: the statement that reads one page in order; a missing value comes last either way, ties are broken by id and then type;
a period stands where it begins.

Two ways. `sorted_page` takes all candidates and sorts them: right for few. `walked_page` follows the index of the sort parameter and probes each row for the
rest: right where many match, since it stops when the page is full; it knows nothing of resources without a value, so a page that it cannot
fill is read the first way.
"""

from collections.abc import Sequence
from math import isqrt
from typing import Any

from app.fhir.errors import BadRequest
from app.fhir.search import types as t
from app.store.sqlite.clauses import Clauses, Source, keys
from app.store.sqlite.conditions import BASE, Sql, all_of, one_of, table_of

_WALKED = {"date": ("date", ("low", "high"), "date_low"), "string": ("string", ("folded", "exact"), "string_value")}


def walk_from(limit: int, resources: int) -> int:
    """From how many candidates on a walk is cheaper: sorting costs each candidate, walking `resources / candidates` probes for each match."""
    return max(500, isqrt(limit * resources))


def can_walk(plan: t.Plan, types: Sequence[str]) -> bool:
    """One sort key of a kind that has an index in the order of its values, on one type."""
    return (
        len(plan.sort) == 1
        and len(types) == 1
        and plan.sort[0].param.kind in _WALKED
        and len(plan.sort[0].param.codes(types[0])) == 1
        and not plan.sort[0].param.code.startswith("_")
    )


def walked_page(clauses: Clauses, plan: t.Plan, type: str, last: list[Any] | None, limit: int) -> Sql | None:
    """`rid, id, type, sort value` in order, those without a value left out. None where the page before had reached these."""
    if last is not None and last[3] is None:
        return None
    (key,) = plan.sort
    table, (first, second), index = _WALKED[key.param.kind]
    w, other = clauses.alias(), clauses.alias()
    beyond, word = ("<", " DESC") if key.descending else (">", "")
    conditions = [one_of(f"{w}.key", keys((type,), key.param))]
    if last is not None:
        _, id, _, value = last
        conditions += [Sql(f"{w}.{first} {beyond}= ?", (value,)), Sql(f"({w}.{first} {beyond} ? OR r.id > ?)", (value, id))]
    # A resource with several values stands where its first is: the least, or the greatest when descending.
    better = f"({other}.{first}, {other}.{second}) {'>' if key.descending else '<'} ({w}.{first}, {w}.{second})"
    same = f"{other}.rid = {w}.rid AND {other}.key = {w}.key"
    conditions.append(Sql(f"NOT EXISTS (SELECT 1 FROM {table} {other} WHERE {same} AND {better})"))
    conditions += [clauses.holds(clause, (type,), f"{w}.rid") for clause in plan.where]
    where = all_of([*conditions, *clauses.owned(f"{w}.rid")])
    return Sql(
        f"SELECT r.rid, r.id, r.type, {w}.{first} FROM {table} {w} INDEXED BY {index}"
        f" CROSS JOIN resource r ON r.rid = {w}.rid WHERE {where.text} ORDER BY {w}.{first}{word}, r.id LIMIT ?",
        (*where.values, limit),
    )


def sorted_page(
    clauses: Clauses, plan: t.Plan, types: Sequence[str], source: Source, where: Sql, last: list[Any] | None, limit: int
) -> Sql:
    """`rid, id, type, sort values` of the rows of `source` for which `where` holds."""
    found = [_value(clauses, key, types, f"{source.alias}.rid") for key in plan.sort]
    columns = "".join(f", {key.text} AS k{number}" for number, key in enumerate(found))
    inner = (
        f"SELECT DISTINCT {source.alias}.rid AS rid, r.id AS id, r.type AS type{columns}"
        f" FROM {source.tables.text} CROSS JOIN resource r ON r.rid = {source.alias}.rid WHERE {where.text}"
    )
    values = tuple(value for key in found for value in key.values) + source.tables.values + where.values
    after = _after(plan.sort, last) if last is not None else Sql("1")
    order = "".join(f"k{number} IS NULL, k{number}{' DESC' if key.descending else ''}, " for number, key in enumerate(plan.sort))
    names = "".join(f", k{number}" for number in range(len(found)))
    return Sql(
        f"SELECT rid, id, type{names} FROM ({inner}) WHERE {after.text} ORDER BY {order}id, type LIMIT ?",
        (*values, *after.values, limit),
    )


def _value(clauses: Clauses, key: t.SortKey, types: Sequence[str], rid: str) -> Sql:
    """What a resource is sorted by: its least value, or its greatest when descending; NULL where it has none."""
    if key.param.code in ("_lastUpdated", "_id"):
        return Sql("r.updated" if key.param.code == "_lastUpdated" else "r.id")
    if key.param.kind in ("composite", "special"):
        raise BadRequest(f"Sorting by '{key.param.code}' has no meaning.")
    columns = {"token": "code", "string": "folded", "uri": "folded", "reference": "id"}
    column = columns.get(key.param.kind, "low")
    table, _ = table_of(key.param.kind)
    a = clauses.alias()
    wanted = one_of(f"{a}.key", keys(types, key.param))
    as_written = f" AND {a}.system <> {BASE}" if key.param.kind == "quantity" else ""
    word = "max" if key.descending else "min"
    # With a bare column and several keys SQLite 3.40 gives the least value of the first key.
    return Sql(
        f"(SELECT {word}(+{a}.{column}) FROM {table} {a} WHERE {a}.rid = {rid} AND {wanted.text}{as_written})", wanted.values
    )


def _after(sort: Sequence[t.SortKey], last: list[Any]) -> Sql:
    """Strictly after the row `[rid, id, type, k0, k1, …]`, where a missing value comes last either way."""
    _, id, type, *values = last
    equal: list[Sql] = []
    ways: list[Sql] = []
    for number, (key, value) in enumerate(zip(sort, values, strict=True)):
        if value is not None:
            beyond = Sql(f"(k{number} {'<' if key.descending else '>'} ? OR k{number} IS NULL)", (value,))
            ways.append(all_of([*equal, beyond]))
        equal.append(Sql(f"k{number} IS ?", (value,)))
    ways.append(all_of([*equal, Sql("(id > ? OR (id = ? AND type > ?))", (id, id, type))]))
    return Sql("(" + " OR ".join(way.text for way in ways) + ")", tuple(value for way in ways for value in way.values))

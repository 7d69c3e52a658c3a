"""The clauses of a `Plan` as SQL, in two forms.

`holds(clause, types, rid)` is a condition on one resource (an indexed probe); `source(clause, types)` is the set of resources for
which it holds, read from an index by value, or None where a clause cannot lead (a negation). What must stay true: every step from one resource
to another applies the owner filter to the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import NamedTuple

from app.fhir.errors import NotSupported
from app.fhir.search import types as t
from app.security.access import Access
from app.store.meaning import CANONICAL, INSTANT, URL, VERSION
from app.store.sqlite.conditions import Sql, all_of, any_of, condition, conditions, date_condition, leading, one_of, table_of
from app.store.sqlite.rows import param_key

NEGATIVE = ("not", "not-in")


class Source(NamedTuple):
    """`SELECT s.rid FROM {tables} WHERE {where}` with `alias` for s."""

    alias: str
    tables: Sql
    where: Sql

    def select(self, distinct: bool = False) -> Sql:
        """As a statement."""
        word = "DISTINCT " if distinct else ""
        return Sql(
            f"SELECT {word}{self.alias}.rid FROM {self.tables.text} WHERE {self.where.text}",
            (*self.tables.values, *self.where.values),
        )


@dataclass(slots=True)
class Clauses:
    """Compiles for one caller. `_n` keeps aliases apart."""

    access: Access
    _n: "count[int]" = field(default_factory=count)

    def alias(self) -> str:
        """A table alias of its own."""
        return f"t{next(self._n)}"

    def owned(self, rid: str) -> list[Sql]:
        """The owner filter on a resource; empty for a caller who may see everything."""
        if self.access.everything:
            return []
        marks = sorted(self.access.owners())
        if not marks:
            return [Sql("0")]
        a = self.alias()
        mark = one_of(f"{a}.mark", marks)
        return [Sql(f"EXISTS (SELECT 1 FROM owner {a} WHERE {a}.rid = {rid} AND {mark.text})", mark.values)]

    # ---- a condition on one resource

    def holds(self, clause: t.Clause, types: Sequence[str], rid: str) -> Sql:
        """True for the resource `rid` (an SQL expression), which is of one of `types`."""
        match clause:
            case t.Match():
                return self._match(clause, types, rid)
            case t.Missing():
                a = self.alias()
                table, _ = table_of(clause.param.kind)
                key = one_of(f"{a}.key", keys(types, clause.param))
                word = "NOT EXISTS" if clause.missing else "EXISTS"
                return Sql(f"{word} (SELECT 1 FROM {table} {a} WHERE {a}.rid = {rid} AND {key.text})", key.values)
            case t.Chain():
                return any_of([self._chain(clause, types, rid, canonical) for canonical in _ways(clause.targets)])
            case t.Has():
                return self._has(clause, rid)
            case t.Ids():
                return self._resource(one_of("{a}.id", clause.ids), rid)
            case t.LastUpdated():
                return self._resource(any_of([_updated("{a}", value) for value in clause.values]), rid)
            case t.AnyOf():
                return any_of([self.holds(one, types, rid) for one in clause.clauses])
            case t.Nothing():
                return Sql(f"{rid} < 0")

    def _match(self, match: t.Match, types: Sequence[str], rid: str) -> Sql:
        if match.param.kind == "composite":
            return any_of([self._composite(match, value, types, rid) for value in match.values])
        a = self.alias()
        table, part = table_of(match.param.kind, match.modifier)
        key = one_of(f"{a}.key", keys(types, match.param, part))
        value = any_of(conditions(match, a))
        word = "NOT EXISTS" if match.modifier in NEGATIVE else "EXISTS"
        return Sql(
            f"{word} (SELECT 1 FROM {table} {a} WHERE {a}.rid = {rid} AND {key.text} AND {value.text})",
            (*key.values, *value.values),
        )

    def _composite(self, match: t.Match, value: t.Value, types: Sequence[str], rid: str) -> Sql:
        a = self.alias()
        parts = all_of(self._components(match.param, value, a))
        key = one_of(f"{a}.key", keys(types, match.param))
        return Sql(
            f"EXISTS (SELECT 1 FROM composite {a} WHERE {a}.rid = {rid} AND {key.text} AND {a}.pos = 0 AND {parts.text})",
            (*key.values, *parts.values),
        )

    def _components(self, param: t.Param, value: t.Value, first: str) -> list[Sql]:
        """The first component on the row `first`, the others as probes for rows of the same element."""
        if not isinstance(value, t.CompositeValue) or len(value.components) != len(param.components):
            raise NotSupported(f"The composite parameter '{param.code}' takes {len(param.components)} values joined by '$'.")
        pieces = [condition(param.components[0], None, value.components[0], first)]
        for pos, (component, one) in enumerate(zip(param.components[1:], value.components[1:], strict=True), 1):
            a = self.alias()
            sql = condition(component, None, one, a)
            same = f"{a}.rid = {first}.rid AND {a}.key = {first}.key AND {a}.ord = {first}.ord AND {a}.pos = {pos}"
            pieces.append(Sql(f"EXISTS (SELECT 1 FROM composite {a} WHERE {same} AND {sql.text})", sql.values))
        return pieces

    def _resource(self, where: Sql, rid: str) -> Sql:
        a = self.alias()
        return Sql(f"EXISTS (SELECT 1 FROM resource {a} WHERE {a}.rid = {rid} AND {where.text.format(a=a)})", where.values)

    def _chain(self, chain: t.Chain, types: Sequence[str], rid: str, canonical: bool) -> Sql:
        f, r = self.alias(), self.alias()
        key = one_of(f"{f}.key", keys(types, chain.param))
        target = self._target(f, r, chain.targets, canonical)
        inner = all_of([self.holds(chain.where, chain.targets, f"{r}.rid"), *self.owned(f"{r}.rid")])
        return Sql(
            f"EXISTS (SELECT 1 FROM reference {f} CROSS JOIN {target.text} WHERE {f}.rid = {rid} AND {key.text} AND {inner.text})",
            (*target.values, *key.values, *inner.values),
        )

    def _target(self, f: str, r: str, targets: Sequence[str], canonical: bool) -> Sql:
        """From a row `f` of `reference` to the resource `r` that it names, as the right side of a join."""
        kind = one_of(f"{r}.type", targets)
        live = f"{r}.deleted = 0 AND {kind.text}"
        if not canonical:
            return Sql(f"resource {r} ON {r}.type = {f}.type AND {r}.id = {f}.id AND {live}", kind.values)
        u, v = self.alias(), self.alias()
        urls, versions = one_of(f"{u}.key", keys(targets, URL)), one_of(f"{v}.key", keys(targets, VERSION))
        return Sql(
            f"string {u} ON {u}.folded = {f}.id AND {f}.type = '' AND {urls.text} CROSS JOIN resource {r} ON {r}.rid = {u}.rid AND {live}"
            f" AND ({f}.version = '' OR EXISTS (SELECT 1 FROM token {v} WHERE {v}.rid = {r}.rid AND {versions.text}"
            f" AND {v}.code = {f}.version))",
            (*urls.values, *kind.values, *versions.values),
        )

    def _has(self, has: t.Has, rid: str) -> Sql:
        r, f = self.alias(), self.alias()
        key = one_of(f"{f}.key", keys((has.source,), has.param))
        inner = all_of([self.holds(has.where, (has.source,), f"{f}.rid"), *self.owned(f"{f}.rid")])
        return Sql(
            f"EXISTS (SELECT 1 FROM resource {r} CROSS JOIN reference {f} ON {key.text} AND {f}.id = {r}.id AND {f}.type = {r}.type"
            f" WHERE {r}.rid = {rid} AND {inner.text})",
            (*key.values, *inner.values),
        )

    # ---- a set of resources

    def source(self, clause: t.Clause, types: Sequence[str]) -> Source | None:
        """The resources of `types` for which `clause` holds, perhaps some twice, without the owner filter on themselves."""
        match clause:
            case t.Match():
                return self._match_source(clause, types)
            case t.Missing() if not clause.missing:
                a = self.alias()
                table, _ = table_of(clause.param.kind)
                key = one_of(f"{a}.key", keys(types, clause.param))
                first = f" AND {a}.pos = 0" if table == "composite" else ""
                return Source(a, Sql(f"{table} {a}"), Sql(key.text + first, key.values))
            case t.Chain():
                return self._chain_source(clause, types)
            case t.Has():
                return self._has_source(clause, types)
            case t.Ids():
                return self._resource_source(types, "resource_id", one_of("{a}.id", clause.ids))
            case t.LastUpdated():
                return self._union(
                    [self._resource_source(types, "resource_updated", _updated("{a}", value)) for value in clause.values]
                )
            case t.AnyOf():
                return self._union([self.source(one, types) for one in clause.clauses])
            case t.Nothing():
                a = self.alias()
                return Source(a, Sql(f"resource {a}"), Sql(f"{a}.rid = -1"))
        return None

    def everything(self, types: Sequence[str], all_types: bool = False) -> Source:
        """All resources of `types` that the caller may see: what leads where no clause can.

        With `all_types`, whoever may see everything walks the table itself: every row is a match, and a page stops the walk.
        """
        a = self.alias()
        if self.access.everything:
            if all_types:
                return Source(a, Sql(f"resource {a}"), Sql(f"{a}.deleted = 0"))
            kind = one_of(f"{a}.type", types)
            return Source(
                a, Sql(f"resource {a} INDEXED BY resource_current"), Sql(f"{kind.text} AND {a}.deleted = 0", kind.values)
            )
        marks = sorted(self.access.owners())
        r = self.alias()
        mark, kind = one_of(f"{a}.mark", marks), one_of(f"{a}.type", types)
        live = f"EXISTS (SELECT 1 FROM resource {r} WHERE {r}.rid = {a}.rid AND {r}.deleted = 0)"
        return Source(a, Sql(f"owner {a}"), Sql(f"{mark.text} AND {kind.text} AND {live}", (*mark.values, *kind.values)))

    def _resource_source(self, types: Sequence[str], index: str, where: Sql) -> Source:
        # Named, since SQLite would rather walk the whole table in the order of `rid` and hope that a page fills soon.
        a = self.alias()
        kind = one_of(f"{a}.type", types)
        more = where.text.format(a=a)
        text = f"{kind.text} AND {a}.deleted = 0 AND {more}"
        return Source(a, Sql(f"resource {a} INDEXED BY {index}"), Sql(text, (*kind.values, *where.values)))

    def _union(self, sources: Sequence[Source | None]) -> Source | None:
        if len(sources) == 1:
            return sources[0]
        selects = [source.select() for source in sources if source is not None]
        if len(selects) != len(sources) or len(selects) > 200:
            return None
        a = self.alias()
        text = " UNION ALL ".join(select.text for select in selects)
        return Source(a, Sql(f"({text}) {a}", tuple(value for select in selects for value in select.values)), Sql("1"))

    def _match_source(self, match: t.Match, types: Sequence[str]) -> Source | None:
        if match.modifier in NEGATIVE:
            return None
        sources: list[Source | None] = []
        if match.param.kind == "composite":
            for one in match.values:
                a = self.alias()
                parts = all_of(self._components(match.param, one, a))
                key = one_of(f"{a}.key", keys(types, match.param))
                coded = match.param.components[0].kind == "token"
                lead = f"{key.text} AND {a}.pos = 0{'' if coded else f' AND {a}.code IS NULL'}"
                sources.append(Source(a, Sql(f"composite {a}"), Sql(f"{lead} AND {parts.text}", (*key.values, *parts.values))))
            return self._union(sources)
        table, part = table_of(match.param.kind, match.modifier)
        for value in leading(match, "{a}"):
            a = self.alias()
            key = one_of(f"{a}.key", keys(types, match.param, part))
            text = value.text.replace("{a}", a)
            sources.append(Source(a, Sql(f"{table} {a}"), Sql(f"{key.text} AND {text}", (*key.values, *value.values))))
        return self._union(sources)

    def _chain_source(self, chain: t.Chain, types: Sequence[str]) -> Source | None:
        inner = self.source(chain.where, chain.targets)
        if inner is None:
            return None
        made: list[Source | None] = []
        select = inner.select(distinct=True)
        for canonical in _ways(chain.targets):
            i, r, f, u = self.alias(), self.alias(), self.alias(), self.alias()
            key = one_of(f"{f}.key", keys(types, chain.param))
            head = f"({select.text}) {i} CROSS JOIN resource {r} ON {r}.rid = {i}.rid AND {r}.deleted = 0"
            if canonical:
                v = self.alias()
                urls, versions = (
                    one_of(f"{u}.key", keys(chain.targets, URL)),
                    one_of(f"{v}.key", keys(chain.targets, VERSION)),
                )
                tail = Sql(
                    f" CROSS JOIN string {u} ON {u}.rid = {r}.rid AND {urls.text} CROSS JOIN reference {f} ON {key.text}"
                    f" AND {f}.id = {u}.folded AND {f}.type = '' AND ({f}.version = '' OR EXISTS (SELECT 1 FROM token {v}"
                    f" WHERE {v}.rid = {r}.rid AND {versions.text} AND {v}.code = {f}.version))",
                    (*urls.values, *key.values, *versions.values),
                )
            else:
                tail = Sql(f" CROSS JOIN reference {f} ON {key.text} AND {f}.id = {r}.id AND {f}.type = {r}.type", key.values)
            made.append(Source(f, Sql(head + tail.text, (*select.values, *tail.values)), all_of(self.owned(f"{r}.rid"))))
        return self._union(made)

    def _has_source(self, has: t.Has, types: Sequence[str]) -> Source | None:
        inner = self.source(has.where, (has.source,))
        if inner is None:
            return None
        select = inner.select(distinct=True)
        i, f, r = self.alias(), self.alias(), self.alias()
        key, kind = one_of(f"{f}.key", keys((has.source,), has.param)), one_of(f"{r}.type", types)
        tables = Sql(
            f"({select.text}) {i} CROSS JOIN reference {f} ON {f}.rid = {i}.rid AND {key.text}"
            f" CROSS JOIN resource {r} ON {r}.type = {f}.type AND {r}.id = {f}.id AND {r}.deleted = 0 AND {kind.text}",
            (*select.values, *key.values, *kind.values),
        )
        return Source(r, tables, all_of(self.owned(f"{f}.rid")))


def keys(types: Sequence[str], param: t.Param, part: str = "") -> list[int]:
    """The keys of one parameter on several types."""
    return [param_key(type, code, part) for type in types for code in param.codes(type)]


def _ways(targets: Sequence[str]) -> tuple[bool, ...]:
    return (False, True) if any(target in CANONICAL for target in targets) else (False,)


def _updated(a: str, value: t.DateValue) -> Sql:
    return date_condition(f"{a}.updated", f"{a}.updated", value, INSTANT)

"""A `Plan` as one page of results.

What must stay true: the clause with the fewest candidates leads and the others are probed; a page begins after the last row of the page before,
so that writes in between neither repeat nor hide what was there all along. Without `_sort` the order is that of first storing.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from app.fhir.errors import TooCostly
from app.fhir.search import types as t
from app.security.access import Access
from app.store.cursor import seal, unseal
from app.store.meaning import CANONICAL, MAX_INCLUDED, MAX_ROUNDS, URL
from app.store.protocol import Found, Stored
from app.store.sqlite.clauses import Clauses, Source, keys
from app.store.sqlite.conditions import Sql, all_of
from app.store.sqlite.order import can_walk, sorted_page, walk_from, walked_page

PROBE = 1000  # candidates that are counted at most, when the leading clause is chosen

STORED = "r.type, r.id, r.version, r.updated, v.raw, r.owners, r.deleted, v.action"
# Not ordered here: SQLite would carry the bytes of a whole page through its sorter.
_BY_RID = (
    f"SELECT {STORED}, r.rid FROM json_each(?) j CROSS JOIN resource r ON r.rid = j.value CROSS JOIN version v ON v.seq = r.seq"
)


@lru_cache(maxsize=4096)
def owner_marks(text: str) -> frozenset[str]:
    """The marks in the column `owners`."""
    return frozenset(text.split())


def stored(row: Sequence[Any]) -> Stored:
    """From the columns of `STORED`."""
    return Stored(row[0], row[1], row[2], row[3], row[4], owner_marks(row[5]), bool(row[6]), row[7])


def search(connection: sqlite3.Connection, access: Access, plan: t.Plan, key: bytes) -> Found:
    """One page, in one snapshot."""
    return Search(connection, access, plan).page(key)


def matches_exactly(connection: sqlite3.Connection, access: Access, plan: t.Plan, expects: frozenset[str]) -> bool:
    """Whether `plan` matches just the resources `expects`, of all pages."""
    sql = Search(connection, access, plan).ids(len(expects) + 1)
    found = {f"{type}/{id}" for type, id in connection.execute(*sql)}
    return found == expects


class Search:
    """One plan for one caller on one connection."""

    def __init__(self, connection: sqlite3.Connection, access: Access, plan: t.Plan) -> None:
        self._connection = connection
        self._access = access
        self.plan = plan
        self._clauses = Clauses(access)
        self.types = plan.types or tuple(
            type for (type,) in connection.execute("SELECT type FROM tally WHERE n > 0 ORDER BY type")
        )
        self._lead: tuple[Source, list[t.Clause]] | None = None

    # ---- the parts

    def page(self, key: bytes) -> Found:
        """Matches, what they include, and the total where asked for."""
        plan = self.plan
        if not self.types:
            return Found(total=0 if plan.total != "none" or plan.summary == "count" else None)
        if plan.summary == "count" or plan.count == 0:
            return Found(total=self.total())
        about = repr((plan.types, plan.where, plan.sort))
        last = unseal(key, about, plan.cursor) if plan.cursor else None
        rows = self._page_rows(last, plan.count + 1)
        more, rows = len(rows) > plan.count, rows[: plan.count]
        rids = [row[0] for row in rows]
        return Found(
            matches=self._load(rids),
            included=self._load(self._included(rids)) if plan.includes or plan.revincludes else [],
            total=None if plan.total == "none" else self.total(),
            cursor=seal(key, about, list(rows[-1])) if more else None,
        )

    def _page_rows(self, last: list[Any] | None, limit: int) -> list[Any]:
        if can_walk(self.plan, self.types) and self._many(limit):
            walk = walked_page(self._clauses, self.plan, self.types[0], last, limit)
            if walk is not None:
                rows = self._connection.execute(*walk).fetchall()
                if len(rows) == limit:
                    return rows
        return self._connection.execute(*self.rows(last, limit)).fetchall()

    def _many(self, limit: int) -> bool:
        """Whether so many match that it is better to walk an index in order than to sort."""
        (resources,) = self._connection.execute("SELECT coalesce(sum(n), 0) FROM tally WHERE type = ?", self.types[:1]).fetchone()
        enough = walk_from(limit, resources)
        return bool(resources >= enough and self._candidates(self._leading()[0], enough) >= enough)

    def rows(self, last: list[Any] | None, limit: int) -> Sql:
        """The statement that reads one page: `rid`, or `rid, id, type, sort values`."""
        source, rest = self._leading()
        rid = f"{source.alias}.rid"
        conditions = [
            source.where,
            *(self._clauses.holds(clause, self.types, rid) for clause in rest),
            *self._clauses.owned(rid),
        ]
        if not self.plan.sort:
            if last is not None:
                conditions.append(Sql(f"{rid} > ?", (last[0],)))
            where = all_of(conditions)
            return Sql(
                f"SELECT DISTINCT {rid} FROM {source.tables.text} WHERE {where.text} ORDER BY {rid} LIMIT ?",
                (*source.tables.values, *where.values, limit),
            )
        return sorted_page(self._clauses, self.plan, self.types, source, all_of(conditions), last, limit)

    def total(self) -> int:
        """How many match, for this caller."""
        if not self.plan.where and self._access.everything:
            marks = ", ".join("?" * len(self.types))
            (number,) = self._connection.execute(
                f"SELECT coalesce(sum(n), 0) FROM tally WHERE type IN ({marks})", self.types
            ).fetchone()
        else:
            inner = self._all("{rid}")
            (number,) = self._connection.execute(f"SELECT count(*) FROM ({inner.text})", inner.values).fetchone()
        return int(number)

    def ids(self, limit: int) -> Sql:
        """The statement that reads `type, id` of at most `limit` matches."""
        inner = self._all("{rid}")
        return Sql(
            f"SELECT r.type, r.id FROM ({inner.text}) m CROSS JOIN resource r ON r.rid = m.rid LIMIT ?", (*inner.values, limit)
        )

    def _all(self, columns: str) -> Sql:
        source, rest = self._leading()
        rid = f"{source.alias}.rid"
        where = all_of(
            [source.where, *(self._clauses.holds(clause, self.types, rid) for clause in rest), *self._clauses.owned(rid)]
        )
        return Sql(
            f"SELECT DISTINCT {columns.format(rid=rid)} AS rid FROM {source.tables.text} WHERE {where.text}",
            (*source.tables.values, *where.values),
        )

    # ---- which clause leads

    def _leading(self) -> tuple[Source, list[t.Clause]]:
        if self._lead is None:
            self._lead = self._choose()
        return self._lead

    def _choose(self) -> tuple[Source, list[t.Clause]]:
        where = list(self.plan.where)
        able = [(source, clause) for clause in where if (source := self._clauses.source(clause, self.types)) is not None]
        if not able:
            return self._clauses.everything(self.types, all_types=not self.plan.types), where
        best, fewest = able[0], PROBE + 1
        if len(able) > 1:
            for source, clause in able:
                number = self._candidates(source, fewest)
                if number < fewest:
                    best, fewest = (source, clause), number
        return best[0], [clause for clause in where if clause is not best[1]]

    def _candidates(self, source: Source, most: int) -> int:
        sql = source.select()
        (number,) = self._connection.execute(f"SELECT count(*) FROM ({sql.text} LIMIT ?)", (*sql.values, most)).fetchone()
        return int(number)

    # ---- what comes along

    def _included(self, rids: list[int]) -> list[int]:
        """`rid` of everything that the matches include, each once, in the order of finding."""
        known = dict.fromkeys(rids)
        found: dict[int, None] = {}
        fresh = list(rids)
        once = True
        for _ in range(MAX_ROUNDS):
            news: dict[int, None] = {}
            for include in self.plan.includes:
                if once or include.iterate:
                    news.update(dict.fromkeys(self._forward(include, fresh)))
            for include in self.plan.revincludes:
                if once or include.iterate:
                    news.update(dict.fromkeys(self._backward(include, fresh)))
            fresh = [rid for rid in news if rid not in known]
            known.update(dict.fromkeys(fresh))
            found.update(dict.fromkeys(fresh))
            once = False
            if len(found) > MAX_INCLUDED:
                raise TooCostly(f"This page would include more than {MAX_INCLUDED} resources; ask for fewer matches with _count.")
            if not fresh:
                break
        return list(found)

    def _forward(self, include: t.Include, rids: list[int]) -> Iterable[int]:
        marks = ", ".join("?" * len(include.params))
        if not include.params:
            return []
        ids = [key for param in include.params for key in keys((include.source,), param)]
        target = " AND r.type = ?" if include.target else ""
        values: list[object] = [_json(rids), *ids, *([include.target] if include.target else [])]
        owned = all_of(self._clauses.owned("r.rid"))
        rows = self._connection.execute(
            f"SELECT r.rid FROM json_each(?) j CROSS JOIN reference f ON f.rid = j.value AND f.key IN ({marks})"
            f" CROSS JOIN resource r ON r.type = f.type AND r.id = f.id AND r.deleted = 0{target} WHERE {owned.text}",
            (*values, *owned.values),
        ).fetchall()
        return [rid for (rid,) in rows] + self._canonical(include, rids, ids)

    def _canonical(self, include: t.Include, rids: list[int], ids: list[int]) -> list[int]:
        named = {include.target} if include.target else {target for param in include.params for target in param.targets}
        targets = sorted(named & CANONICAL)
        if not targets:
            return []
        urls = keys(targets, URL)
        owned = all_of(self._clauses.owned("u.rid"))
        rows = self._connection.execute(
            f"SELECT u.rid FROM json_each(?) j CROSS JOIN reference f ON f.rid = j.value AND f.key IN ({', '.join('?' * len(ids))})"
            f" AND f.type = '' CROSS JOIN string u ON u.folded = f.id AND u.key IN ({', '.join('?' * len(urls))}) WHERE {owned.text}",
            (_json(rids), *ids, *urls, *owned.values),
        )
        return [rid for (rid,) in rows]

    def _backward(self, include: t.Include, rids: list[int]) -> Iterable[int]:
        ids = [key for param in include.params for key in keys((include.source,), param)]
        target = " AND r.type = ?" if include.target else ""
        owned = all_of(self._clauses.owned("f.rid"))
        rows = self._connection.execute(
            f"SELECT DISTINCT f.rid FROM json_each(?) j CROSS JOIN resource r ON r.rid = j.value{target}"
            f" CROSS JOIN reference f ON f.key IN ({', '.join('?' * len(ids))}) AND f.id = r.id AND f.type = r.type"
            f" WHERE {owned.text} LIMIT ?",
            (_json(rids), *([include.target] if include.target else []), *ids, *owned.values, 2 * MAX_INCLUDED),
        )
        return [rid for (rid,) in rows]

    def _load(self, rids: list[int]) -> list[Stored]:
        if not rids:
            return []
        rows = {row[8]: row for row in self._connection.execute(_BY_RID, (_json(rids),))}
        return [stored(rows[rid]) for rid in rids]


def _json(rids: list[int]) -> str:
    return f"[{','.join(map(str, rids))}]"

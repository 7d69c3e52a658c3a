"""SQLite's own word on how it will run generated searches: indexes throughout, by value where a clause leads, by resource where one is probed."""

import re
import sqlite3
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.fhir.search.types import Plan, SortKey
from app.security.access import SYSTEM, Access
from app.store.sqlite.clauses import Clauses
from app.store.sqlite.connection import connect
from app.store.sqlite.history import page
from app.store.sqlite.order import can_walk, walked_page
from app.store.sqlite.schema import migrate
from app.store.sqlite.search import Search
from tests.contract.builders import AT_NORTH, BIRTHDATE, CODE, DATE, FAMILY
from tests.contract.test_differential import plans

TABLES = "resource|version|owner|token|string|reference|date|number|composite"


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    path = str(tmp_path_factory.mktemp("plans") / "s.db")
    writer = connect(path, write=True)
    migrate(writer)
    writer.execute("INSERT INTO tally VALUES ('Patient', 1), ('Observation', 1)")
    writer.close()
    reader = connect(path)
    yield reader
    reader.close()


def faults(connection: sqlite3.Connection, sql: str, values: tuple[object, ...]) -> list[str]:
    """What is wrong with the way SQLite would go."""
    tables = {alias: table for table, alias in re.findall(rf"\b({TABLES}) (t\d+|[rfu])\b", sql)}
    probed = set(re.findall(r"WHERE (t\d+)\.rid = ", sql))
    found = []
    for *_, step in connection.execute("EXPLAIN QUERY PLAN " + sql, values):
        match = re.match(r"(SCAN|SEARCH) (\w+)(.*)", step)
        if match is None or match[2] not in tables:
            continue
        if match[1] == "SCAN" or "ANY(" in match[3]:
            found.append(f"{tables[match[2]]}: {step}")
        if match[2] in probed and "rid=?" not in match[3] and "rowid=?" not in match[3]:
            found.append(f"a probe of {tables[match[2]]} by value: {step}")
    return found


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    plan=plans,
    keys=st.lists(st.builds(SortKey, st.sampled_from([FAMILY, BIRTHDATE, DATE, CODE]), st.booleans()), max_size=2),
    access=st.sampled_from([SYSTEM, AT_NORTH]),
)
def test_no_search_scans_a_table(connection: sqlite3.Connection, plan: Plan, keys: list[SortKey], access: Access) -> None:
    search = Search(connection, access, Plan(plan.types, plan.where, tuple(keys)))
    walks = can_walk(search.plan, search.types)
    walked = walked_page(Clauses(access), search.plan, search.types[0], None, 51) if walks else None
    for sql in (search.rows(None, 51), search.ids(10), *([walked] if walked else [])):
        # Only where everything of every type is asked for is there nothing to look up.
        whole = not plan.types and all(Clauses(access).source(clause, ("Patient",)) is None for clause in plan.where)
        assert [fault for fault in faults(connection, *sql) if not (whole and fault.startswith("resource: SCAN"))] == []


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plan=plans)
def test_a_clause_that_can_lead_does(connection: sqlite3.Connection, plan: Plan) -> None:
    search = Search(connection, SYSTEM, plan)
    types = plan.types or ("Observation", "Patient")
    able = [clause for clause in plan.where if Clauses(SYSTEM).source(clause, types) is not None]
    _, rest = search._leading()
    assert (len(rest) < len(plan.where)) is bool(able)


def test_the_rule_can_fail(connection: sqlite3.Connection) -> None:
    assert faults(connection, "SELECT t1.rid FROM token t1 WHERE t1.code = 'x'", ()) != []
    assert (
        faults(connection, "SELECT 1 FROM resource t0 WHERE EXISTS (SELECT 1 FROM date t1 WHERE t1.rid = +t0.rid + random())", ())
        != []
    )


def test_records_are_found_by_index(connection: sqlite3.Connection) -> None:
    for where in ("state = ? AND state <> ''", "tag = ? AND tag <> ''", "due IS NOT NULL AND due <= ?", "key > ?"):
        steps = [
            step
            for *_, step in connection.execute(
                f"EXPLAIN QUERY PLAN SELECT body FROM record WHERE kind = ? AND {where}", ("k", "x")
            )
        ]
        assert len(steps) == 1
        assert re.match(r"SEARCH record USING INDEX record_\w+ \(kind=\? AND \w+[=<>]\?( AND due<\?)?\)", steps[0]), steps


@pytest.mark.parametrize(
    ("type", "id", "steps"),
    [
        (None, None, ["SCAN v"]),  # by number, backwards, until the page is full
        ("Patient", None, ["SEARCH v USING INDEX version_type (type=?)"]),
        ("Patient", "a", ["SEARCH v USING INDEX version_rid (rid=?)", "USE TEMP B-TREE FOR ORDER BY"]),
    ],
)
def test_history_is_read_backwards(connection: sqlite3.Connection, type: str | None, id: str | None, steps: list[str]) -> None:
    seen: list[str] = []

    class Explaining:
        def execute(self, sql: str, values: tuple[object, ...]) -> sqlite3.Cursor:
            if "version v" in sql:
                seen.extend(step for *_, step in connection.execute("EXPLAIN QUERY PLAN " + sql, values))
                return connection.execute(sql, values)
            return connection.execute("SELECT 1")

    page(Explaining(), SYSTEM, b"", type, id, None, 50, None)  # type: ignore[arg-type]
    assert [step for step in seen if not step.startswith("SEARCH r ")] == steps

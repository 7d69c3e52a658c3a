"""Commits that wait together are decided in memory and written together. Nobody may see a difference to one after another."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.fhir.search.types import Plan
from app.security.access import SYSTEM
from app.store.protocol import Delete, Guard, Put, PutRecord, Record, Share, VersionConflict, Write
from app.store.sqlite import round as rounds
from app.store.sqlite import tables
from app.store.sqlite.store import SQLiteStore
from tests.contract.builders import AT_NORTH, AT_SOUTH, NATIONAL, by_family, by_identifier, identified, observation, patient
from tests.support import open_test_store

CALLERS = {"system": SYSTEM, "nation": NATIONAL, "north": AT_NORTH, "south": AT_SOUTH}
Commit = tuple[str, list[Write], list[Guard]]

ids = st.sampled_from(["a", "b", "c"])
versions = st.sampled_from([None, None, 0, 1, 2])
puts = st.one_of(
    st.builds(
        lambda id, name, version: Put(patient(id, name), if_version=version), ids, st.sampled_from(["Alpha", "Beta"]), versions
    ),
    st.builds(lambda id, name: Put(identified(id, name), unchanged_ok=True), ids, st.sampled_from(["1", "2"])),
    st.builds(lambda id, of: Put(observation(f"o{id}", of, value=5)), ids, ids),
)
others = st.one_of(
    st.builds(lambda id, version: Delete("Patient", id, version), ids, versions),
    st.builds(lambda id: Share("Patient", id, frozenset({"RA1"})), ids),
    st.builds(lambda key, revision: PutRecord(Record("k", key, b"1"), if_revision=revision), ids, st.sampled_from([None, 0, 1])),
)
guards = st.lists(st.builds(lambda value: Guard(by_identifier(value)), st.sampled_from(["1", "2"])), max_size=1)
commits = st.tuples(st.sampled_from(sorted(CALLERS)), st.lists(st.one_of(puts, puts, others), min_size=1, max_size=3), guards)


async def empty(tmp_path: Path, name: str) -> SQLiteStore:
    (tmp_path / name).mkdir(exist_ok=True)
    for file in (tmp_path / name).iterdir():
        file.unlink()
    store = await open_test_store(tmp_path / name)
    assert isinstance(store, SQLiteStore)
    return store


async def outcome(store: SQLiteStore, commit: Commit) -> Any:
    who, writes, guards = commit
    try:
        results = await store.commit(CALLERS[who], writes, guards)
    except Exception as error:
        return type(error).__name__, str(error)
    return [one and (one.reference, one.version, one.action, one.deleted, one.owners) for one in results]


async def contents(store: SQLiteStore) -> Any:
    """The feed without its times, and every row of the index."""
    feed = [(c.seq, c.type, c.id, c.version, c.action) for c in await store.feed(0)]
    rows = {
        table: sorted(map(repr, store._reading.execute(f"SELECT * FROM {table}")))
        for table in ("token", "string", "reference", "number", "owner", "tally")
    }
    return feed, rows


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(commits, min_size=2, max_size=12))
async def test_together_is_as_one_after_another(tmp_path: Path, wanted: Sequence[Commit]) -> None:
    together, apart = await empty(tmp_path, "together"), await empty(tmp_path, "apart")
    outcomes = list(await asyncio.gather(*(outcome(together, commit) for commit in wanted)))
    assert outcomes == [await outcome(apart, commit) for commit in wanted]
    assert await contents(together) == await contents(apart)
    assert await together.check() == await apart.check()
    await together.close()
    await apart.close()


async def test_what_one_pass_submits_is_one_round(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the tests of this file would prove nothing."""
    store = await empty(tmp_path, "s")
    sizes = []
    decide = rounds.Round.together
    monkeypatch.setattr(rounds.Round, "together", lambda self, works: (sizes.append(len(works)), decide(self, works))[1])
    await asyncio.gather(*(store.commit(SYSTEM, [Put(patient(f"p{n}"))]) for n in range(40)))
    assert sizes == [40]
    await store.close()


async def test_large_commits_do_not_pile_up_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = await empty(tmp_path, "s")
    sizes, write = [], tables.write
    monkeypatch.setattr(
        tables, "write", lambda c, current, versions: (sizes.append(len(versions)), write(c, current, versions))[1]
    )
    wanted = [[Put(patient(f"p{n % 700}", f"N{bundle}")) for n in range(300)] for bundle in range(6)]
    await asyncio.gather(*(store.commit(SYSTEM, writes) for writes in wanted))
    assert sum(sizes) == 1800 and max(sizes) < rounds.MOST + 300
    assert await store.check() == []
    await store.close()


async def test_what_was_submitted_before_the_end_is_committed(tmp_path: Path) -> None:
    """Also what was not handed over to the writer yet."""
    store = await empty(tmp_path, "s")
    committing = [asyncio.create_task(store.commit(SYSTEM, [Put(patient(f"p{n}"))])) for n in range(10)]
    await asyncio.sleep(0)
    assert store._writer._gathered
    store._close()
    assert all(isinstance(one, list) for one in await asyncio.gather(*committing))
    again = await open_test_store(tmp_path / "s")
    assert await again.feed_head() == 10
    await again.close()


async def test_one_that_cannot_be_written_fails_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = await empty(tmp_path, "s")
    write = tables.write

    def breaks(connection: Any, current: Any, versions: Any) -> None:
        current = list(current)
        if any(found and found.id == "poison" for found in current):
            raise OverflowError("a number that SQLite cannot hold")
        write(connection, current, versions)

    monkeypatch.setattr(tables, "write", breaks)
    names = [f"p{n}" for n in range(5)] + ["poison"] + [f"q{n}" for n in range(5)]
    found = await asyncio.gather(*(store.commit(SYSTEM, [Put(patient(name))]) for name in names), return_exceptions=True)
    assert [name for name, one in zip(names, found, strict=True) if not isinstance(one, list)] == ["poison"]
    assert isinstance(found[5], OverflowError)
    assert [change.seq for change in await store.feed(0)] == list(range(1, 11))
    assert len((await store.search(SYSTEM, Plan(("Patient",), (by_family("alpha"),)))).matches) == 10
    assert await store.check() == []
    await store.close()


async def test_one_resource_written_many_times_in_a_round_is_indexed_once_as_it_ends(tmp_path: Path) -> None:
    store = await empty(tmp_path, "s")
    found = await asyncio.gather(*(store.commit(SYSTEM, [Put(patient("a", f"N{n}"))]) for n in range(20)))
    assert [one[0].version for one in found] == list(range(1, 21))
    found = await asyncio.gather(
        store.commit(SYSTEM, [Delete("Patient", "a")]),
        store.commit(SYSTEM, [Put(patient("a", "Again"), if_version=0)]),
        store.commit(SYSTEM, [Put(patient("a", "Late"), if_version=0)]),
        return_exceptions=True,
    )
    assert isinstance(found[2], VersionConflict)
    assert [one.version for one in (await store.search(SYSTEM, Plan(("Patient",), (by_family("again"),)))).matches] == [22]
    assert (await store.search(SYSTEM, Plan(("Patient",), (by_family("n19"),)))).matches == []
    assert await store.check() == []
    await store.close()

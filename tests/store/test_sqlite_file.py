"""The file itself: pragmas, migrations, newer schemas, damage, and a disk that is full."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from app.fhir.errors import NotFound, NotSupported, Unavailable
from app.fhir.search.types import Plan
from app.security.access import SYSTEM
from app.store.open import open_store
from app.store.protocol import Delete, Put
from app.store.sqlite import schema
from app.store.sqlite.connection import PAGE_SIZE, connect
from app.store.sqlite.store import SQLiteStore
from tests.contract.builders import NORTH, by_family, patient
from tests.support import open_test_store


def test_writers_are_durable_and_readers_cannot_write(tmp_path: Path) -> None:
    writer = connect(str(tmp_path / "s.db"), write=True)
    assert writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert writer.execute("PRAGMA synchronous").fetchone() == (2,)
    reader = connect(str(tmp_path / "s.db"))
    with pytest.raises(sqlite3.OperationalError):
        reader.execute("CREATE TABLE x (a)")
    writer.close()
    reader.close()


async def test_a_new_store_is_its_owners_alone(tmp_path: Path) -> None:
    store = await open_test_store(tmp_path)
    await store.commit(SYSTEM, [Put(patient("a"))])
    assert {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {
        "store.db": 0o600,
        "store.db-wal": 0o600,
        "store.db-shm": 0o600,
    }
    await store.close()


@pytest.mark.parametrize("journal", ["wal", "delete"])
@pytest.mark.parametrize("create", [True, False])
async def test_a_database_of_another_program_is_left_as_it_is(tmp_path: Path, journal: str, create: bool) -> None:
    file = tmp_path / "other.db"
    with closing(sqlite3.connect(file)) as other:
        other.execute(f"PRAGMA journal_mode = {journal}")
        other.execute("CREATE TABLE resource (name)")
        other.commit()
    before = file.read_bytes()
    with pytest.raises(Unavailable, match=r"There is no store at .*: the file is a database of another program"):
        await open_store(f"sqlite:///{file}").open(create=create)
    assert file.read_bytes() == before and list(tmp_path.iterdir()) == [file]


async def test_a_store_that_must_be_there_is_not_made(tmp_path: Path) -> None:
    (tmp_path / "empty.db").touch()
    for path in ("", f"/{tmp_path}/none/x.db", f"/{tmp_path}/empty.db"):
        with pytest.raises(NotFound, match="There is no store at sqlite://"):
            await open_store(f"sqlite://{path}").open(create=False)
    assert [path.name for path in tmp_path.iterdir()] == ["empty.db"] and not (tmp_path / "empty.db").read_bytes()
    await (await open_test_store(tmp_path)).close()
    again = open_store(f"sqlite:///{tmp_path / 'store.db'}")
    await again.open(create=False)
    await again.close()


SPOILT = (("p1", 2), ("p2", 1), ("p3", 2))


async def test_a_store_opens_again_as_it_was(tmp_path: Path) -> None:
    store = await open_test_store(tmp_path)
    (stored,) = await store.commit(SYSTEM, [Put(patient("a"))])
    await store.close()
    again = await open_test_store(tmp_path)
    assert await again.read(SYSTEM, "Patient", "a") == stored
    await again.close()


async def test_a_newer_schema_is_refused_with_a_sentence(tmp_path: Path) -> None:
    await (await open_test_store(tmp_path)).close()
    with sqlite3.connect(tmp_path / "store.db") as raw:
        raw.execute("PRAGMA user_version = 999")
    with pytest.raises(Unavailable, match="newer version"):
        await open_test_store(tmp_path)


def test_an_interrupted_migration_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE half (a)")
        raise RuntimeError("the power went")

    connection = connect(str(tmp_path / "s.db"), write=True)
    schema.migrate(connection)
    before = connection.execute("SELECT name FROM sqlite_schema ORDER BY name").fetchall()
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, breaks))
    with pytest.raises(RuntimeError):
        schema.migrate(connection)
    assert connection.execute("SELECT name FROM sqlite_schema ORDER BY name").fetchall() == before
    assert connection.execute("PRAGMA user_version").fetchone() == (len(schema.MIGRATIONS) - 1,)
    connection.close()


async def test_a_store_of_the_first_schema_is_indexed_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an older program indexed is not what this one looks for; here it indexed nothing."""
    old = connect(str(tmp_path / "store.db"), write=True)
    with monkeypatch.context() as then:
        then.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:1])
        schema.migrate(old)
    raw = msgspec.json.encode(patient("a", "Angus") | {"meta": {"versionId": "1", "lastUpdated": "2026-01-01T00:00:00.000Z"}})
    old.execute("INSERT INTO version VALUES (1, 1, 'Patient', 'a', 1, 1767225600000000, 'create', ?)", (raw,))
    old.execute("INSERT INTO resource VALUES (1, 'Patient', 'a', 1, 1767225600000000, 0, 1, '')")
    old.execute("INSERT INTO tally VALUES ('Patient', 1)")
    old.close()
    store = await open_test_store(tmp_path)
    assert [(change.id, change.indexed) for change in await store.feed(0)] == [("a", "")]
    assert [found.id for found in (await store.search(SYSTEM, Plan(("Patient",), (by_family("angus"),)))).matches] == ["a"]
    assert await store.check() == []
    assert not schema.is_stale(sqlite3.connect(tmp_path / "store.db"))
    await store.close()


async def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "store.db").write_bytes(b"not a database, but long enough to be looked at " * 100)
    with pytest.raises(Unavailable, match="not an SQLite database"):
        await open_test_store(tmp_path)
    with pytest.raises(Unavailable):
        await open_store(f"sqlite:///{tmp_path}").open()


async def test_a_full_disk_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    store = await open_test_store(tmp_path)
    assert isinstance(store, SQLiteStore)
    await store.commit(SYSTEM, [Put(patient("a"))])
    pages = store.writer_connection.execute("PRAGMA page_count").fetchone()[0]
    store.writer_connection.execute(f"PRAGMA max_page_count = {pages + 4}")
    with pytest.raises(Unavailable, match="disk is full"):
        await store.commit(SYSTEM, [Put(patient("big", "x" * 200_000))])
    assert (await store.read(SYSTEM, "Patient", "a")).version == 1
    with pytest.raises(NotFound):
        await store.read(SYSTEM, "Patient", "big")
    store.writer_connection.execute("PRAGMA max_page_count = 1073741823")
    await store.commit(SYSTEM, [Put(patient("big", "x" * 200_000))])
    assert await store.check() == []
    await store.close()


async def test_a_held_lock_is_a_sentence_not_a_hang(tmp_path: Path) -> None:
    store = await open_test_store(tmp_path)
    assert isinstance(store, SQLiteStore)
    store.writer_connection.execute("PRAGMA busy_timeout = 20")
    other = connect(str(tmp_path / "store.db"), write=True)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable, match="try again"):
        await store.commit(SYSTEM, [Put(patient("a"))])
    other.execute("ROLLBACK")
    await store.commit(SYSTEM, [Put(patient("a"))])
    other.close()
    await store.close()


async def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = await open_test_store(tmp_path)
    await store.close()
    with pytest.raises(Unavailable):
        await store.commit(SYSTEM, [Put(patient("a"))])


async def test_closing_finishes_what_was_submitted(tmp_path: Path) -> None:
    store = await open_test_store(tmp_path)
    commits = [asyncio.create_task(store.commit(SYSTEM, [Put(patient(f"p{n}"))])) for n in range(100)]
    await asyncio.sleep(0)
    await store.close()
    outcomes = await asyncio.gather(*commits, return_exceptions=True)
    done = {one[0].id for one in outcomes if isinstance(one, list)}
    assert all(isinstance(one, list | Unavailable) for one in outcomes)
    again = await open_test_store(tmp_path)
    assert {stored.id async for stored in again.scan(SYSTEM)} == done
    assert len(done) == 100
    await again.close()


async def test_check_finds_what_was_tampered_with(tmp_path: Path) -> None:
    store = await open_test_store(tmp_path)
    await store.commit(SYSTEM, [Put(patient(id)) for id in "abcdef"])
    assert await store.check() == []
    with sqlite3.connect(tmp_path / "store.db") as raw:
        raw.execute("DELETE FROM string WHERE rid = 1")
        raw.execute("DELETE FROM version WHERE seq = 3")
        raw.execute("UPDATE tally SET n = 9")
        raw.execute("INSERT INTO owner VALUES (2, 'RA1', 'Patient')")
        raw.execute("INSERT INTO record VALUES ('cursor', 'c', '', '', NULL, '', 1, 1, '{\"seq\": 99}', NULL)")
    findings = " ".join(await store.check())
    for word in (
        "string index of Patient/a",
        "feed ends at 6, but has 5",
        "Patient/c",
        "count of Patient",
        "owner marks of Patient/b",
        "'c'",
    ):
        assert word in findings
    assert await store.reindex() == 5
    assert "string index" not in " ".join(await store.check())
    await store.close()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("UPDATE resource SET updated = 5 WHERE rid = 1", "The versions of Patient/p do not agree with what is current."),
        ("UPDATE resource SET deleted = 1 WHERE rid = 1", "The versions of Patient/p do not agree with what is current."),
        ("UPDATE resource SET deleted = 0 WHERE rid = 2", "The versions of Patient/gone do not agree with what is current."),
        ("UPDATE version SET type = 'Group' WHERE seq = 1", "The versions of Patient/p do not agree with what is current."),
        ("UPDATE owner SET mark = 'RB2' WHERE rid = 1", "The owner marks of Patient/p do not agree."),
        ("DELETE FROM owner WHERE rid = 2", "The owner marks of Patient/gone do not agree."),
        ("UPDATE tally SET n = 9", "The count of Patient is wrong."),
    ],
)
async def test_what_stands_beside_the_versions_is_checked_and_made_anew(tmp_path: Path, change: str, sentence: str) -> None:
    store = await open_test_store(tmp_path)
    for family in ("One", "Two"):
        await store.commit(SYSTEM, [Put(patient(id, family), owners=frozenset({NORTH})) for id in ("p", "gone", "q")])
    await store.commit(SYSTEM, [Delete("Patient", "gone")])
    with sqlite3.connect(tmp_path / "store.db") as raw:
        before = list(raw.iterdump())
        raw.execute(change)
    assert sentence in await store.check()
    assert await store.reindex() == 2
    assert await store.check() == []
    with sqlite3.connect(tmp_path / "store.db") as raw:
        assert sorted(raw.iterdump()) == sorted(before)
    await store.close()


async def test_a_feed_that_has_a_version_before_the_one_that_it_follows_is_told(tmp_path: Path) -> None:
    store = await open_test_store(tmp_path)
    for family in ("One", "Two"):
        await store.commit(SYSTEM, [Put(patient("p", family))])
    with sqlite3.connect(tmp_path / "store.db") as raw:
        for number, seq in ((1, 3), (2, 1), (1, 2)):
            raw.execute("UPDATE version SET seq = ? WHERE version = ?", (seq, number))
        raw.execute("UPDATE resource SET seq = 1")
    assert await store.check() == ["The feed has the versions of Patient/p in another order."]
    await store.close()


async def test_damage_inside_the_file_is_told_by_check_and_never_answered_as_data(tmp_path: Path) -> None:
    store = await open_test_store(tmp_path)
    await store.commit(SYSTEM, [Put(patient(f"p{n}", "x" * 500)) for n in range(300)])
    await store.close()
    path = tmp_path / "store.db"
    raw = bytearray(path.read_bytes())
    pages = range(0, len(raw), PAGE_SIZE)
    for start in (start for start in pages if b"x" * 400 in raw[start : start + PAGE_SIZE]):  # where content is
        raw[start : start + 64] = b"\xff" * 64
    path.write_bytes(raw)
    store = await open_test_store(tmp_path)
    assert any("damaged" in finding or "SQLite says" in finding for finding in await store.check())
    outcomes = []
    for n in range(300):
        try:
            outcomes.append(b"x" * 500 in (await store.read(SYSTEM, "Patient", f"p{n}")).raw)
        except (Unavailable, NotFound):
            outcomes.append(None)
    assert False not in outcomes
    assert None in outcomes
    await store.close()


async def test_spoilt_bytes_are_told_and_keep_nothing_else_from_being_checked_and_indexed(tmp_path: Path) -> None:
    store = await open_test_store(tmp_path)
    for turn in "ab":
        await store.commit(SYSTEM, [Put(patient(f"p{n}", turn)) for n in range(4)])
    with sqlite3.connect(tmp_path / "store.db") as raw:
        cut = "UPDATE version SET raw = CAST(substr(raw, 1, 40) AS BLOB) WHERE id = ? AND version = ?"
        raw.executemany(cut, [("p1", 2), ("p2", 1)])
        raw.execute(
            "UPDATE version SET raw = (SELECT raw FROM version WHERE id = 'p0' AND version = 2) WHERE id = 'p3' AND version = 2"
        )
        raw.execute("DELETE FROM string WHERE rid = 1")
    damaged = [f"Version {version} of Patient/{id} is damaged; restore it from a backup." for id, version in SPOILT]
    assert sorted(await store.check()) == sorted([*damaged, "The string index of Patient/p0 does not agree with the resource."])
    await store.reindex()
    assert sorted(await store.check()) == sorted(damaged)
    await store.close()


@pytest.mark.parametrize("url", ["mysql://x/y", "postgres://x", "", "store.db"])
def test_other_stores_are_refused_with_a_sentence(url: str) -> None:
    with pytest.raises(NotSupported):
        open_store(url)


async def test_a_temporary_store_goes_when_it_is_closed() -> None:
    store = open_store("sqlite://")
    await store.open()
    await store.commit(SYSTEM, [Put(patient("a"))])
    path = Path(store.path)  # type: ignore[attr-defined]
    assert path.is_file()
    await store.close()
    assert not path.exists()

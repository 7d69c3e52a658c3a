"""`csor copy`, `csor backup` and `csor restore`, as an administrator types them."""

import asyncio
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from pymongo import MongoClient

from app import clock
from app.cli import cli
from app.commands import backup
from app.security.access import SYSTEM
from app.store.open import open_store
from app.store.protocol import Put, PutRecord, Record
from app.store.sqlite.store import SQLiteStore
from tests.contract.builders import patient
from tests.support import with_database


def csor(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


def fill(url: str) -> None:
    async def work() -> None:
        store = open_store(url)
        await store.open()
        for n in range(25):
            await store.commit(SYSTEM, [Put(patient(f"p{n}")), PutRecord(Record("k", str(n)))])
        await store.close()

    asyncio.run(work())


@pytest.fixture
def sqlite(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path / 'store.db'}"
    fill(url)
    return url


def test_there_and_back_again(sqlite: str, mongodb: str, tmp_path: Path) -> None:
    url = with_database(mongodb, "csor_moved")
    there = csor("copy", "--from", sqlite, "--to", url)
    assert there.exit_code == 0 and "25 versions and 25 records" in there.output, there.output
    assert csor("check", "--store", url).output == "All agrees.\n"
    kept = csor("backup", str(tmp_path / "kept.db"), "--store", url)
    assert kept.exit_code == 0, kept.output
    back = csor("restore", str(tmp_path / "kept.db"), "--store", f"sqlite:///{tmp_path / 'back.db'}")
    assert back.exit_code == 0 and "compared and the same" in back.output, back.output
    again = csor("copy", "--from", sqlite, "--to", url)
    assert again.exit_code != 0 and "choose an empty one" in str(again.exception or again.output)
    with MongoClient(mongodb) as client:
        client.drop_database("csor_moved")


def test_a_backup_is_a_store(sqlite: str, tmp_path: Path) -> None:
    file = tmp_path / "kept.db"
    assert "25 versions are kept" in csor("backup", str(file), "--store", sqlite).output
    assert sorted(path.name for path in tmp_path.glob("kept*")) == ["kept.db"]
    assert csor("check", "--store", f"sqlite:///{file}").output == "All agrees.\n"
    assert csor("backup", str(file), "--store", sqlite).exit_code != 0
    restored = csor("restore", str(file), "--store", f"sqlite:///{tmp_path / 'new.db'}")
    assert "25 versions and 25 records" in restored.output


@pytest.mark.parametrize("name", ["none.db", "empty.db", "other.db"])
@pytest.mark.parametrize(
    "command",
    [
        ["copy", "--from", "STORE", "--to", "sqlite:///PLACE/new.db"],
        ["restore", "PLACE/NAME", "--store", "sqlite:///PLACE/new.db"],
        ["backup", "PLACE/x.db", "--store", "STORE"],
        ["check", "--store", "STORE"],
        ["rebuild", "--store", "STORE"],
        ["client", "list", "--store", "STORE"],
        ["client", "revoke", "x", "--store", "STORE"],
        ["user", "list", "--store", "STORE"],
        ["user", "revoke", "x", "--store", "STORE"],
        ["hes", "errors", "--store", "STORE"],
        ["hl7", "errors", "--store", "STORE"],
        ["measure", "fit", "--store", "STORE"],
    ],
    ids=lambda command: "-".join(word for word in command if word.islower()),
)
def test_a_store_that_is_not_there_is_neither_made_nor_taken_for_an_empty_one(
    command: list[str], name: str, tmp_path: Path
) -> None:
    (tmp_path / "empty.db").touch()
    with closing(sqlite3.connect(tmp_path / "other.db")) as other:
        other.execute("CREATE TABLE other (name)")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    if command[0] == "restore" and name == "none.db":
        return  # click looks whether the file is there
    url = f"sqlite:///{tmp_path / name}"
    refused = csor(*(word.replace("STORE", url).replace("PLACE", str(tmp_path)).replace("NAME", name) for word in command))
    assert refused.exit_code == 1 and f"There is no store at {url}" in refused.output
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_nobody_who_is_not_there_is_revoked(sqlite: str) -> None:
    for kind in ("client", "user"):
        refused = csor(kind, "revoke", "nobody", "--store", sqlite)
        assert refused.exit_code == 1 and "nobody" in str(refused.exception or refused.output)


def test_a_store_that_goes_when_it_is_closed_is_not_backed_up(tmp_path: Path) -> None:
    refused = csor("backup", str(tmp_path / "x.db"), "--store", "sqlite://")
    assert refused.exit_code == 1 and "There is no store at sqlite://." in refused.output and not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", [["copy", "--from", "STORE", "--to"], ["restore", "FILE", "--store"]])
def test_nothing_is_copied_into_a_store_that_goes_when_it_is_closed(command: list[str], sqlite: str) -> None:
    given = [part.replace("STORE", sqlite).replace("FILE", sqlite.removeprefix("sqlite:///")) for part in command]
    refused = csor(*given, "sqlite://")
    assert refused.exit_code == 1 and "temporary store" in refused.output, refused.output


def test_a_mistyped_database_is_neither_made_nor_copied(mongodb: str, tmp_path: Path) -> None:
    url = with_database(mongodb, "csor_mistyped")
    for command in (
        ["backup", f"{tmp_path}/x.db", "--store", url],
        ["copy", "--from", url, "--to", f"sqlite:///{tmp_path}/x.db"],
    ):
        refused = csor(*command)
        assert refused.exit_code == 1 and "There is no store at" in refused.output and not list(tmp_path.iterdir())
    with MongoClient(mongodb) as client:
        assert "csor_mistyped" not in client.list_database_names()


def test_a_copy_that_is_not_finished_is_not_used_and_can_go_on(
    sqlite: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = f"sqlite:///{tmp_path / 'half.db'}"

    async def cut_off(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(SQLiteStore, "adopt", cut_off)
        csor("copy", "--from", sqlite, "--to", half)
    for command in (["serve", "--port", "0"], ["client", "add", "x", "--role", "national"], ["backup", str(tmp_path / "no.db")]):
        refused = csor(*command, "--store", half)
        assert refused.exit_code == 1 and "holds a copy that is not finished" in refused.output, refused.output
    checked = csor("check", "--store", half)
    assert checked.exit_code == 1 and "holds a copy that is not finished" in checked.output
    assert "compared and the same" in csor("copy", "--from", sqlite, "--to", half).output
    assert csor("check", "--store", half).output == "All agrees.\n"


def test_backups_are_kept_by_their_number_and_nobody_else_reads_them(
    sqlite: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "backups"
    assert csor("backup", str(place), "--keep", "2", "--store", sqlite).exit_code != 0
    place.mkdir()
    (place / "csor-20200101T000000Z.db.part").write_text("of a run that was cut off")
    (place / "csor-report.db").write_text("not ours")
    for day in (1, 2, 3):
        monkeypatch.setattr(clock, "now", lambda day=day: datetime(2023, 11, 14 + day, tzinfo=UTC))
        assert "25 versions are kept" in csor("backup", str(place), "--keep", "2", "--store", sqlite).output
    names = sorted(path.name for path in place.iterdir())
    assert names == ["csor-20231116T000000Z.db", "csor-20231117T000000Z.db", "csor-report.db"]
    assert (place / names[0]).stat().st_mode & 0o777 == 0o600
    assert csor("check", "--store", f"sqlite:///{place / names[1]}").output == "All agrees.\n"


def test_backups_on_a_schedule_go_by_the_newest_that_is_there(
    sqlite: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, slept = datetime(2023, 11, 14, tzinfo=UTC), []

    def sleep(seconds: float) -> None:
        nonlocal now
        slept.append(seconds)
        now += timedelta(seconds=seconds)
        if len(slept) == 48:
            raise KeyboardInterrupt

    monkeypatch.setattr(clock, "now", lambda: now)
    monkeypatch.setattr(backup.time, "sleep", sleep)
    assert "--every needs --keep" in csor("backup", str(tmp_path), "--every", "24", "--store", sqlite).output
    for _ in range(2):  # started anew, it makes no more than are due
        slept.clear()
        csor("backup", str(tmp_path), "--every", "24", "--keep", "9", "--store", sqlite)
    days = [path.name[:13] for path in backup.kept(tmp_path)]
    assert days == ["csor-20231114", "csor-20231115", "csor-20231116", "csor-20231117"]

"""`csor copy`, `csor backup` and `csor restore`, as an administrator types them."""

import asyncio
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


def test_a_missing_store_is_not_backed_up(tmp_path: Path) -> None:
    refused = csor("backup", str(tmp_path / "x.db"), "--store", f"sqlite:///{tmp_path / 'none.db'}")
    assert refused.exit_code != 0 and "no store" in refused.output
    assert list(tmp_path.iterdir()) == []


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

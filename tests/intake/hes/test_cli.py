"""`csor hes` as a user meets it."""

import asyncio
from pathlib import Path

import pytest
from click.testing import CliRunner

from app.commands.hes import hes
from app.registry.patients import create_child
from app.security.access import Access
from app.store import open_store
from tests.intake.hes.builders import COLUMNS, NUMBER, later, row, write
from tests.registry.builders import patient


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A store with one known child."""
    url = f"sqlite:///{tmp_path / 'store.db'}"

    async def prepare() -> None:
        store = open_store(url)
        await store.open()
        await create_child(store, Access("aa", "hospital", frozenset(("ZAA",))), patient("p", nhs=NUMBER))
        await store.close()

    asyncio.run(prepare())
    return url


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(hes, arguments, catch_exceptions=False)
    return result.exit_code, result.output


def told(output: str, words: str) -> int:
    return next(int(line.split()[-2].replace(",", "")) for line in output.splitlines() if words in line)


def test_a_clean_import_closes_with_its_table(tmp_path: Path, url: str) -> None:
    path = write(tmp_path / "h.csv", row(), later(2, "2023-03-01", "2023-03-02"))
    code, output = run("import", str(path), "--store", url)
    assert code == 0
    assert (told(output, "children linked"), told(output, "provider spells"), told(output, "operations")) == (1, 2, 1)
    code, output = run("import", str(path), "--store", url)
    assert code == 0
    assert "nothing was done" in output


def test_refused_rows_are_told_with_their_place_and_listed_later(tmp_path: Path, url: str) -> None:
    path = write(tmp_path / "h.csv", row(), row(2, EPIEND="soon"))
    code, output = run("import", str(path), "--store", url)
    assert code == 1
    assert f"line 3, column {COLUMNS.index('EPIEND') + 1}: EPIEND is not a date." in output
    code, output = run("errors", "--store", url)
    assert code == 0
    assert "EPIEND is not a date." in output


def test_a_missing_column_is_one_sentence(tmp_path: Path, url: str) -> None:
    path = write(tmp_path / "h.csv", row(), columns=[name for name in COLUMNS if name != "ADMIDATE"])
    code, output = run("import", str(path), "--store", url)
    assert code == 1
    assert "The column ADMIDATE is missing." in output
    assert "Traceback" not in output


def test_relink_says_what_it_linked(tmp_path: Path, url: str) -> None:
    _, output = run("import", str(write(tmp_path / "h.csv", row(NEWNHSNO=""))), "--store", url)
    assert "csor hes relink" in output
    code, output = run("relink", "--store", url)
    assert code == 0
    assert told(output, "not linked: no NHS number") == 1


def test_each_command_has_an_example() -> None:
    for command in ("import", "relink", "errors"):
        assert f"csor hes {command}" in run(command, "--help")[1]

"""docs/reference/hes.md names every column, command and record."""

from pathlib import Path

import pytest

from app.commands.hes import hes
from app.intake.hes.episodes import columns

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "hes.md").read_text()


@pytest.mark.parametrize("name", [*columns()["required"], *columns()["optional"]])
def test_columns(name: str) -> None:
    assert f"`{name}`" in PAGE


@pytest.mark.parametrize("name", sorted(hes.commands))
def test_commands(name: str) -> None:
    assert f"`csor hes {name}" in PAGE


@pytest.mark.parametrize("kind", ["hes-import", "hes-row-error", "hes-unlinked", "registered-death-unlinked", "hes-person"])
def test_records(kind: str) -> None:
    assert f"`{kind}`" in PAGE

"""The register of deaths: whose day counts, and who is told."""

from pathlib import Path

import pytest

from app.fhir.errors import Invalid
from app.intake.hes.deaths import import_deaths, settle
from app.intake.hes.importer import import_file
from app.security.access import SYSTEM, Access
from app.store.protocol import Put, Store
from tests.intake.hes.builders import NUMBER, row, write

ZAA = Access("aa", "hospital", frozenset(("ZAA",)))
COLUMNS = ["PERSON_ID", "NEWNHSNO", "DOB", "DOD", "CAUSE"]


def register(path: Path, **cells: str) -> Path:
    return write(path, {"PERSON_ID": "P1", "NEWNHSNO": NUMBER, "DOB": "2023-01-01", "CAUSE": "Q391", **cells}, columns=COLUMNS)


@pytest.mark.parametrize(
    ("hospital", "registered", "rule", "day"),
    [
        (None, "2023-02-10", "ONS2", "2023-02-10"),
        ("2023-02-10", "2023-02-10", "ONS1", "2023-02-10"),
        ("2023-02-10", "2023-02-07", "ONS1", "2023-02-07"),
        ("2023-02-10", "2023-02-06", "HES2", "2023-02-10"),
        ("2023-02-10", "2023-02-11", "MIX1", "2023-02-10"),
        ("2023-02-10", "2023-02-13", "MIX1", "2023-02-10"),
        ("2023-02-10", "2023-02-14", "HES2", "2023-02-10"),
    ],
)
def test_whose_day_counts(hospital: str | None, registered: str, rule: str, day: str) -> None:
    assert settle(hospital, registered) == (rule, day)


async def test_a_death_that_only_the_register_knows_reaches_the_child_once(store: Store, tmp_path: Path) -> None:
    path = register(tmp_path / "r.csv", DOD="10/02/2023")
    tally = await import_deaths(store, path)
    assert (tally.rules, tally.written) == ({"ONS2": 1}, 1)
    told = await store.read(ZAA, "Patient", "p")
    assert told.resource["deceasedDateTime"] == "2023-02-10"
    again = await import_deaths(store, path)
    assert (again.rules, again.written) == ({"ONS2": 1}, 0)
    assert (await store.read(ZAA, "Patient", "p")).version == told.version


async def test_a_day_before_the_hospitals_corrects_it_and_a_bare_year_gives_way(store: Store, tmp_path: Path) -> None:
    child = (await store.read(ZAA, "Patient", "p")).resource
    for said, registered, expected in (("2023-02-12", "2023-02-10", "2023-02-10"), ("2023", "2023-02-20", "2023-02-20")):
        await store.commit(ZAA, [Put({**child, "deceasedDateTime": said})])
        await import_deaths(store, register(tmp_path / "r.csv", DOD=registered))
        assert (await store.read(ZAA, "Patient", "p")).resource["deceasedDateTime"] == expected


async def test_the_person_of_an_import_is_known_without_a_number(store: Store, tmp_path: Path) -> None:
    await import_file(store, write(tmp_path / "h.csv", row()))
    tally = await import_deaths(store, register(tmp_path / "r.csv", NEWNHSNO="", DOD="2023-02-10"))
    assert tally.rules == {"ONS2": 1}


async def test_an_unknown_person_is_counted_and_kept(store: Store, tmp_path: Path) -> None:
    tally = await import_deaths(store, register(tmp_path / "r.csv", NEWNHSNO="", DOD="2023-02-10"))
    assert tally.not_linked == {"no NHS number": 1}
    [kept] = await store.find_records(SYSTEM, "registered-death-unlinked")
    assert b"2023-02-10" in (kept.raw or b"")


@pytest.mark.parametrize(("dod", "sentence"), [("2023-02-30", "DOD is not a date."), ("", "DOD is empty.")])
async def test_a_wrong_row_is_named_by_line_and_column(store: Store, tmp_path: Path, dod: str, sentence: str) -> None:
    tally = await import_deaths(store, register(tmp_path / "r.csv", DOD=dod))
    assert tally.problems == [f"line 2, column 4: {sentence}"]
    assert tally.wrong == tally.rows == 1
    [kept] = await store.find_records(SYSTEM, "hes-row-error")
    assert kept.data["reason"] == sentence


async def test_columns_that_must_be_there(store: Store, tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="DOD"):
        await import_deaths(store, write(tmp_path / "r.csv", {}, columns=["PERSON_ID"]))
    with pytest.raises(Invalid, match="PERSON_ID or NEWNHSNO"):
        await import_deaths(store, write(tmp_path / "r.csv", {}, columns=["DOD"]))

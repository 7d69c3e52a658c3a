"""Reading a HES file: what is accepted, and what is refused with its line and column."""

import io

import pytest

from app.fhir.errors import Invalid, Malformed
from app.intake.hes.episodes import Episode, Unfinished, WrongRow, episodes
from tests.intake.hes.builders import COLUMNS, row


def read(text: str) -> list[Episode | WrongRow | Unfinished]:
    return list(episodes(io.StringIO(text, newline=""))[1])


def one(columns: list[str] | None = None, **cells: str) -> Episode | WrongRow | Unfinished:
    columns = columns or COLUMNS
    told = row(**cells)
    [found] = read(",".join(columns) + "\r\n" + ",".join(told.get(name, "") for name in columns) + "\r\n")
    return found


def test_a_row_becomes_an_episode() -> None:
    found = one()
    assert isinstance(found, Episode)
    assert (found.line, found.person, found.admitted, found.provider) == (2, "P1", "2023-01-01", "ZAA")
    assert (found.diagnoses, found.operations) == (("Q391",), (("G073", "2023-01-03"),))


@pytest.mark.parametrize("written", ["2023-01-03", "20230103", "03/01/2023"])
def test_dates_as_extracts_write_them(written: str) -> None:
    found = one(OPDATE_01=written)
    assert isinstance(found, Episode)
    assert found.operations == (("G073", "2023-01-03"),)


@pytest.mark.parametrize("nothing", ["", "1800-01-01", "1801-01-01", "01/01/1800"])
def test_markers_of_nothing_are_nothing(nothing: str) -> None:
    found = one(DISDATE=nothing, DOB=nothing)
    assert isinstance(found, Episode)
    assert (found.discharged, found.born) == ("", "")


def test_the_first_episode_tells_a_missing_admission_date_and_a_later_one_cannot() -> None:
    first, later = one(ADMIDATE="1800-01-01"), one(ADMIDATE="", EPIORDER="02")
    assert isinstance(first, Episode)
    assert first.admitted == "2023-01-01"
    assert isinstance(later, WrongRow)
    assert "ADMIDATE" in later.reason


@pytest.mark.parametrize(
    ("cells", "column"),
    [
        ({"ADMIDATE": "2023-02-30"}, "ADMIDATE"),
        ({"EPISTART": "yesterday"}, "EPISTART"),
        ({"EPIEND": "2022-12-31"}, "EPIEND"),
        ({"OPDATE_01": "2023-13-01"}, "OPDATE_01"),
        ({"DOB": "32/01/2023"}, "DOB"),
        ({"ADMIMETH": "77"}, "ADMIMETH"),
        ({"DISMETH": "X"}, "DISMETH"),
        ({"DISDEST": "00"}, "DISDEST"),
        ({"EPISTAT": "7"}, "EPISTAT"),
        ({"SEX": "F"}, "SEX"),
        ({"EPIORDER": "first"}, "EPIORDER"),
        ({"EPIKEY": ""}, "EPIKEY"),
        ({"PROCODE3": "-"}, "PROCODE3"),
        ({"PROCODE3": "Z?"}, "PROCODE3"),
        ({"DIAG_02": "fever"}, "DIAG_02"),
        ({"OPERTN_01": "12"}, "OPERTN_01"),
    ],
)
def test_a_wrong_cell_is_named_by_line_and_column_and_its_value_is_not_told(cells: dict[str, str], column: str) -> None:
    found = one(**cells)
    assert isinstance(found, WrongRow)
    assert (found.line, found.column) == (2, COLUMNS.index(column) + 1)
    assert column in found.reason
    told = next(iter(cells.values()))
    assert len(told) < 2 or told not in found.reason
    assert f"line 2, column {found.column}" in str(found.issue())


def test_missing_columns_are_all_named() -> None:
    with pytest.raises(Invalid) as refused:
        one(columns=[name for name in COLUMNS if name not in ("ADMIMETH", "EPIEND")])
    assert "ADMIMETH" in str(refused.value)
    assert "EPIEND" in str(refused.value)
    assert [issue.line for issue in refused.value.issues] == [1, 1]


def test_other_names_of_columns_in_any_case_and_order() -> None:
    renamed = {"PERSON_ID": "token_person_id", "PROCODE3": "Procode5", "DIAG_01": "diag_4_01", "DIAG_02": "DIAG_4_02"}
    told = row(PROCODE3="ZAA01", DIAG_02="P369")
    columns = [renamed.get(name, name) for name in reversed(COLUMNS)]
    [found] = read(",".join(columns) + "\n" + ",".join(told.get(name, "") for name in reversed(COLUMNS)) + "\n")
    assert isinstance(found, Episode)
    assert (found.person, found.provider, found.diagnoses) == ("P1", "ZAA", ("Q391", "P369"))


def test_only_finished_episodes_count() -> None:
    assert isinstance(one(EPISTAT="1"), Unfinished)
    assert isinstance(one(EPISTAT="9"), Unfinished)


def test_codes_that_say_nothing_are_passed_over() -> None:
    found = one(OPERTN_01="-", OPDATE_01="", OPERTN_02="&", DIAG_02="")
    assert isinstance(found, Episode)
    assert found.operations == ()


def test_a_row_of_another_width_is_refused_with_its_line() -> None:
    head, good = ",".join(COLUMNS), ",".join(row().get(name, "") for name in COLUMNS)
    found = read(f"{head}\n{good}\n{good},more\n\n{good}\n")
    assert [type(each).__name__ for each in found] == ["Episode", "WrongRow", "Episode"]
    assert [each.line for each in found] == [2, 3, 5]


def test_a_line_break_in_quotes_does_not_lose_count() -> None:
    head, good = ",".join(COLUMNS), ",".join(row().get(name, "") for name in COLUMNS)
    found = read(f"{head}\n{good.replace('P1', chr(34) + 'P' + chr(10) + '1' + chr(34))}\n{good}\n")
    assert [each.line for each in found] == [2, 4]


@pytest.mark.parametrize("text", ["", '"unclosed', "\n"])
def test_what_is_no_csv_is_refused(text: str) -> None:
    with pytest.raises((Malformed, Invalid)):
        read(text)


def test_a_broken_line_names_itself() -> None:
    head, good = ",".join(COLUMNS), ",".join(row().get(name, "") for name in COLUMNS)
    with pytest.raises(Malformed) as refused:
        read(f'{head}\n{good}\n"unclosed,{good}\n')
    assert refused.value.issues[0].line == 3

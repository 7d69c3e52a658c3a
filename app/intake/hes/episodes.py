"""Rows of a HES file as typed episodes, each wrong cell named by line and column. What the columns may be called is data: mappings/hes/."""

import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache, lru_cache
from typing import Any, TextIO

import msgspec

from app.content import MAPPINGS
from app.fhir.errors import Invalid, Issue, Malformed

DIAGNOSIS = re.compile(r"[A-Z]\d\d[0-9X-]?[0-9A-Z-]{0,2}\Z")
OPERATION = re.compile(r"[A-Z]\d\d[0-9X]?\Z")
NOTHING = frozenset(("", "-", "&", "null", "NULL"))
MAX_ROW = 1 << 20


class Episode(msgspec.Struct, array_like=True, frozen=True):
    """One finished consultant episode. Days are ISO, `` where not told; codes as the file has them; `row` is the row itself."""

    line: int
    key: str
    person: str
    nhs_number: str
    born: str
    sex: str
    provider: str
    spell_number: str
    admitted: str
    admission_method: str
    admission_source: str
    start: str
    end: str
    order: int
    patient_class: str
    discharged: str
    discharge_method: str
    destination: str
    diagnoses: tuple[str, ...]
    operations: tuple[tuple[str, str], ...]  # (OPCS-4 code, day)
    row: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WrongRow:
    """A row that cannot be used: where and why. The reason names the column and never the value."""

    line: int
    column: int | None
    reason: str
    row: tuple[str, ...]

    def issue(self) -> Issue:
        """As a located issue."""
        return Issue("error", "value", self.reason, line=self.line, column=self.column)


@dataclass(frozen=True, slots=True)
class Unfinished:
    """An episode that is not finished: passed over."""

    line: int


class _WrongCell(Exception):
    def __init__(self, column: int | None, reason: str) -> None:
        self.column, self.reason = column, reason


@cache
def codes() -> dict[str, Any]:
    """mappings/hes/codes.json."""
    table: dict[str, Any] = json.loads((MAPPINGS / "hes" / "codes.json").read_bytes())
    return table


@cache
def columns() -> dict[str, Any]:
    """mappings/hes/columns.json."""
    table: dict[str, Any] = json.loads((MAPPINGS / "hes" / "columns.json").read_bytes())
    return table


@lru_cache(65536)
def day(text: str) -> str:
    """A HES date as ISO; `` for an empty one or a marker of nothing. Raises ValueError."""
    for form in codes()["dates"]["formats"]:
        try:
            found = datetime.strptime(text, form).date().isoformat()  # noqa: DTZ007 - a day, not a moment
        except ValueError:
            continue
        return "" if found in codes()["dates"]["nothing"] else found
    if text in NOTHING:
        return ""
    raise ValueError(text)


class Header:
    """Where each column of one file stands. Raises Invalid that names every missing column at once."""

    def __init__(
        self, names: Sequence[str], required: Mapping[str, Sequence[str]], optional: Mapping[str, Sequence[str]]
    ) -> None:
        self.names = [name.strip().upper() for name in names]
        at = {name: position for position, name in reversed(list(enumerate(self.names)))}
        self.at: dict[str, int] = {}
        missing = []
        for name, accepted in {**required, **optional}.items():
            position = next((at[each] for each in accepted if each in at), None)
            if position is not None:
                self.at[name] = position
            elif name in required:
                missing.append(name)
        if missing:
            sentences = [Issue("error", "required", f"The column {name} is missing.", line=1) for name in missing]
            raise Invalid(f"These columns are missing: {', '.join(missing)}.", issues=sentences)
        self._by_name = at

    def repeated(self, name: str) -> list[int]:
        """Positions of `DIAG_01`, `DIAG_02`, … in order."""
        positions = []
        for number in range(1, 100):
            accepted = [pattern.replace("NN", f"{number:02d}") for pattern in columns()["repeated"][name]]
            position = next((self._by_name[each] for each in accepted if each in self._by_name), None)
            if position is None:
                break
            positions.append(position)
        return positions


def table(file: TextIO) -> tuple[list[str], Iterator[tuple[int, tuple[str, ...]]]]:
    """The header of a CSV file, and its rows with their line numbers. Raises Malformed where it is no CSV."""
    csv.field_size_limit(MAX_ROW)
    reader = csv.reader(file, strict=True)
    try:
        header = next(reader)
    except StopIteration:
        raise Malformed("The file is empty; its first line must name the columns.", line=1) from None
    except csv.Error as error:
        raise Malformed(f"The first line is not CSV: {error}.", line=1) from None
    return header, _rows(reader)


def _rows(reader: Any) -> Iterator[tuple[int, tuple[str, ...]]]:
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise Malformed(f"This is not CSV: {error}.", line=line) from None
        if any(row):
            yield line, tuple(row)


def episodes(file: TextIO) -> tuple[list[str], Iterator[Episode | WrongRow | Unfinished]]:
    """The header of a HES file, and everything in it in its order. Raises Invalid or Malformed where it is no HES file as a whole."""
    names, rows = table(file)
    reader = _Reader(Header(names, columns()["required"], columns()["optional"]))
    return names, _read(reader, rows)


def _read(reader: "_Reader", rows: Iterator[tuple[int, tuple[str, ...]]]) -> Iterator[Episode | WrongRow | Unfinished]:
    for line, row in rows:
        try:
            yield reader.read(line, row)
        except _WrongCell as wrong:
            yield WrongRow(line, wrong.column, wrong.reason, row)


class _Reader:
    """Reads rows under one header."""

    def __init__(self, header: Header) -> None:
        self.width = len(header.names)
        self.names = header.names
        self.at = header.at
        self.diagnoses = header.repeated("DIAG")
        self.operations = list(zip(header.repeated("OPERTN"), header.repeated("OPDATE"), strict=False))

    def read(self, line: int, row: tuple[str, ...]) -> Episode | Unfinished:
        if len(row) != self.width:
            raise _WrongCell(None, f"The row has {len(row)} cells, the header {self.width}.")
        if self._coded(row, "EPISTAT") not in codes()["EPISTAT"]["finished"]:
            return Unfinished(line)
        start, end = self._day(row, "EPISTART", needed=True), self._day(row, "EPIEND", needed=True)
        if end < start:
            raise _WrongCell(self.at["EPIEND"] + 1, "EPIEND is before EPISTART.")
        order = self._order(row)
        admitted = self._day(row, "ADMIDATE") or (start if order == 1 else "")
        if not admitted:
            raise _WrongCell(self.at["ADMIDATE"] + 1, "ADMIDATE is empty, and this is not the first episode of its spell.")
        return Episode(
            line=line,
            key=self._needed(row, "EPIKEY"),
            person=self._text(row, "PERSON_ID"),
            nhs_number=self._text(row, "NEWNHSNO"),
            born=self._day(row, "DOB"),
            sex=self._coded(row, "SEX"),
            provider=self._provider(row),
            spell_number=self._text(row, "PROVSPNOPS"),
            admitted=admitted,
            admission_method=self._coded(row, "ADMIMETH"),
            admission_source=self._coded(row, "ADMISORC"),
            start=start,
            end=end,
            order=order,
            patient_class=self._coded(row, "CLASSPAT"),
            discharged=self._day(row, "DISDATE"),
            discharge_method=self._coded(row, "DISMETH"),
            destination=self._coded(row, "DISDEST"),
            diagnoses=tuple(self._diagnoses(row)),
            operations=tuple(self._operations(row)),
            row=row,
        )

    def _text(self, row: tuple[str, ...], name: str) -> str:
        position = self.at.get(name)
        text = row[position].strip() if position is not None else ""
        return "" if text in NOTHING else text

    def _needed(self, row: tuple[str, ...], name: str) -> str:
        text = self._text(row, name)
        if not text:
            raise _WrongCell(self.at[name] + 1, f"{name} is empty.")
        return text

    def _provider(self, row: tuple[str, ...]) -> str:
        code = self._needed(row, "PROCODE3").upper()[:3]
        if len(code) != 3 or not (code.isascii() and code.isalnum()):
            raise _WrongCell(self.at["PROCODE3"] + 1, "PROCODE3 is no provider code of three letters and digits.")
        return code

    def _day(self, row: tuple[str, ...], name: str, *, needed: bool = False) -> str:
        text = self._needed(row, name) if needed else self._text(row, name)
        return self._day_at(text, self.at[name], name) if name in self.at else ""

    def _day_at(self, text: str, position: int, name: str) -> str:
        try:
            return day(text)
        except ValueError:
            raise _WrongCell(position + 1, f"{name} is not a date.") from None

    def _order(self, row: tuple[str, ...]) -> int:
        text = self._text(row, "EPIORDER") or "98"
        if not (text.isascii() and text.isdigit()):
            raise _WrongCell(self.at["EPIORDER"] + 1, "EPIORDER is not a number.")
        return int(text)

    def _coded(self, row: tuple[str, ...], name: str) -> str:
        text = self._text(row, name).upper()
        if text and text not in codes()[name]["codes"]:
            raise _WrongCell(self.at[name] + 1, f"{name} has a code that is not in its list.")
        return text

    def _diagnoses(self, row: tuple[str, ...]) -> Iterator[str]:
        for position in self.diagnoses:
            code = row[position].strip().upper().replace(".", "")
            if code in NOTHING:
                continue
            if not DIAGNOSIS.match(code):
                raise _WrongCell(position + 1, f"{self.names[position]} is no ICD-10 code.")
            yield code

    def _operations(self, row: tuple[str, ...]) -> Iterator[tuple[str, str]]:
        for code_at, day_at in self.operations:
            code = row[code_at].strip().upper().replace(".", "")
            if code in NOTHING:
                continue
            if not OPERATION.match(code):
                raise _WrongCell(code_at + 1, f"{self.names[code_at]} is no OPCS-4 code.")
            yield code, self._day_at(row[day_at].strip(), day_at, self.names[day_at])

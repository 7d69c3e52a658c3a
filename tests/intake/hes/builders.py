"""HES rows and files."""

import csv
from pathlib import Path
from typing import Any

from app.intake.hes.episodes import Episode

COLUMNS = (
    "EPIKEY PERSON_ID NEWNHSNO DOB SEX PROCODE3 PROVSPNOPS ADMIDATE ADMIMETH ADMISORC EPISTART EPIEND EPIORDER EPISTAT EPITYPE CLASSPAT "
    "DISDATE DISMETH DISDEST DIAG_01 DIAG_02 OPERTN_01 OPDATE_01 OPERTN_02 OPDATE_02"
).split()
NUMBER = "9990000018"


def row(key: int = 1, **cells: str) -> dict[str, str]:
    """A finished episode of a child with oesophageal atresia, born and operated here."""
    return {
        "EPIKEY": f"{key:012d}",
        "PERSON_ID": "P1",
        "NEWNHSNO": NUMBER,
        "DOB": "2023-01-01",
        "SEX": "2",
        "PROCODE3": "ZAA",
        "PROVSPNOPS": "S1",
        "ADMIDATE": "2023-01-01",
        "ADMIMETH": "82",
        "ADMISORC": "19",
        "EPISTART": "2023-01-01",
        "EPIEND": "2023-02-01",
        "EPIORDER": "01",
        "EPISTAT": "3",
        "EPITYPE": "1",
        "CLASSPAT": "1",
        "DISDATE": "2023-02-01",
        "DISMETH": "1",
        "DISDEST": "19",
        "DIAG_01": "Q391",
        "OPERTN_01": "G073",
        "OPDATE_01": "2023-01-03",
    } | cells


def later(key: int, admitted: str, discharged: str, **cells: str) -> dict[str, str]:
    """A later stay, in one episode."""
    stay = {
        "ADMIMETH": "11",
        "OPERTN_01": "",
        "OPDATE_01": "",
        "ADMIDATE": admitted,
        "EPISTART": admitted,
        "EPIEND": discharged,
        "DISDATE": discharged,
        "PROVSPNOPS": f"S{key}",
    }
    return row(key, **(stay | cells))


def write(path: Path, *rows: dict[str, str], columns: list[str] | None = None) -> Path:
    """A CSV file."""
    with path.open("w", newline="", encoding="ascii") as file:
        writer = csv.DictWriter(file, columns or COLUMNS, restval="", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return path


def episode(key: str = "1", **fields: Any) -> Episode:
    """An episode for the pure functions."""
    values: dict[str, Any] = dict.fromkeys(Episode.__struct_fields__, "") | {
        "line": 2,
        "key": key,
        "person": "P",
        "provider": "ZAA",
        "admitted": "2023-01-01",
        "start": "2023-01-01",
        "end": "2023-01-10",
        "order": 1,
        "diagnoses": (),
        "operations": (),
        "row": (),
    }
    return Episode(**(values | fields))

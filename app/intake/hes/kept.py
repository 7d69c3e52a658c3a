"""What an import keeps of a file that it could not use: rows as CSV under their header, with their place and the reason."""

import csv
import hashlib
import io
from collections.abc import Sequence
from pathlib import Path

import msgspec

from app.intake.hes.episodes import WrongRow
from app.store.protocol import Record


def digest_of(path: Path) -> str:
    """SHA-256 of a file, read as a stream."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def as_csv(*rows: Sequence[str]) -> bytes:
    """Rows as CSV."""
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def refused_row(digest: str, header: Sequence[str], wrong: WrongRow) -> Record:
    """The record of a refused row; the tag is the file."""
    place = {"line": wrong.line, "column": wrong.column, "reason": wrong.reason}
    key = f"{digest[:16]}-{wrong.line:09d}"
    return Record("hes-row-error", key, msgspec.json.encode(place), raw=as_csv(header, wrong.row), tag=digest)

"""Reads resources from files: JSON, XML, NDJSON, whole directories, and the .gz, .bz2 and .xz of each.

What must stay true: one resource (or one line) in memory at a time, whatever the size of the input; a file that cannot be
read becomes an item with an error and the rest still comes; a decompression bomb is cut off.
"""

import bz2
import gzip
import io
import lzma
import os
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

from app.fhir import codec, xml
from app.fhir.errors import FHIRError, Malformed, NotFound, TooLarge

MAX_RESOURCE = 512 << 20  # bytes of one resource, uncompressed
MAX_RATIO = 250  # uncompressed to compressed, where there is more than
FREE = 1 << 30  # this many bytes

Format = Literal["json", "xml", "ndjson"]

_FORMATS: dict[str, Format] = {".json": "json", ".xml": "xml", ".ndjson": "ndjson", ".jsonl": "ndjson"}
_COMPRESSED = (".gz", ".bz2", ".xz")
_MANIFESTS = frozenset(["package.json", "package-lock.json"])  # of an npm or FHIR package: no resources
_BROKEN = (OSError, EOFError, zlib.error, lzma.LZMAError)


@dataclass(frozen=True, slots=True)
class FileItem:
    """One resource as it stands in a file, undecoded; or why it could not be read. `line` only for NDJSON."""

    path: Path
    line: int | None = None
    raw: bytes = b""
    error: FHIRError | None = None
    format: Literal["json", "xml"] = "json"

    @property
    def where(self) -> str:
        """`children.ndjson:12`, for a message."""
        return str(self.path) if self.line is None else f"{self.path}:{self.line}"

    def decode(self) -> dict[str, Any]:
        """The resource. Raises `error` if there is one, and Malformed."""
        if self.error is not None:
            raise self.error
        if self.line is not None:
            return codec.decode_line(self.raw, self.line)
        return xml.decode(self.raw) if self.format == "xml" else codec.decode(self.raw)


def read_resources(paths: Iterable[Path]) -> Iterator[FileItem]:
    """Every resource in those files and directories, in the order given; directories in the order of names, at any depth.

    A Bundle is one item. In a directory, files with other endings, hidden files and package manifests are passed over.
    """
    for path in paths:
        yield from _read(Path(path))


def files_in(paths: Iterable[Path]) -> Iterator[Path]:
    """The files that `read_resources` would open, for a caller who wants another order; an empty directory stands for itself."""
    for path in map(Path, paths):
        inside = list(_walk(path)) if path.is_dir() else []
        yield from inside or [path]


def count_files(paths: Iterable[Path]) -> int:
    """How many files `read_resources` would open: for a progress bar."""
    return sum(1 for _ in files_in(paths))


def _read(path: Path) -> Iterator[FileItem]:
    if path.is_dir():
        found = False
        for file in _walk(path):
            found = True
            yield from _read_file(file)
        if not found:
            yield FileItem(
                path, error=NotFound("The directory has no .json, .ndjson or .xml files (nor .gz, .bz2 or .xz of them).")
            )
    elif path.exists():
        yield from _read_file(path)
    else:
        yield FileItem(path, error=NotFound("There is no such file or directory."))


def _walk(directory: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(directory):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith(".") and name not in _MANIFESTS and format_of(Path(name)) is not None:
                yield Path(folder, name)


def format_of(path: Path) -> Format | None:
    """By the ending, a compression's aside; None if it says nothing."""
    name = path.name.lower()
    for ending in _COMPRESSED:
        name = name.removesuffix(ending)
    return _FORMATS.get(Path(name).suffix)


def _read_file(path: Path) -> Iterator[FileItem]:
    line = 0
    kind = format_of(path)
    try:
        with _open(path) as stream:
            if kind != "ndjson":
                yield _whole(path, stream, kind)
                return
            for line, raw in codec.lines(stream):
                too_long = len(raw) > codec.MAX_LINE
                error = TooLarge(f"The line is longer than {codec.MAX_LINE} bytes.", line=line) if too_long else None
                yield FileItem(path, line, b"" if too_long else raw, error)
    except _Bomb as error:
        yield FileItem(path, line or None, error=TooLarge(str(error)))
    except _BROKEN as error:
        reason = "is cut short or damaged" if path.suffix.lower() in _COMPRESSED else "cannot be read"
        yield FileItem(path, line or None, error=Malformed(f"The file {reason} ({error})."))


def _whole(path: Path, stream: BinaryIO, kind: Format | None) -> FileItem:
    raw = stream.read(MAX_RESOURCE + 1)
    if len(raw) > MAX_RESOURCE:
        return FileItem(
            path, error=TooLarge(f"The file holds more than {MAX_RESOURCE >> 20} MB in one resource; send it as NDJSON.")
        )
    is_xml = kind == "xml" or (kind is None and raw.lstrip()[:1] == b"<")
    return FileItem(path, raw=raw, format="xml" if is_xml else "json")


def _open(path: Path) -> BinaryIO:
    ending = path.suffix.lower()
    if ending not in _COMPRESSED:
        return path.open("rb")
    opener: Any = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}[ending]
    limit = max(FREE, MAX_RATIO * path.stat().st_size)
    return cast(BinaryIO, io.BufferedReader(_Capped(opener(path, "rb"), limit), 1 << 18))


class _Bomb(Exception):
    """Decompression that does not end in reason."""


class _Capped(io.RawIOBase):
    """A decompressing stream that stops at `limit` bytes."""

    def __init__(self, stream: BinaryIO, limit: int) -> None:
        self._stream = stream
        self._left = limit

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer; raises _Bomb beyond the limit."""
        part = self._stream.read(len(buffer))
        self._left -= len(part)
        if self._left < 0:
            raise _Bomb(
                f"The file grows to more than {MAX_RATIO} times its size when decompressed; unpack it first if it is meant so."
            )
        buffer[: len(part)] = part
        return len(part)

    def close(self) -> None:
        self._stream.close()
        super().close()

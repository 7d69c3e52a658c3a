"""FHIR packages: .tgz as registries have them, or a directory of JSON and XML. Profiles, code systems and value sets are what is taken.

Nothing is ever written to disk. What must stay true: a package that is hostile (paths that lead out, more bytes than its limits, links) is refused as a
whole, with the entry that made it so; a file in it that cannot be used is passed over and told.
"""

import gzip
import io
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from app.fhir import codec, xml
from app.fhir.errors import FHIRError, Issue, Malformed, NotFound, TooLarge

MAX_FILE = 32 << 20
MAX_TOTAL = 1 << 30
MAX_FILES = 50_000

_STRUCTURES = "StructureDefinition"
_TERMINOLOGY = ("CodeSystem", "ValueSet")
_PASSED_OVER = ("package.json", ".index.json", ".index.db", "ig-r4.json")


@dataclass
class Package:
    """What was loaded. `problems`: files that could not be used, as warnings with the file's name."""

    name: str = ""
    version: str = ""
    structures: list[Mapping[str, Any]] = field(default_factory=list)
    terminology: list[Mapping[str, Any]] = field(default_factory=list)
    problems: list[Issue] = field(default_factory=list)

    def add(self, resource: Mapping[str, Any], where: str) -> None:
        """A resource of the package; a Bundle gives what is in it. Kinds that validation has no use for are passed over."""
        kind = resource.get("resourceType")
        if kind == "Bundle":
            entries = resource.get("entry")
            for entry in entries if isinstance(entries, list) else ():
                if isinstance(entry, Mapping) and isinstance(entry.get("resource"), Mapping):
                    self.add(entry["resource"], where)
        elif kind in (_STRUCTURES, *_TERMINOLOGY):
            version = resource.get("fhirVersion")
            if not isinstance(resource.get("url"), str):
                self._problem(where, f"The {kind} has no url, so nothing can refer to it.")
            elif isinstance(version, str) and not version.startswith("4.0"):
                self._problem(where, f"The {kind} is for FHIR {version[:20]}, not R4.")
            else:
                (self.structures if kind == _STRUCTURES else self.terminology).append(resource)

    def _problem(self, where: str, sentence: str) -> None:
        self.problems.append(Issue("warning", "not-supported", f"{where}: {sentence}"))

    def take(self, name: str, raw: bytes) -> None:
        """A file of the package."""
        file = PurePosixPath(name).name
        if file in _PASSED_OVER:
            if file == "package.json":
                self._manifest(raw)
            return
        try:
            self.add(xml.decode(raw) if file.endswith(".xml") else codec.decode(raw), name)
        except FHIRError as error:
            self._problem(name, str(error))

    def _manifest(self, raw: bytes) -> None:
        try:
            told = codec.decode(raw)
        except FHIRError as error:
            self._problem("package.json", str(error))
            return
        self.name, self.version = self.name or str(told.get("name", "")), self.version or str(told.get("version", ""))


def load(path: Path | str) -> Package:
    """The package at `path`. Raises NotFound, Malformed (damaged, hostile, or nothing to use in it) or TooLarge."""
    path = Path(path)
    package = Package()
    if path.is_dir():
        found = _of_directory(path)
    elif path.is_file():
        found = _of_file(path)
    else:
        raise NotFound(f"There is no package at {path}.")
    for name, raw in found:
        package.take(name, raw)
    if not package.structures and not package.terminology:
        raise Malformed(f"There are no profiles, code systems or value sets in {path}.")
    return package


def _of_file(path: Path) -> Iterator[tuple[str, bytes]]:
    if path.suffix in (".json", ".xml"):
        yield path.name, _limited(path)
        return
    try:
        with gzip.open(path, "rb") as stream:
            yield from read_archive(stream)
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error, OSError) as error:
        raise Malformed(f"{path} is not a FHIR package (a .tgz): {error}.") from error


def _of_directory(path: Path) -> Iterator[tuple[str, bytes]]:
    total = 0
    for count, file in enumerate(sorted(path.rglob("*"))):
        if count > MAX_FILES:
            raise TooLarge(f"There are more than {MAX_FILES:,} files in {path}.")
        relative = file.relative_to(path)
        hidden = any(part.startswith(".") for part in relative.parts)
        if hidden or file.suffix not in (".json", ".xml") or file.is_symlink() or not file.is_file():
            continue
        raw = _limited(file)
        total += len(raw)
        if total > MAX_TOTAL:
            raise TooLarge(f"The files in {path} hold more than {MAX_TOTAL >> 20} MB.")
        yield str(relative), raw


def _limited(file: Path) -> bytes:
    with file.open("rb") as stream:
        raw = stream.read(MAX_FILE + 1)
    if len(raw) > MAX_FILE:
        raise TooLarge(f"{file} is larger than {MAX_FILE >> 20} MB.")
    return raw


class _Counted(io.RawIOBase):
    """A decompressing stream that ends in TooLarge beyond MAX_TOTAL bytes, whatever the archive says of itself."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._left = MAX_TOTAL

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """At most what is left of the limit."""
        part: bytes = self._stream.read(min(size, self._left + 1) if size >= 0 else self._left + 1)
        self._left -= len(part)
        if self._left < 0:
            raise TooLarge(f"The package grows to more than {MAX_TOTAL >> 20} MB when decompressed.")
        return part


def read_archive(stream: BinaryIO | gzip.GzipFile) -> Iterator[tuple[str, bytes]]:
    """(name, bytes) of the JSON and XML files in a tar stream, one in memory at a time."""
    with tarfile.open(fileobj=_Counted(stream), mode="r|") as tar:
        for count, member in enumerate(tar):
            name = PurePosixPath(member.name.replace("\\", "/"))
            if count > MAX_FILES:
                raise TooLarge(f"There are more than {MAX_FILES:,} files in the package.")
            if name.is_absolute() or ".." in name.parts or ":" in name.parts[0]:
                raise Malformed(f"The package has an entry that leads out of it: '{member.name[:200]}'.")
            if member.issym() or member.islnk() or member.isdev():
                raise Malformed(f"The package has an entry that is no file: '{member.name[:200]}'.")
            if not member.isfile() or name.suffix not in (".json", ".xml") or name.name.startswith("."):
                continue
            if member.size > MAX_FILE:
                raise TooLarge(f"'{member.name[:200]}' in the package is larger than {MAX_FILE >> 20} MB.")
            content = tar.extractfile(member)
            if content is not None:
                yield str(name), content.read()

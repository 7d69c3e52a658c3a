"""Packages: read from .tgz and directories, JSON and XML; a hostile one is refused whole, a damaged file is told."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from app.fhir import packages, xml
from app.fhir.errors import FHIRError, Malformed, NotFound, TooLarge
from app.fhir.packages import load
from app.fhir.validation import Validator
from tests.fhir.profiles.making import URL, element, profile

PROFILE = profile("Patient", element("Patient.name", min=1))
SYSTEM = {"resourceType": "CodeSystem", "url": "urn:s", "status": "draft", "content": "complete", "concept": [{"code": "a"}]}


def tgz(path: Path, *files: tuple[str, bytes], members: tuple[tarfile.TarInfo, ...] = ()) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, raw in files:
            member = tarfile.TarInfo(name)
            member.size = len(raw)
            tar.addfile(member, io.BytesIO(raw))
        for member in members:
            tar.addfile(member)
    return path


def raw(resource: Any) -> bytes:
    return json.dumps(resource).encode()


MANIFEST = raw({"name": "our.package", "version": "1.2.3"})


def test_a_package_as_registries_have_it(tmp_path: Path) -> None:
    files = [
        ("package/package.json", MANIFEST),
        ("package/.index.json", b"{}"),
        ("package/StructureDefinition-p.json", raw(PROFILE)),
        ("package/other/CodeSystem-s.xml", xml.encode(SYSTEM)),
        ("package/example/Patient-1.json", raw({"resourceType": "Patient"})),
        ("package/readme.md", b"words"),
    ]
    package = load(tgz(tmp_path / "p.tgz", *files))
    assert (package.name, package.version, package.problems) == ("our.package", "1.2.3", [])
    assert [each["url"] for each in package.structures + package.terminology] == [URL + "p", "urn:s"]
    issues = Validator(packages=[tmp_path / "p.tgz"]).validate({"resourceType": "Patient"}, [URL + "p"])
    assert [issue.expression for issue in issues if issue.severity == "error"] == ["Patient.name"]


def test_a_directory_and_a_bundle_do_as_well(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "all.json").write_bytes(
        raw({"resourceType": "Bundle", "type": "collection", "entry": [{"resource": PROFILE}, {"resource": SYSTEM}, {}]})
    )
    (tmp_path / ".hidden.json").write_bytes(b"not json")
    package = load(tmp_path)
    assert (len(package.structures), len(package.terminology), package.problems) == (1, 1, [])
    assert len(load(tmp_path / "deep" / "all.json").structures) == 1


def test_what_cannot_be_used_is_told_and_the_rest_loads(tmp_path: Path) -> None:
    files = [
        ("package/a.json", raw(PROFILE)),
        ("package/b.json", b"{"),
        ("package/c.xml", b"<!DOCTYPE a><a/>"),
        ("package/d.json", raw({**PROFILE, "fhirVersion": "5.0.0", "url": "urn:five"})),
        ("package/e.json", raw({"resourceType": "ValueSet", "status": "draft"})),
        ("package/package.json", b"["),
    ]
    package = load(tgz(tmp_path / "p.tgz", *files))
    assert len(package.structures) == 1
    assert [problem.diagnostics.partition(":")[0] for problem in package.problems] == [
        "package/b.json",
        "package/c.xml",
        "package/d.json",
        "package/e.json",
        "package.json",
    ]


def link(name: str, kind: bytes) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type = kind
    member.linkname = "/etc/passwd"
    return member


@pytest.mark.parametrize("name", ["../out.json", "/etc/out.json", "package/../../out.json", "..\\out.json", "c:/out.json"])
def test_paths_that_lead_out_refuse_the_package(tmp_path: Path, name: str) -> None:
    with pytest.raises(Malformed, match="leads out"):
        load(tgz(tmp_path / "p.tgz", ("package/a.json", raw(PROFILE)), (name, raw(PROFILE))))
    assert [each.name for each in tmp_path.iterdir()] == ["p.tgz"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE])
def test_links_and_devices_refuse_the_package(tmp_path: Path, kind: bytes) -> None:
    with pytest.raises(Malformed, match="no file"):
        load(tgz(tmp_path / "p.tgz", ("package/a.json", raw(PROFILE)), members=(link("package/b.json", kind),)))


def test_size_is_bounded_whatever_the_archive_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tgz(tmp_path / "p.tgz", ("package/a.json", raw(PROFILE)), ("package/b.txt", b" " * 5_000_000))
    load(archive)
    monkeypatch.setattr(packages, "MAX_TOTAL", 1_000_000)
    with pytest.raises(TooLarge, match="grows"):
        load(archive)
    monkeypatch.setattr(packages, "MAX_FILE", 100)
    with pytest.raises(TooLarge, match="larger"):
        load(tgz(tmp_path / "q.tgz", ("package/a.json", raw(PROFILE))))
    monkeypatch.setattr(packages, "MAX_FILES", 1)
    with pytest.raises(TooLarge, match="more than 1 files"):
        load(tgz(tmp_path / "r.tgz", *[(f"package/{n}.txt", b"") for n in range(5)]))


def test_a_linked_file_in_a_directory_is_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside.json"
    outside.write_bytes(raw(PROFILE))
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "a.json").write_bytes(raw(SYSTEM))
    (tmp_path / "inside" / "b.json").symlink_to(outside)
    assert load(tmp_path / "inside").structures == []


@pytest.mark.parametrize("content", [b"", b"words", b"\x1f\x8b\x08\x00broken"])
def test_damaged_and_empty_packages_are_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "p.tgz"
    path.write_bytes(content)
    with pytest.raises(FHIRError):
        load(path)
    whole = tgz(tmp_path / "whole.tgz", ("package/a.json", raw(PROFILE) * 500)).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(Malformed):
        load(path)


def test_nothing_there_and_nothing_to_use(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        load(tmp_path / "nowhere.tgz")
    with pytest.raises(Malformed, match="no profiles"):
        load(tgz(tmp_path / "p.tgz", ("package/package.json", MANIFEST)))

"""Reading files: every kind, in order, one resource at a time, and no file stops the next."""

import bz2
import gzip
import lzma
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from app.fhir import codec, files, xml
from app.fhir.errors import Malformed, NotFound, TooLarge
from app.fhir.files import FileItem, count_files, files_in, read_resources

ONE = b'{"resourceType":"Patient","id":"1"}'
TWO = b'{"resourceType":"Patient","id":"2"}'


def read(*paths: Path) -> list[FileItem]:
    return list(read_resources(paths))


def ids(items: list[FileItem]) -> list[str]:
    return [item.decode()["id"] for item in items]


@pytest.mark.parametrize(
    ("ending", "compress"), [("", bytes), (".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)]
)
def test_every_format_in_every_compression(tmp_path: Path, ending: str, compress: Callable[[bytes], bytes]) -> None:
    (tmp_path / f"a.json{ending}").write_bytes(compress(ONE))
    (tmp_path / f"b.ndjson{ending}").write_bytes(compress(ONE + b"\n\n" + TWO))
    (tmp_path / f"c.xml{ending}").write_bytes(compress(xml.encode(codec.decode(TWO))))
    items = read(tmp_path)
    assert ids(items) == ["1", "1", "2", "2"]
    assert [item.line for item in items] == [None, 1, 3, None]
    assert [item.format for item in items] == ["json", "json", "json", "xml"]


def test_directories_are_read_in_order_at_any_depth(tmp_path: Path) -> None:
    for name in ("b/2.json", "a/9.json", "a/1.json", "0.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(ONE)
    for name in (".hidden.json", "package.json", "notes.txt", "b/image.png"):
        (tmp_path / name).write_bytes(b"no resource")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "x.json").write_bytes(b"no resource")
    assert [str(item.path.relative_to(tmp_path)) for item in read(tmp_path)] == ["0.json", "a/1.json", "a/9.json", "b/2.json"]
    assert count_files([tmp_path, tmp_path / "0.json"]) == 5
    assert [path.name for path in files_in([tmp_path / "a", tmp_path / "absent"])] == ["1.json", "9.json", "absent"]


def test_a_link_in_a_circle_ends(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.json").write_bytes(ONE)
    (tmp_path / "a" / "again").symlink_to(tmp_path, target_is_directory=True)
    assert ids(read(tmp_path)) == ["1"]


def test_a_file_that_is_named_is_read_whatever_its_ending(tmp_path: Path) -> None:
    (tmp_path / "patient").write_bytes(ONE)
    (tmp_path / "other.txt").write_bytes(xml.encode(codec.decode(TWO)))
    assert ids(read(tmp_path / "patient", tmp_path / "other.txt")) == ["1", "2"]


def test_no_file_stops_the_next(tmp_path: Path) -> None:
    good = tmp_path / "good.json"
    good.write_bytes(ONE)
    cut = tmp_path / "cut.json.gz"
    cut.write_bytes(gzip.compress(ONE * 1000)[:-20])
    liar = tmp_path / "liar.json.xz"
    liar.write_bytes(ONE)
    (tmp_path / "empty").mkdir()
    items = read(tmp_path / "absent.json", cut, liar, tmp_path / "empty", good)
    assert [type(item.error) for item in items] == [NotFound, Malformed, Malformed, NotFound, type(None)]
    with pytest.raises(NotFound):
        items[0].decode()


def test_lines_before_the_damage_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "cut.ndjson.gz"
    whole = b"".join(b'{"resourceType":"Patient","id":"%d"}\n' % number for number in range(50_000))
    path.write_bytes(gzip.compress(whole)[:-1000])
    *lines, last = read(path)
    assert len(lines) > 10_000
    assert lines[0].decode()["id"] == "0"
    assert isinstance(last.error, Malformed)


def test_a_bad_line_is_one_bad_item(tmp_path: Path) -> None:
    path = tmp_path / "x.ndjson"
    path.write_bytes(ONE + b"\n{oops\n" + TWO)
    first, broken, last = read(path)
    assert ids([first, last]) == ["1", "2"]
    assert broken.where == f"{path}:2"
    with pytest.raises(Malformed) as caught:
        broken.decode()
    assert (caught.value.issues[0].line, caught.value.issues[0].column) == (2, 2)


def test_a_line_that_is_too_long_is_refused_and_the_next_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "MAX_LINE", 100)
    monkeypatch.setattr(codec.lines, "__defaults__", (100,))
    path = tmp_path / "x.ndjson"
    path.write_bytes(b'{"a":"' + b"x" * 1000 + b'"}\n' + TWO)
    long, last = read(path)
    assert isinstance(long.error, TooLarge)
    assert long.raw == b""
    assert (last.line, last.decode()["id"]) == (2, "2")


def test_one_resource_has_a_cap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_RESOURCE", 30)
    (tmp_path / "big.json").write_bytes(ONE)
    assert isinstance(read(tmp_path)[0].error, TooLarge)


@pytest.mark.parametrize("name", ["bomb.json.bz2", "bomb.ndjson.bz2"])
def test_a_decompression_bomb_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(files, "FREE", 1 << 20)
    (tmp_path / name).write_bytes(bz2.compress(b" " * (1 << 24)))
    (item,) = read(tmp_path)
    assert isinstance(item.error, TooLarge)


def test_memory_does_not_grow_with_the_number_of_lines(tmp_path: Path) -> None:
    path = tmp_path / "long.ndjson.gz"
    with gzip.open(path, "wb", compresslevel=1) as stream:
        for _ in range(200):
            stream.write((ONE + b" " * 1000 + b"\n") * 200)
    tracemalloc.start()
    count = sum(1 for item in read_resources([path]) if item.decode())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 40_000
    assert peak < 4 << 20

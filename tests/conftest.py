"""Fixtures that every room shares. What a test needs and does not find makes it skip with the reason."""

import os
import tarfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from app.store.protocol import Store
from tests import mongod
from tests.support import open_mongo_store, open_test_store

# For the tests CSOR_DATA names the outside data; for a server that they start it would be the data directory, so it goes no further
# (under another name it reaches the processes that share the tests among them).
_named = os.environ.pop("CSOR_DATA", "") or os.environ.get("CSOR_TEST_DATA", "")
DATA = Path(_named or Path(__file__).resolve().parents[1] / ".." / "shared" / "data").resolve()
os.environ["CSOR_TEST_DATA"] = str(DATA)


@pytest.fixture(scope="session")
def csor_data(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """`csor_data("hl7.fhir.r4.core-4.0.1")`: where that archive of CSOR_DATA lies unpacked (or that directory lies)."""
    unpacked: dict[str, Path] = {}

    def find(name: str) -> Path:
        if name in unpacked:
            return unpacked[name]
        archive = DATA / f"{name}.tar.xz"
        if (DATA / name).is_dir():
            unpacked[name] = DATA / name
        elif archive.is_file():
            target = tmp_path_factory.mktemp(name)
            with tarfile.open(archive) as tar:
                tar.extractall(target, filter="data")
            unpacked[name] = target
        else:
            pytest.skip(f"outside data '{name}' is absent: set CSOR_DATA to the directory that holds {archive.name}")
        return unpacked[name]

    return find


@pytest.fixture(params=["sqlite", "mongodb"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """An open, empty store of each kind; the tests know only the protocol."""
    if request.param == "mongodb":
        opened = await open_mongo_store(request.getfixturevalue("mongodb"))
    else:
        opened = await open_test_store(tmp_path)
    yield opened
    await opened.close()


_LAST_LINES: set[str] = set()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What a reader of the last lines must not overlook."""
    for line in sorted(_LAST_LINES):
        terminalreporter.write_line(f"NOTE: {line}")


@pytest.fixture(scope="session")
def mongodb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a MongoDB replica set: `CSOR_TEST_MONGODB`, or one that is started for this run."""
    if named := os.environ.get("CSOR_TEST_MONGODB"):
        yield named
        return
    if mongod.binary() is None:
        reason = "the MongoDB contract was not run: no mongod (install the development dependencies) and no CSOR_TEST_MONGODB"
        if os.environ.get("CSOR_TEST_REQUIRE") == "1":
            pytest.fail(reason)
        _LAST_LINES.add(reason)
        pytest.skip(reason)
    running = mongod.ReplicaSet(tmp_path_factory.mktemp("mongod"))
    try:
        running.start()
        yield running.url
    finally:
        running.stop()

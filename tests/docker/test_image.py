"""The image's own instructions, carried out and run as a container would run it: nobody's rights, nothing to write to but /data and /tmp."""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests import mongod
from tests.docker.image import ROOT, Builder, Image, able, instructions
from tests.support import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # it installs all dependencies
DOCKERFILE = ROOT / "docker" / "Dockerfile"
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    if reason := able():
        pytest.skip(reason)
    network = {name: value for name, value in os.environ.items() if name.startswith("PIP_") or name.lower().endswith("_proxy")}
    work = tmp_path_factory.mktemp("image")
    yield Builder(DOCKERFILE, ROOT, work, network).build()
    shutil.rmtree(work)  # 600 MB


@pytest.fixture
def data(tmp_path: Path, image: Image) -> Path:
    """A volume: it takes the owner that the image gives its mount point."""
    mount_point = (image.layer / "data").stat()
    volume = tmp_path / "volume"
    volume.mkdir()
    os.chown(volume, mount_point.st_uid, mount_point.st_gid)
    return volume


@pytest.fixture
def ran(image: Image, data: Path) -> Run:
    """One command in the image, to its end."""

    def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        line = image.process(list(command), volumes={"/data": data}, environment=environment)
        return subprocess.run(line, capture_output=True, text=True, timeout=120, check=False)

    return run


@pytest.fixture
def server(image: Image, data: Path, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, str]]]:
    """ENTRYPOINT and CMD, on ports of the test's own."""
    own = {"CSOR_HOST": "127.0.0.1", "CSOR_PORT": str(mongod.free_port()), "CSOR_MLLP_PORT": str(mongod.free_port())}
    with (tmp_path / "log").open("wb") as log:
        line = image.process(image.entrypoint + image.command, volumes={"/data": data}, environment=own)
        process = subprocess.Popen(line, stdout=log, stderr=log)
    try:
        yield process, own
    finally:
        process.kill()
        process.wait(60)


def test_the_server_runs_as_nobody_on_a_read_only_file_system(
    image: Image, ran: Run, server: tuple[subprocess.Popen[bytes], dict[str, str]], data: Path
) -> None:
    process, own = server
    assert image.health == ["csor", "health"]
    until(lambda: ran(*image.health, **own).returncode == 0 or process.poll() is not None)
    assert process.poll() is None
    status = dict(re.findall(r"^(\w+):\s*(.*)$", Path(f"/proc/{process.pid}/status").read_text(), re.MULTILINE))
    assert status["Uid"].split() == ["10001"] * 4 and status["Gid"].split() == ["10001"] * 4
    assert status["NoNewPrivs"] == "1" and int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0
    token = ran("csor", "client", "add", "EPR", "--role", "vendor", "--hospital", "RXX", **own)
    assert token.returncode == 0, token.stderr
    with httpx.Client(base_url=f"http://127.0.0.1:{own['CSOR_PORT']}/fhir", timeout=60) as client:
        assert client.get("/Patient").status_code == 401
        client.headers["authorization"] = f"Bearer {token.stdout.strip()}"
        assert client.put("/Patient/a", json={"resourceType": "Patient", "id": "a"}).status_code == 201
        assert client.get("/Questionnaire").status_code == 200
    process.send_signal(signal.Signals[image.stop_signal])
    assert process.wait(60) == 0
    assert ran(*image.health, **own).returncode == 1
    assert (data / "csor.db").stat().st_uid == 10001
    assert ran("csor", "check").stdout == "All agrees.\n"


def test_nothing_can_be_written_beside_data_and_tmp(ran: Run) -> None:
    for place, code in (("/data/x", 0), ("/tmp/x", 0), ("/opt/csor/x", 1), ("/x", 1), ("/etc/x", 1), ("/var/tmp/x", 1)):
        assert ran("sh", "-c", f"echo > {place}").returncode == (0 if code == 0 else 2), place


def test_the_image_holds_the_program_and_nothing_to_build_with(image: Image, ran: Run) -> None:
    said = ran("csor", "--version")
    assert said.returncode == 0 and "csor" in said.stdout
    where = ran("python", "-c", "import app.content as c; print(c.PROFILES, c.PROFILES.is_dir())")
    assert where.stdout.startswith("/opt/csor/lib/") and where.stdout.strip().endswith("True")
    for absent in ("pip", "setuptools", "hatchling"):
        assert ran("/opt/csor/bin/python", "-I", "-c", f"import {absent}").returncode == 1, absent
    top = {path.relative_to(image.layer).parts[0] for path in image.layer.rglob("*")}
    assert top <= {"opt", "data"}, "a layer has something that the program does not need"
    assert ran("sh", "-c", "find /opt/csor -user 10001 -o -perm -o+w -type f | head").stdout == ""


def test_what_every_image_of_ours_must_say() -> None:
    said = instructions(DOCKERFILE)
    words = [word for word, _ in said]
    assert {"USER", "HEALTHCHECK", "STOPSIGNAL", "ENTRYPOINT", "CMD"} <= set(words)
    assert all(re.fullmatch(r"\d+:\d+", text) for word, text in said if word == "USER")
    installs = [text for word, text in said if word == "RUN" and "pip install" in text]
    assert installs and all("--require-hashes" in text or "--no-deps" in text for text in installs)
    assert not any(
        re.search("password|token|secret", text, re.IGNORECASE) for word, text in said if word in ("ENV", "ARG", "COPY")
    )


@pytest.mark.parametrize(
    "path",
    [
        "docker/secrets/csor_store",
        ".git/config",
        "data/csor.db",
        "tests/conftest.py",
        ".venv/bin/python",
        "app/__pycache__/x.pyc",
    ],
)
def test_what_does_not_enter_the_image(path: str, tmp_path: Path) -> None:
    assert not Builder(DOCKERFILE, ROOT, tmp_path)._enters(path)
    assert Builder(DOCKERFILE, ROOT, tmp_path)._enters("app/api/health.py")

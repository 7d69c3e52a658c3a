"""docs/reference/rest.md names every setting, route and operation there is, and its commands run."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.routing import Route

from app.api.endpoint import Endpoint
from app.main import create
from app.settings import Settings

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference" / "rest.md"
TEXT = PAGE.read_text()
BLOCKS = re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)


@pytest.fixture(scope="module")
def application(tmp_path_factory: pytest.TempPathFactory) -> object:
    return create(Settings(data=tmp_path_factory.mktemp("docs"), mllp_port=-1))


def test_every_setting_is_named_and_no_other() -> None:
    named = set(re.findall(r"`(CSOR_[A-Z_]+)`", TEXT))
    assert named == {f"CSOR_{name.upper()}" for name in Settings.model_fields}


def test_every_route_is_named(application: object) -> None:
    for route in application.routes:  # type: ignore[attr-defined]
        if isinstance(route, Route) and isinstance(route.app, Endpoint) and "path:path" not in route.path:
            path = route.path.replace(":fhirid", "").rstrip("/")
            assert path in TEXT or path.removeprefix("/fhir/{type}/{id}") in TEXT, path


def test_every_operation_is_named(application: object) -> None:
    for operation in application.state.context.operations:  # type: ignore[attr-defined]
        assert f"`${operation.name}`" in TEXT, operation.name


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_the_commands_run(block: str, tmp_path: Path, served: Callable[[], str]) -> None:
    if "curl" in block and shutil.which("curl") is None:
        pytest.skip("curl is absent")
    script = block.replace("http://localhost:8000", served()) if "curl" in block else block
    environment = {**os.environ, "DATA": str(tmp_path), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(["sh", "-e", "-c", script], env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> object:
    """A sandbox that starts at the first block that needs one."""
    from tests.journeys.conftest import Server, launch

    running: list[Server] = []

    def base() -> str:
        if not running:
            running.append(launch(tmp_path_factory.mktemp("served")))
        return running[0].base

    yield base
    for server in running:
        server.stop()

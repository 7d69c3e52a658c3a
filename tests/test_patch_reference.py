"""docs/reference/patch.md: its commands run one after the other, and it names every form, operation and limit."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from app.api.patch import FORMATS
from app.fhir.patch import fhirpath_patch, json_patch, values
from app.fhir.patch.errors import MAX_OPERATIONS
from app.fhir.patch.json_patch import _OPERATIONS
from app.fhir.patch.parameters import _NEEDS
from app.fhir.patch.places import _FUNCTIONS
from app.fhir.patch.xml_patch import _APPLY

TEXT = (Path(__file__).resolve().parents[1] / "docs" / "reference" / "patch.md").read_text()


def test_it_names_what_there_is() -> None:
    for name in (*FORMATS, *_OPERATIONS, *_NEEDS, *_FUNCTIONS, *_APPLY):
        assert f"`{name}`" in TEXT, name
    for limit in (MAX_OPERATIONS, values.MAX_NODES, values.MAX_STEPS):
        assert f"{limit:,}" in TEXT
    assert callable(json_patch) and callable(fhirpath_patch)


def test_the_commands_run(tmp_path: Path) -> None:
    from tests.journeys.conftest import launch

    if shutil.which("curl") is None:
        pytest.skip("curl is absent")
    [block] = re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
    server = launch(tmp_path)
    try:
        script = block.replace("http://localhost:8000", server.base)
        done = subprocess.run(
            ["sh", "-e", "-c", script], env={**os.environ}, capture_output=True, text=True, timeout=60, check=False
        )
    finally:
        server.stop()
    assert done.returncode == 0, done.stderr
    assert '"birthDate":"2024-03-28"' in done.stdout and '"family":"Sample"' in done.stdout

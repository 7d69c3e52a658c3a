"""What the documents tell people to type does run: every `sh` block of README.md and docs/, against a sandbox server of its own.

Only what starts or builds something for good is passed over, each for a reason: `make` and `activate` (this test runs inside what they make) and
`csor serve` (the fixture's server stands for it).
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.journeys.conftest import Server, launch

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PASSED_OVER = ("make ", "csor serve", ". .venv/bin/activate", ".venv/bin/csor serve", "git clone")
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


def commands(document: Path) -> str:
    """All blocks of a document as one script."""
    lines = [line for block in BLOCK.findall(document.read_text()) for line in block.splitlines()]
    return "\n".join(line for line in lines if not line.startswith(PASSED_OVER))


def script(document: Path, server: Server, directory: Path) -> str:
    text = commands(document)
    text = re.sub(r"(localhost|127\.0\.0\.1):8000", server.base.removeprefix("http://"), text)
    assert server.mllp
    text = re.sub(r"(localhost|127\.0\.0\.1):2575", f"{server.mllp[0]}:{server.mllp[1]}", text)
    return text.replace("/tmp/", f"{directory}/").replace("--data data", f"--data {server.data}").replace("csor_…", "csor_none")


@pytest.mark.parametrize("document", [d for d in DOCUMENTS if commands(d).strip()], ids=lambda d: str(d.relative_to(ROOT)))
def test_what_a_document_says_to_type_runs(document: Path, tmp_path: Path) -> None:
    server = launch(tmp_path / "data")
    try:
        environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "DATA": str(server.data)}
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script(document, server, tmp_path)],
            env=environment,
            cwd=ROOT / "tests" / "docs" / "desk",
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
    finally:
        server.stop()
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: str(d.relative_to(ROOT)))
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    for target in LINK.findall(document.read_text()):
        assert (document.parent / target).exists(), f"{document.name} links to {target}, which is not there"


def test_every_command_is_documented() -> None:
    from app.cli import COMMANDS

    text = "\n".join(document.read_text() for document in DOCUMENTS)
    missing = [name for name in COMMANDS if f"csor {name}" not in text]
    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: str(d.relative_to(ROOT)))
def test_tests_and_files_that_a_document_names_exist(document: Path) -> None:
    named = re.findall(r"`((?:tests|app|profiles|mappings|terminology|bench|docs|docker)/[\w./-]+)`", document.read_text())
    of_a_site = ("profiles/libraries/treatment-success-programme.json", "docker/.env", "docker/secrets/")
    assert [path for path in named if not path.startswith(of_a_site) and not (ROOT / path).exists()] == []

"""docs/how-to/use-app-fhir-alone.md runs from its first line to its last, and needs nothing of this repository but app.fhir."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "how-to" / "use-app-fhir-alone.md"
AFTER = """
import sys
others = sorted(name for name in sys.modules if name.startswith("app.") and not (name + ".").startswith("app.fhir."))
assert others == [], others
"""


def test_the_page_runs_with_the_library_alone(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) >= 8
    program = tmp_path / "page.py"
    program.write_text("".join(blocks) + AFTER)
    done = subprocess.run(
        [sys.executable, str(program)], env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr

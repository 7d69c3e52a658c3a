"""The README's example runs and prints what it says; XML has one door."""

import contextlib
import io
import re
from pathlib import Path

import app.fhir

HERE = Path(app.fhir.__file__).parent


def test_the_example_prints_what_it_says() -> None:
    (block,) = re.findall(r"```python\n(.*?)```", (HERE / "README.md").read_text(), re.DOTALL)
    said = [line[2:] for line in block.splitlines() if line.startswith("# ")]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(block, {})
    assert printed.getvalue().splitlines() == said


def test_every_module_is_named() -> None:
    text = (HERE / "README.md").read_text()
    names = [path.name for path in HERE.iterdir() if path.suffix == ".py" or (path.is_dir() and (path / "__init__.py").exists())]
    assert [name for name in names if name != "__init__.py" and f"`{name}" not in text] == []


def test_only_one_module_parses_xml() -> None:
    doors = [
        path.relative_to(HERE.parent).as_posix()
        for path in HERE.parent.rglob("*.py")
        if re.search(r"^\s*(?:import|from) (?:lxml|xml|defusedxml|html5lib)\b", path.read_text(), re.MULTILINE)
    ]
    patch = ["fhir/patch/selector.py", "fhir/patch/xml_patch.py"]  # work on trees that xml.py has parsed
    assert sorted(doors) == [*patch, "fhir/xml.py"]
    for name in patch:
        assert not re.search(r"fromstring|etree\.parse|XMLParser|etree\.XML\b|iterparse", (HERE.parent / name).read_text())

"""The commands that need no server, and the loader with what it reports."""

import bz2
import gzip
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from app.cli import COMMANDS
from tests.fhir.profiles.making import URL, element, profile
from tests.journeys.conftest import csor


def write(path: Path, value: object) -> Path:
    path.write_text(json.dumps(value))
    return path


def patient(id: str, **more: object) -> dict[str, object]:
    return {"resourceType": "Patient", "id": id, **more}


def test_help_names_every_command_and_every_help_has_examples() -> None:
    help = csor("--help")
    assert help.returncode == 0
    for name in COMMANDS:
        assert re.search(rf"^  {name}\b", help.stdout, re.MULTILINE), name
    for name in ("serve", "load", "validate", "fhirpath", "client", "user", "rebuild", "check"):
        assert "Examples:" in csor(name, "--help").stdout, name


def test_help_imports_no_server() -> None:
    """`csor --help` is quick because it loads next to nothing."""
    code = "import sys, app.cli; print([m for m in ('fastapi', 'numpy', 'lxml', 'httpx', 'app.store.open') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_validate_counts_and_locates(tmp_path: Path) -> None:
    write(tmp_path / "good.json", patient("a"))
    write(tmp_path / "bad.json", patient("b", gender="boy"))
    (tmp_path / "more.ndjson.gz").write_bytes(gzip.compress(b'{"resourceType":"Patient"}\n{"resourceType":"Patient","x":1}\n'))
    done = csor("validate", str(tmp_path))
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == "2 valid, 2 invalid"
    assert "bad.json: Patient.gender" in done.stdout and "more.ndjson.gz:2: Patient.x" in done.stdout
    assert csor("validate", "--summary", str(tmp_path)).stdout == "2 valid, 2 invalid\n"
    alone = csor("validate", str(tmp_path / "good.json"))
    assert (alone.returncode, alone.stdout) == (0, "1 valid, 0 invalid\n")


def test_fhirpath_on_a_file_and_on_lines(tmp_path: Path) -> None:
    file = write(tmp_path / "p.json", patient("a", name=[{"given": ["Ann", "Bea"]}]))
    assert json.loads(csor("fhirpath", "name.given", str(file)).stdout) == ["Ann", "Bea"]
    broken = csor("fhirpath", "name.(", str(file))
    assert broken.returncode == 1 and broken.stderr.startswith("Error:")
    lines = [
        {"expression": "id", "resource": patient("a")},
        {"expression": "1 +", "resource": {}},
        {"expression": "1.50 + 1", "resource": patient("a")},
        {"nothing": 1},
    ]
    done = csor("fhirpath", "--ndjson", input="".join(json.dumps(line) + "\n" for line in lines) + "not json\n")
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0 and len(answers) == 5
    assert answers[0] == {"result": ["a"]} and answers[2] == {"result": [2.5]}
    assert all(set(answers[n]) == {"error"} for n in (1, 3, 4))


def test_load_takes_many_forms_and_reports_what_it_refused(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    write(source / "one.json", patient("one"))
    (source / "lines.ndjson.bz2").write_bytes(
        bz2.compress(b'{"resourceType":"Patient","id":"two"}\n{"resourceType":"Patient","id":"no","x":1}\n')
    )
    write(source / "collection.json", {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": patient("three")}]})
    entry = {"resource": patient("four"), "request": {"method": "PUT", "url": "Patient/four"}}
    write(source / "transaction.json", {"resourceType": "Bundle", "type": "transaction", "entry": [entry]})
    (source / "broken.json").write_text("{")
    done = csor("load", str(source), "--data", str(tmp_path / "store"))
    assert done.returncode == 1, done.stderr
    assert "4 resources loaded, 2 refused, from 5 files" in done.stdout
    assert "lines.ndjson.bz2:2: " in done.stderr and "Patient.x" in done.stderr and "broken.json" in done.stderr
    again = csor("load", str(source / "one.json"), "--data", str(tmp_path / "store"))
    assert again.returncode == 0
    assert csor("check", "--data", str(tmp_path / "store")).returncode == 0
    rebuilt = csor("rebuild", "--data", str(tmp_path / "store"))
    assert rebuilt.returncode == 0 and "indexed anew" in rebuilt.stdout, rebuilt.stderr


def test_a_transaction_waits_for_what_its_conditions_need(tmp_path: Path) -> None:
    who = {"resourceType": "Practitioner", "identifier": [{"system": "https://example.org/npi", "value": "1"}]}
    needs = {"resourceType": "Encounter", "status": "finished", "class": {"code": "IMP"}}
    needs["participant"] = [{"individual": {"reference": "Practitioner?identifier=https://example.org/npi|1"}}]

    def transaction(resource: dict[str, object]) -> dict[str, object]:
        entry = {"resource": resource, "request": {"method": "POST", "url": resource["resourceType"]}}
        return {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}

    write(tmp_path / "a-first.json", transaction(needs))
    write(tmp_path / "b-second.json", transaction(who))
    done = csor("load", str(tmp_path), "--store", f"sqlite:///{tmp_path / 'x.db'}")
    assert done.returncode == 0, done.stderr
    alone = csor("load", str(tmp_path / "a-first.json"), "--store", f"sqlite:///{tmp_path / 'y.db'}")
    assert alone.returncode == 1 and "matches nothing" in alone.stderr


def test_synthea_loads_without_a_refusal(csor_data: Callable[[str], Path], tmp_path: Path) -> None:
    files = sorted(csor_data("synthea-120").glob("*.json*"))[:6]
    done = csor("load", *map(str, files), "--data", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert " 0 refused" in done.stdout
    assert int(done.stdout.split()[0]) > 1000
    facts = csor("check", "--data", str(tmp_path))
    assert facts.returncode == 0, facts.stdout


def test_validate_judges_everything_or_structure_alone(tmp_path: Path) -> None:
    file = write(tmp_path / "p.json", patient("a", contact=[{"gender": "male"}]))
    broken = csor("validate", str(file))
    assert broken.returncode == 1 and "Patient.contact[0]" in broken.stdout and "(pat-1)" in broken.stdout
    assert "dom-6" not in broken.stdout and "warning: Patient" in csor("validate", "--warnings", str(file)).stdout
    assert csor("validate", "--structure-only", str(file)).stdout == "1 valid, 0 invalid\n"
    assert csor("validate", "--structure-only", "--profile", "urn:x", str(file)).returncode == 2


def test_validate_against_a_profile_of_a_package(tmp_path: Path) -> None:
    rules = tmp_path / "rules"
    rules.mkdir()
    write(rules / "named.json", profile("Patient", element("Patient.name", min=1, mustSupport=True)))
    file = write(tmp_path / "p.json", patient("a"))
    done = csor("validate", "--package", str(rules), "--profile", URL + "p", str(file))
    assert done.returncode == 1 and "Patient.name: The element 'name' is required by p: add it." in done.stdout
    assert csor("validate", "--package", str(rules), str(file)).returncode == 0
    write(rules / "broken.json", {"resourceType": "ValueSet", "url": "urn:v"})
    told = csor("validate", "--package", str(rules), "--must-support", str(file))
    assert told.returncode == 0 and "urn:v is not valid R4 and was left out" in told.stderr
    nowhere = csor("validate", "--package", str(tmp_path / "nowhere"), str(file))
    assert nowhere.returncode == 1 and nowhere.stderr.startswith("Error:") and "Traceback" not in nowhere.stderr

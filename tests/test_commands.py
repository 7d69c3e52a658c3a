"""The commands that need no server, and the loader with what it reports."""

import asyncio
import bz2
import gzip
import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from app.cli import COMMANDS
from app.loader import Loader
from tests import mongod
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
    assert "4 resources indexed anew" in csor("rebuild", "Patient", "--data", str(tmp_path / "store")).stdout
    mistyped = csor("rebuild", "Patient", "patient", "--data", str(tmp_path / "store"))
    assert mistyped.returncode == 2 and "There is no resource type 'patient'" in mistyped.stderr and not mistyped.stdout


@contextmanager
def server(answer: Callable[[BaseHTTPRequestHandler, bytes], None]) -> Iterator[str]:
    """Something that listens on this machine and gives each POST over to `answer`."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            answer(self, self.rfile.read(int(self.headers["content-length"])))

        def log_message(self, *_: object) -> None: ...

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    yield f"http://user:hunter2@127.0.0.1:{listening.server_port}/fhir"
    listening.shutdown()
    listening.server_close()


def bundles(directory: Path, number: int) -> Path:
    directory.mkdir()
    for n in range(number):
        entry = {"resource": patient(f"p{n}"), "request": {"method": "PUT", "url": f"Patient/p{n}"}}
        write(directory / f"bundle{n}.json", {"resourceType": "Bundle", "type": "transaction", "entry": [entry]})
    return directory


def test_load_ends_with_a_sentence_where_no_server_is(tmp_path: Path) -> None:
    source, port = bundles(tmp_path / "in", 12), mongod.free_port()
    done = csor("load", str(source), "--url", f"http://user:hunter2@127.0.0.1:{port}/fhir")
    assert done.returncode == 1 and "bundle0.json: " in done.stderr
    assert f"Error: http://127.0.0.1:{port}/fhir cannot be reached" in done.stderr and "The load ended there" in done.stderr
    assert "Traceback" not in done.stderr and "never retrieved" not in done.stderr and "hunter2" not in done.stderr


def test_load_names_every_bundle_that_a_server_did_not_answer(tmp_path: Path) -> None:
    source = bundles(tmp_path / "in", 12)

    def answer(request: BaseHTTPRequestHandler, body: bytes) -> None:
        number = int(re.search(rb"Patient/p(\d+)", body)[1])  # type: ignore[index]
        if number % 2:
            return  # and the connection is closed
        if number % 4:
            request.send_response(301)
            request.send_header("location", "https://elsewhere.example/fhir")
            reply = b"<html>moved</html>"
        else:
            request.send_response(200)
            reply = json.dumps({"resourceType": "Bundle", "entry": [{"response": {"status": "201"}}]}).encode()
        request.send_header("content-length", str(len(reply)))
        request.end_headers()
        request.wfile.write(reply)

    with server(answer) as url:
        done = csor("load", str(source), "--url", url)
    assert done.returncode == 1 and "3 resources loaded, 9 refused, from 12 files" in done.stdout, done.stderr
    for n in range(12):
        assert (f"bundle{n}.json: " in done.stderr) == bool(n % 4), done.stderr
    assert "broke off before it answered" in done.stderr and "answered 301, but not as a FHIR server does" in done.stderr
    assert "never retrieved" not in done.stderr and "hunter2" not in done.stderr


def test_what_may_be_stored_is_not_sent_again_in_pieces(tmp_path: Path) -> None:
    (tmp_path / "Patient.ndjson").write_text('{"resourceType":"Patient"}\n' * 50)
    posts: list[bytes] = []
    with server(lambda _, body: posts.append(body)) as url:
        done = csor("load", str(tmp_path / "Patient.ndjson"), "--url", url)
    assert done.returncode == 1 and "50 refused" in done.stdout and len(posts) == 1
    assert "Patient.ndjson:50: " in done.stderr


@pytest.mark.parametrize("url", ["http://u:hunter2@[::1/fhir", "localhost:8000/fhir", "http://u:hunter2@h:port/fhir", "ftp://h/"])
def test_load_says_what_a_url_looks_like(url: str, tmp_path: Path) -> None:
    said = csor("load", str(tmp_path), "--url", url)
    assert (
        said.returncode == 2
        and "--url must look like http://localhost:8000/fhir." in said.stderr
        and "hunter2" not in said.stderr
    )


def test_load_refuses_what_is_no_token(tmp_path: Path) -> None:
    said = csor("load", str(tmp_path), "--url", "http://localhost:1/fhir", "--token", "csor_\N{LATIN SMALL LETTER E WITH ACUTE}")
    assert said.returncode == 2 and "--token" in said.stderr


def test_an_interrupted_load_ends_at_once_and_says_what_was_loaded(tmp_path: Path) -> None:
    file = tmp_path / "Patient.ndjson"
    file.write_text("".join(json.dumps(patient(f"p{n}")) + "\n" for n in range(12_000)))
    arrived = threading.Event()

    def answer(request: BaseHTTPRequestHandler, body: bytes) -> None:
        arrived.set()
        time.sleep(3)

    with server(answer) as url:
        command = [sys.executable, "-m", "app.cli", "load", str(file), "--url", url]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as loading:
            assert arrived.wait(60)
            loading.send_signal(signal.SIGINT)
            out, err = loading.communicate(timeout=20)
    assert loading.returncode == 130, err
    assert "0 resources loaded" in out and "may be stored too" in err and "Interrupted." in err and "Traceback" not in err


def test_a_load_that_fails_ends(tmp_path: Path) -> None:
    """Though the files have much more: nobody waits for the thread that reads them."""

    class Broken:
        async def post(self, bundle: object) -> tuple[int, dict[str, object]]:
            raise LookupError("of ours")

    files = [bundles(tmp_path / "in", 40)]
    with pytest.raises(LookupError):
        asyncio.run(Loader(Broken()).run(files))  # type: ignore[arg-type]


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

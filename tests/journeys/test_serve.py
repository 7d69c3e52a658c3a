"""The server as a process: it stops without loss, serves with several workers, stays at home as a sandbox, lets nobody in otherwise."""

import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.journeys.conftest import Server, csor

Start = Callable[..., Server]


def test_ctrl_c_under_load_loses_nothing_that_was_acknowledged(start_server: Start, tmp_path: Path) -> None:
    server = start_server(data=tmp_path)
    acknowledged: list[str] = []
    enough = threading.Event()

    def write() -> None:
        with server.client() as client:
            try:
                while True:
                    made = client.post("/Patient", json={"resourceType": "Patient"})
                    if made.status_code == 201:
                        acknowledged.append(made.json()["id"])
                        if len(acknowledged) > 100:
                            enough.set()
            except httpx.TransportError:
                enough.set()

    writers = [threading.Thread(target=write) for _ in range(6)]
    for writer in writers:
        writer.start()
    assert enough.wait(60)
    assert server.stop() == 0
    for writer in writers:
        writer.join(30)
    assert "acknowledged is stored" in server.lines[-1]
    again = start_server(data=tmp_path)
    with again.client() as client:
        assert client.get("/Patient?_summary=count").json()["total"] >= len(acknowledged) > 100
        for id in acknowledged[-20:]:
            assert client.get(f"/Patient/{id}").status_code == 200
    again.stop()
    checked = csor("check", "--data", str(tmp_path))
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_file_that_is_not_there_is_told_before_anything_is_served(
    workers: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("serve", "--sandbox", "--port", "0", "--mllp-port", "0", "--workers", workers, "--data", str(tmp_path))
    for files in (["CSOR_PACKAGES"], ["CSOR_MLLP_CERTIFICATE", "CSOR_MLLP_KEY"]):
        with monkeypatch.context() as set:
            for name in files:
                set.setenv(name, "/nope.pem")
            done = csor(*arguments, timeout=60)
        assert done.returncode == 1 and done.stderr.startswith("Error: ") and "/nope.pem" in done.stderr, done.stderr
        assert done.stderr.count("\n") == 1 and not done.stdout


def test_two_workers_share_one_store(start_server: Start) -> None:
    server = start_server("--workers", "2")
    with server.client(
        limits=httpx.Limits(max_keepalive_connections=0)
    ) as client:  # a connection for each request, so that both answer
        for n in range(20):
            assert client.put(f"/Patient/p{n}", json={"resourceType": "Patient", "id": f"p{n}"}).status_code == 201
            assert client.get(f"/Patient/p{n}").status_code == 200
        assert client.get("/Patient?_summary=count").json()["total"] == 20
    assert server.mllp is not None
    for _ in range(4):
        socket.create_connection(server.mllp, timeout=10).close()
    assert server.stop() == 0


def test_sigterm_ends_it_quietly(start_server: Start) -> None:
    server = start_server()
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(30) in (0, -signal.SIGTERM)
    assert "Traceback" not in "\n".join(server.lines)


def test_a_sandbox_says_so_and_refuses_other_names(server: Server) -> None:
    assert any(line.startswith("SANDBOX") for line in server.lines)
    foreign = httpx.get(f"{server.fhir}/Patient", headers={"host": "evil.example"})
    assert foreign.status_code == 421 and "localhost" in foreign.text


def test_without_sandbox_everything_is_denied_until_somebody_is_registered(start_server: Start, tmp_path: Path) -> None:
    server = start_server(sandbox=False, data=tmp_path)
    assert any("Nobody is registered" in line for line in server.lines)
    with server.client() as stranger:
        for url in ("/Patient", "/Patient/a", "/_history", ""):
            refused = stranger.get(url)
            assert refused.status_code == 401 and refused.headers["www-authenticate"].startswith("Bearer")
        assert stranger.get("/metadata").status_code == 200
        assert httpx.get(f"{server.base}/health/detail").status_code == 401
    made = csor("client", "add", "EPR", "--role", "vendor", "--hospital", "RXX", "--data", str(tmp_path))
    assert made.returncode == 0
    token = made.stdout.strip()
    with server.client(token) as client:
        assert client.post("/Patient", json={"resourceType": "Patient"}).status_code == 201
        assert httpx.get(f"{server.base}/health/detail", headers=client.headers).status_code == 403
    national = csor("client", "add", "audit", "--role", "national", "--data", str(tmp_path)).stdout.strip()
    detail = httpx.get(f"{server.base}/health/detail", headers={"authorization": f"Bearer {national}"}).json()
    assert detail["feed"]["head"] >= 1 and detail["resources"]["Patient"] == 1
    listed = csor("client", "list", "--data", str(tmp_path)).stdout
    assert "vendor" in listed and token not in listed
    server.stop()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("serve", "--sandbox", "--host", "0.0.0.0"), "not on 0.0.0.0"),
        (("serve", "--port", "99999"), "--port"),
        (("serve", "--store", "oracle://x"), "oracle"),
        (("serve", "--nonsense"), "--nonsense"),
        (("nonsense",), "nonsense"),
        (("client", "add", "x", "--role", "vendor"), "hospital"),
        (("client", "revoke", "nobody"), "no store"),
        (("validate", "/nowhere.json"), "no such file"),
        (("fhirpath", "name", "/nowhere.json"), "no such file"),
        (("load", "/nowhere.json"), "does not exist"),
    ],
)
def test_errors_are_sentences(arguments: tuple[str, ...], says: str, tmp_path: Path) -> None:
    more = ("--data", str(tmp_path)) if arguments[0] in ("client", "serve") else ()
    done = csor(*arguments, *more)
    assert done.returncode in (1, 2)
    assert says in done.stderr + done.stdout
    assert "Traceback" not in done.stderr + done.stdout


def test_a_taken_port_is_told(server: Server, tmp_path: Path) -> None:
    port = server.base.rpartition(":")[2]
    done = csor("serve", "--sandbox", "--port", port, "--data", str(tmp_path))
    assert done.returncode == 1 and "Cannot listen" in done.stderr


@pytest.mark.parametrize("workers", ["1", "2"])
def test_no_two_servers_share_a_feed_in_silence(start_server: Start, tmp_path: Path, workers: str) -> None:
    first = start_server("--workers", workers)
    assert first.mllp is not None
    done = csor("serve", "--sandbox", "--port", "0", "--mllp-port", str(first.mllp[1]), "--data", str(tmp_path))
    assert done.returncode == 1 and f"Cannot listen on 127.0.0.1:{first.mllp[1]}" in done.stderr
    assert first.stop() == 0
    again = start_server("--mllp-port", str(first.mllp[1]), "--workers", workers)
    assert again.mllp == first.mllp, "the port is free as soon as the server that had it has gone"
    again.stop()

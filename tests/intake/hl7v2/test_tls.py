"""TLS, with client certificates where they are asked for."""

import asyncio
import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

from app.fhir.errors import Unavailable
from app.intake.hl7v2.client import Client
from app.intake.hl7v2.er7 import parse
from app.intake.hl7v2.listener import MLLPServer, tls_context
from app.store.protocol import Store
from tests.intake.hl7v2.messages import message, pid, pv1


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl command to make a certificate with")
    made, key = tmp_path / "c.pem", tmp_path / "k.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    subprocess.run([*command.split(), "-keyout", str(key), "-out", str(made)], check=True, capture_output=True)
    return made, key


def test_files_that_cannot_be_used_are_named(certificate: tuple[Path, Path], tmp_path: Path) -> None:
    made, key = certificate
    nowhere = tmp_path / "nowhere.pem"
    for files in ((nowhere, key), (made, nowhere), (made, key, nowhere)):
        with pytest.raises(Unavailable, match=r"nowhere\.pem cannot be read: No such file or directory\."):
            tls_context(*files)
    other = tmp_path / "other.pem"
    other.write_text("not PEM")
    locked = tmp_path / "locked.pem"
    command = ["openssl", "rsa", "-aes256", "-passout", "pass:x123", "-in", str(key), "-out", str(locked)]
    subprocess.run(command, check=True, capture_output=True)
    for files in ((other, key), (made, other), (made, locked), (made, key, other)):
        with pytest.raises(Unavailable, match=f"{files[-1]}.* in PEM"):
            tls_context(*files)


async def test_only_senders_with_a_certificate_are_heard(store: Store, certificate: tuple[Path, Path]) -> None:
    made, key = certificate
    server = MLLPServer(store, port=0, sandbox=True, tls=tls_context(made, key, made))
    stop = asyncio.Event()
    task = asyncio.create_task(server.run(stop))
    await server.ready.wait()
    known = ssl.create_default_context(cafile=str(made))
    known.load_cert_chain(made, key)
    async with Client("localhost", server.address[1], tls=known) as client:
        assert parse(await client.send(message("A01", pid(), pv1())))["MSA-1"] == "AA"
    stranger = ssl.create_default_context(cafile=str(made))
    with pytest.raises(Unavailable):
        async with Client("localhost", server.address[1], tls=stranger) as client:
            await client.send(message("A08", pid(), pv1()))
    stop.set()
    await asyncio.wait_for(task, 20)

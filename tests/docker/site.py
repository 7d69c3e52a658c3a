"""The site of `docker/compose.yaml` as processes of this machine, from the same files: members by `mongod.conf`, users by `replica_set.py`, nodes by
`node.env`, proxy by `haproxy.cfg`, secrets by `make-secrets.sh`. Only addresses and directories are the test's own.
"""

import os
import signal
import ssl
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import httpx

from tests import mongod
from tests.support import until

DOCKER = Path(__file__).resolve().parents[2] / "docker"


class Part:
    """A process, what it was started with, and a file with all that it said."""

    def __init__(self, command: list[str], log: Path, environment: Mapping[str, str]) -> None:
        self.command, self.log, self.environment = command, log, dict(environment)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, env=self.environment)

    def end(self, with_signal: int = signal.SIGTERM) -> int:
        """The exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(with_signal)
        return self.process.wait(60)

    def kill(self) -> None:
        if self.process is not None:
            self.end(signal.SIGKILL)


class Node(Part):
    """One `csor serve`."""

    def __init__(self, name: str, site: "Site") -> None:
        self.http, self.mllp = mongod.free_port(), mongod.free_port()
        settings = dict(line.split("=", 1) for line in (DOCKER / "node.env").read_text().splitlines() if "=" in line)
        own = {"CSOR_HOST": "127.0.0.1", "CSOR_PORT": str(self.http), "CSOR_MLLP_PORT": str(self.mllp)}
        own |= {f"CSOR_MLLP_{what}": str(site.secrets / "site_certificate") for what in ("CERTIFICATE", "KEY")}
        environment = site.environment | settings | own | {"CSOR_BASE_URL": site.https}
        super().__init__([sys.executable, "-m", "app.cli", "serve"], site.directory / f"{name}.log", environment)

    def healthy(self) -> bool:
        """As the image's HEALTHCHECK asks."""
        asked = subprocess.run(
            [sys.executable, "-m", "app.cli", "health"], env=self.environment, capture_output=True, timeout=60, check=False
        )
        return asked.returncode == 0


class Site:
    """`up()` as compose would: members, their users, nodes, the proxy."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.secrets = directory, directory / "secrets"
        here = {name: value for name, value in os.environ.items() if not name.startswith("CSOR_") and name != "PYTHONPATH"}
        self.environment = here | {"CSOR_SECRETS": str(self.secrets), "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(DOCKER.parent)}
        self.ports = {name: mongod.free_port() for name in ("https", "http", "mllp")}
        self.https = f"https://localhost:{self.ports['https']}"
        self.members = [self._member(directory / f"mongo{n}") for n in (1, 2, 3)]
        self.nodes = [Node(f"node{n}", self) for n in (1, 2)]
        self.proxy = Part(["haproxy", "-db", "-f", str(DOCKER / "haproxy.cfg")], directory / "proxy.log", self._proxied())

    def _member(self, directory: Path) -> mongod.Member:
        own = ["--keyFile", f"{directory}.key", "--tlsCAFile", f"{self.secrets}/mongo_ca"]
        own += ["--tlsCertificateKeyFile", f"{self.secrets}/mongo_certificate"]
        return mongod.Member(directory, "--config", str(DOCKER / "mongod.conf"), *own, replica_set=None)

    def _proxied(self) -> dict[str, str]:
        listens = {f"PROXY_{name.upper()}": f"127.0.0.1:{port}" for name, port in self.ports.items()}
        nodes = {}
        for n, node in enumerate(self.nodes, 1):
            nodes[f"PROXY_NODE{n}_HTTP"] = f"127.0.0.1:{node.http}"
            nodes[f"PROXY_NODE{n}_HTTP_PORT"] = str(node.http)
            nodes[f"PROXY_NODE{n}_MLLP"] = f"127.0.0.1:{node.mllp}"
        return self.environment | listens | nodes | {"PROXY_CERTIFICATE": str(self.secrets / "site_certificate")}

    def up(self) -> None:
        members = ",".join(member.address for member in self.members)
        make = {"MEMBERS": members, "AT": str(self.secrets)}
        self._run(["sh", str(DOCKER / "make-secrets.sh"), str(self.secrets)], **make)
        for member in self.members:
            key = Path(f"{member.directory}.key")
            key.write_bytes((self.secrets / "mongo_key").read_bytes())
            key.chmod(0o400)
            member.start()
        self.make_replica_set()
        for node in self.nodes:
            node.start()
        self.proxy.start()
        for node in self.nodes:
            until(node.healthy)

    def make_replica_set(self) -> str:
        """What the one-shot job of compose does; what it says."""
        return self._run([sys.executable, str(DOCKER / "replica_set.py")])

    def csor(self, *arguments: str) -> str:
        """A command with the site's secrets, and what it says. Raises AssertionError if it fails."""
        return self._run([sys.executable, "-m", "app.cli", *arguments])

    def _run(self, command: list[str], **more: str) -> str:
        done = subprocess.run(command, env=self.environment | more, capture_output=True, text=True, timeout=240, check=False)
        assert done.returncode == 0, f"{command[-3:]}: {done.stdout}\n{done.stderr}"
        return done.stdout

    def secret(self, name: str) -> str:
        return (self.secrets / name).read_text().strip()

    def client(self, token: str = "", base: str = "") -> httpx.Client:
        """Through the proxy, or of one node."""
        headers = {"authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(base_url=base or self.https, headers=headers, verify=self.trusted(), timeout=60)

    def trusted(self) -> ssl.SSLContext:
        """What knows the site's own authority."""
        return ssl.create_default_context(cafile=str(self.secrets / "mongo_ca"))

    def logs(self) -> dict[str, str]:
        """All that any part said."""
        files = [*self.directory.glob("*.log"), *(member.directory / "log" for member in self.members)]
        return {str(file.relative_to(self.directory)): file.read_text(errors="replace") for file in files}

    def down(self) -> None:
        for part in (self.proxy, *self.nodes, *self.members):
            part.kill()

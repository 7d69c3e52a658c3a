"""Opening: one sentence that says what to do, never a credential, a schema that is newer left alone."""

import asyncio
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bson import encode
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from app.fhir.errors import FHIRError, NotFound, Unavailable
from app.fhir.search.types import Plan
from app.security.access import SYSTEM
from app.store.mongo import schema
from app.store.mongo.connection import MAJORITY, translate, translated
from app.store.open import open_store, public_url
from app.store.protocol import Put
from tests import mongod
from tests.contract.builders import by_family, patient
from tests.support import empty_mongo_url, open_mongo_store, with_database

SECRET = "hunter2"


async def refusal(url: str) -> str:
    """The sentence with which a store does not open."""
    store = open_store(url)
    with pytest.raises(FHIRError) as raised:
        await store.open()
    assert isinstance(raised.value, Unavailable)
    assert SECRET not in str(raised.value)
    assert SECRET not in repr(raised.value.__cause__)
    return str(raised.value)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, mongodb: str) -> Iterator[str]:
    """A server that is no replica set (`mongodb` skips where there is none)."""
    member = mongod.Member(tmp_path_factory.mktemp("alone"), replica_set=None)
    if mongod.binary() is None:
        pytest.skip("no mongod of our own to start alone")
    member.start()
    yield f"mongodb://{member.address}/csor?serverSelectionTimeoutMS=20000"
    member.kill()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, mongodb: str) -> Iterator[mongod.ReplicaSet]:
    """A server that asks who is there, with two users: `writer`, who may use the database, and `reader`, who may look at it."""
    if mongod.binary() is None:
        pytest.skip("no mongod of our own that knows users")
    directory = tmp_path_factory.mktemp("guarded")
    key = directory / "key"
    key.write_text("OfTheMembersAlone" * 3)
    key.chmod(0o400)
    running = mongod.ReplicaSet(directory, more=("--keyFile", str(key)))
    try:
        running.start()
        with administrator(running) as client:  # the first user is made by whoever is on the same machine
            client.admin.command("createUser", "admin", pwd=SECRET, roles=["root"])
        with administrator(running, "admin") as client:
            client.csor.command("createUser", "writer", pwd=SECRET, roles=["readWrite"])
            client.csor.command("createUser", "reader", pwd=SECRET, roles=["read"])
        yield running
    finally:
        running.stop()


def administrator(servers: mongod.ReplicaSet, user: str | None = None) -> MongoClient[dict[str, Any]]:
    return MongoClient(servers.url, username=user, password=SECRET if user else None, authSource="admin")


def as_user(servers: mongod.ReplicaSet, name: str) -> str:
    return servers.url.replace("mongodb://", f"mongodb://{name}:{SECRET}@") + "&serverSelectionTimeoutMS=5000"


async def test_a_user_who_may_not_use_the_database_is_told_what_it_takes(guarded: mongod.ReplicaSet) -> None:
    wanted = "MongoDB keeps this user from the database: name one in the store's URL who has readWrite on it."
    assert await refusal(guarded.url) == wanted  # nobody at all
    assert await refusal(as_user(guarded, "reader")) == wanted
    store = open_store(as_user(guarded, "writer"))
    await store.open()
    await store.commit(SYSTEM, [Put(patient("a", "Angus"))])
    with administrator(guarded, "admin") as client:
        client.csor.command("revokeRolesFromUser", "writer", roles=["readWrite"])
        for use in (store.commit(SYSTEM, [Put(patient("b"))]), store.read(SYSTEM, "Patient", "a")):
            with pytest.raises(Unavailable) as raised:
                await use
            assert str(raised.value) == wanted
        client.csor.command("grantRolesToUser", "writer", roles=["readWrite"])
    assert (await store.read(SYSTEM, "Patient", "a")).version == 1
    await store.close()


@pytest.mark.parametrize("code", [11, 18, 8000])
def test_a_user_who_is_refused_while_the_store_is_in_use(code: int) -> None:
    said = str(translate(OperationFailure(f"of {SECRET}", code)))
    assert said == "MongoDB refuses this user or password: correct them in the store's URL."


async def test_a_moment_that_mongodb_has_forgotten(mongodb: str) -> None:
    """As a check would meet it that takes longer than MongoDB's five minutes; here MongoDB keeps no past at all."""
    store = await open_mongo_store(mongodb)
    window = "minSnapshotHistoryWindowInSeconds"
    was = (await store._client.admin.command("getParameter", 1, **{window: 1}))[window]
    await store._client.admin.command("setParameter", 1, **{window: 0})
    try:
        with pytest.raises(Unavailable, match=window):
            async with asyncio.timeout(30), store._snapshot() as session:
                while True:
                    with translated():
                        await store._plain("resource").find_one({}, session=session)
                    await store.commit(SYSTEM, [Put(patient("a"))])
    finally:
        await store._client.admin.command("setParameter", 1, **{window: was})
        await store.close()


async def test_a_server_alone_is_refused(alone: str) -> None:
    assert "--replSet" in await refusal(alone)


async def test_a_server_alone_is_told_what_a_replica_set_in_the_url_takes(alone: str) -> None:
    said = await refusal(alone.replace("20000", "500") + "&replicaSet=rs0")
    assert "where it runs alone, start it with --replSet rs0" in said


async def test_a_replica_set_that_was_not_initiated(tmp_path: Path, mongodb: str) -> None:
    if mongod.binary() is None:
        pytest.skip("no mongod of our own to start")
    member = mongod.Member(tmp_path)
    member.start()
    try:
        with MongoClient(f"mongodb://{member.address}/?directConnection=true", serverSelectionTimeoutMS=60_000) as client:
            client.admin.command("ping")
        for option in ("", "&replicaSet=csor"):
            said = await refusal(f"mongodb://{member.address}/csor?serverSelectionTimeoutMS=1000{option}")
            assert "run rs.initiate() there once" in said
    finally:
        member.kill()


async def test_a_name_that_the_dns_does_not_know() -> None:
    said = await refusal(f"mongodb+srv://me:{SECRET}@nothere.invalid/csor?serverSelectionTimeoutMS=500")
    assert said.startswith("The DNS names no members for mongodb+srv://nothere.invalid/csor")


async def test_a_database_in_another_case(mongodb: str) -> None:
    url = await empty_mongo_url(mongodb)
    assert "in another case" in await refusal(url.replace("/csor_test", "/CSOR_test"))


async def test_nobody_there() -> None:
    port = mongod.free_port()
    said = await refusal(f"mongodb://me:{SECRET}@127.0.0.1:{port}/csor?serverSelectionTimeoutMS=200")
    assert said == f"No MongoDB answers at mongodb://127.0.0.1:{port}/csor: is it running, and is the address right?"


async def test_another_replica_set(mongodb: str) -> None:
    url = mongodb.replace("replicaSet=csor", "replicaSet=wrong") + "&serverSelectionTimeoutMS=500"
    assert "replicaSet" in await refusal(url)


async def test_a_wrong_password(mongodb: str) -> None:
    url = mongodb.replace("mongodb://", f"mongodb://me:{SECRET}@") + "&serverSelectionTimeoutMS=5000"
    assert "refuses this user or password" in await refusal(url)


@pytest.mark.parametrize(
    "url", [f"mongodb://me:{SECRET}:@h/x", f"mongodb://me:{SECRET}@", "mongodb://h:notaport/x", "mongodb://h/x?w=banana%"]
)
async def test_a_url_that_means_nothing(url: str) -> None:
    assert SECRET not in await refusal(url)


def test_a_url_is_shown_without_credentials() -> None:
    shown = public_url(f"mongodb://me:{SECRET}@a:1,b:2/csor?replicaSet=x&tlsCertificateKeyFilePassword={SECRET}")
    assert shown == "mongodb://a:1,b:2/csor"
    assert open_store(f"mongodb://me:{SECRET}@a/csor").url == "mongodb://a/csor"
    assert public_url("sqlite:////srv/csor.db") == "sqlite:////srv/csor.db"


async def test_an_old_server_is_refused() -> None:
    server = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=_old_server, args=(server,), daemon=True).start()
    port = server.getsockname()[1]
    assert "too old" in await refusal(f"mongodb://127.0.0.1:{port}/csor?serverSelectionTimeoutMS=2000")
    server.close()


def _old_server(listening: socket.socket) -> None:
    """Says hello as MongoDB 4.4 would."""
    hello = {"ok": 1.0, "isWritablePrimary": True, "setName": "csor", "minWireVersion": 0, "maxWireVersion": 9}
    hello |= {"maxBsonObjectSize": 16 << 20, "maxMessageSizeBytes": 48_000_000, "maxWriteBatchSize": 100_000}

    def serve(connection: socket.socket) -> None:
        host, port = connection.getsockname()
        name = f"{host}:{port}"
        with connection:
            while len(head := connection.recv(16)) == 16:
                length, request, _, opcode = struct.unpack("<iiii", head)
                connection.recv(length - 16, socket.MSG_WAITALL)
                body = encode({**hello, "me": name, "hosts": [name], "primary": name})
                if opcode == 2004:
                    reply = struct.pack("<iqii", 8, 0, 0, 1) + body
                    connection.sendall(struct.pack("<iiii", 16 + len(reply), 0, request, 1) + reply)
                else:
                    reply = struct.pack("<iB", 0, 0) + body
                    connection.sendall(struct.pack("<iiii", 16 + len(reply), 0, request, 2013) + reply)

    while True:
        try:
            connection, _ = listening.accept()
        except OSError:
            return
        threading.Thread(target=serve, args=(connection,), daemon=True).start()


async def test_a_store_that_must_be_there_is_not_made(mongodb: str) -> None:
    url = with_database(mongodb, "csor_mistyped")
    with pytest.raises(NotFound, match=r"There is no store at .*/csor_mistyped"):
        await open_store(url).open(create=False)
    with MongoClient(mongodb) as client:
        assert "csor_mistyped" not in client.list_database_names()


async def test_a_newer_schema_is_left_alone(mongodb: str) -> None:
    store = await open_mongo_store(mongodb)
    await store._db.setting.update_one({"_id": "schema"}, {"$set": {"version": 99}})
    try:
        assert "newer version" in await refusal(store._secret_url)
    finally:
        await store._db.setting.update_one({"_id": "schema"}, {"$set": {"version": len(schema.MIGRATIONS)}})
        await store.close()


async def test_a_store_of_the_first_schema_is_indexed_anew(mongodb: str) -> None:
    store = await open_mongo_store(mongodb)
    await store.commit(SYSTEM, [Put(patient("a", "Angus"))])
    await store._db.setting.update_one({"_id": "schema"}, {"$set": {"version": 1}})
    await store._db.resource.update_many({}, {"$set": {"s": []}})  # what an older program indexed is not what this one looks for
    again = open_store(store._secret_url)
    await again.open()
    assert [found.id for found in (await again.search(SYSTEM, Plan(("Patient",), (by_family("angus"),)))).matches] == ["a"]
    assert await again.check() == []
    assert not await schema.is_stale(store._db)
    await again.close()
    await store.close()


async def test_an_interrupted_migration_is_finished(mongodb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    url = with_database(mongodb, "csor_interrupted")
    ran: list[int] = []

    async def second(db) -> None:
        ran.append(len(ran))
        await db.record.create_index("extra", name="extra")
        if len(ran) == 1:
            raise OperationFailure("killed here")

    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, second))
    with pytest.raises(Unavailable):
        await open_store(url).open()
    opened = [open_store(url) for _ in range(3)]
    await asyncio.gather(*(store.open() for store in opened))
    await opened[0].commit(SYSTEM, [Put(patient("a"))])
    assert (await opened[2].read(SYSTEM, "Patient", "a")).version == 1
    client = opened[0]._client  # type: ignore[attr-defined]
    assert (await client.csor_interrupted.setting.find_one({"_id": "schema"}))["version"] == len(schema.MIGRATIONS)
    await client.drop_database("csor_interrupted")
    for store in opened:
        await store.close()


async def test_a_url_cannot_weaken_what_durable_means(mongodb: str) -> None:
    store = open_store(mongodb + "&w=0&journal=false&readPreference=secondary&readConcernLevel=local")
    await store.open()
    assert store._db.write_concern == MAJORITY  # type: ignore[attr-defined]
    assert store._db.read_concern.level == "majority"  # type: ignore[attr-defined]
    assert store._db.read_preference.name == "Primary"  # type: ignore[attr-defined]
    await store.close()


async def test_no_credential_reaches_a_log(mongodb: str, capfd: pytest.CaptureFixture[str]) -> None:
    await refusal(mongodb.replace("mongodb://", f"mongodb://me:{SECRET}@") + "&serverSelectionTimeoutMS=5000")
    out, err = capfd.readouterr()
    assert SECRET not in out + err

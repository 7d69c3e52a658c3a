"""A whole site from the files of docker/: encrypted, authenticated, and nobody misses a node or a member that dies."""

import asyncio
import concurrent.futures
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import pytest
from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from app.fhir.errors import Unavailable
from app.intake.hl7v2.client import Client
from app.intake.hl7v2.er7 import parse
from tests import mongod
from tests.api.test_site_definitions import NAMED, child, parameter
from tests.docker.site import Site
from tests.intake.hl7v2.messages import message, pid, pv1
from tests.support import until

pytestmark = pytest.mark.slow
MESSAGES = 60  # of each feed
MRN = "https://csor.example.org/Id/mrn/RXX"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    for program, found in (
        ("haproxy", shutil.which("haproxy")),
        ("openssl", shutil.which("openssl")),
        ("mongod", mongod.binary()),
    ):
        if not found:
            reason = f"the site of docker/ was not run: no {program}"
            if os.environ.get("CSOR_TEST_REQUIRE") == "1":
                pytest.fail(reason)
            pytest.skip(reason)
    running = Site(tmp_path_factory.mktemp("site"))
    try:
        running.up()
        yield running
    finally:
        running.down()


@pytest.fixture(scope="module")
def token(site: Site) -> str:
    return site.csor("client", "add", "Trust EPR", "--role", "vendor", "--hospital", "RXX").strip()


def as_admin(site: Site) -> MongoClient[dict[str, Any]]:
    secure = {"tls": True, "tlsCAFile": str(site.secrets / "mongo_ca"), "replicaSet": "csor"}
    names = [member.address for member in site.members]
    return MongoClient(names, username="admin", password=site.secret("mongo_admin"), authSource="admin", **secure)


def test_members_let_in_whom_they_know_and_encrypted_alone(site: Site) -> None:
    address = site.members[0].address
    secure = {"tls": True, "tlsCAFile": str(site.secrets / "mongo_ca"), "directConnection": True}
    with MongoClient(address, serverSelectionTimeoutMS=1000, directConnection=True) as plain, pytest.raises(PyMongoError):
        plain.admin.command("ping")
    with MongoClient(address, **secure) as nobody, pytest.raises(OperationFailure):
        nobody.csor.resource.find_one()
    with MongoClient(site.secret("csor_store")) as server:
        assert server.csor.setting.find_one() is not None
        with pytest.raises(OperationFailure):
            server.other.things.find_one()
        with pytest.raises(OperationFailure):
            server.admin.command("replSetGetConfig")


def test_making_the_replica_set_again_changes_nothing(site: Site) -> None:
    with as_admin(site) as client:
        before = client.admin.command("replSetGetConfig")["config"]
        assert len(before["members"]) == 3
        limit = client.admin.command({"getParameter": 1, "transactionLifetimeLimitSeconds": 1})
        assert (
            limit["transactionLifetimeLimitSeconds"] == 20
        )  # by default a dead node's writes stay locked for a minute and a half
        assert "The replica set csor is ready" in site.make_replica_set()
        assert client.admin.command("replSetGetConfig")["config"] == before


def test_what_is_written_through_the_proxy_each_node_has(site: Site, token: str) -> None:
    with site.client(token) as client:
        for n in range(6):
            patient = {"resourceType": "Patient", "id": f"p{n}", "name": [{"family": "Unmistakable"}]}
            assert client.put(f"/fhir/Patient/p{n}", json=patient).status_code == 201
    for node in site.nodes:
        with site.client(token, f"http://127.0.0.1:{node.http}") as direct:
            assert direct.get("/fhir/Patient?_summary=count").json()["total"] == 6
            assert direct.get("/fhir/Patient/p3").headers["etag"] == 'W/"1"'
    served = until(
        lambda: [line for line in site.logs()["proxy.log"].splitlines() if " 201 " in line][5:] and site.logs()["proxy.log"]
    )
    assert "nodes/node1" in served and "nodes/node2" in served


def test_the_outside_is_https_alone_and_cookies_stay_in_it(site: Site) -> None:
    plain = httpx.get(f"http://localhost:{site.ports['http']}/sign-in")
    assert plain.status_code == 308 and plain.headers["location"].startswith("https://")
    with site.client() as client:
        page = client.get("/sign-in")
        assert page.status_code == 200 and "strict-transport-security" in page.headers
        assert "secure" in page.headers["set-cookie"].lower()
        assert client.get("/fhir/Patient").status_code == 401


def test_what_is_withdrawn_by_a_command_is_withdrawn_at_both(site: Site) -> None:
    token = site.csor("client", "add", "Passing", "--role", "vendor", "--hospital", "RYY").strip()
    bases = [f"http://127.0.0.1:{node.http}" for node in site.nodes]
    assert [site.client(token, base).get("/fhir/Patient").status_code for base in bases] == [200, 200]
    [id] = [line.split()[0] for line in site.csor("client", "list").splitlines() if "Passing" in line]
    site.csor("client", "revoke", id)
    for base in bases:
        until(lambda base=base: site.client(token, base).get("/fhir/Patient").status_code == 401)


async def feed(site: Site, which: int, half: Event, sent_twice: list[str]) -> list[str]:
    """A hospital's engine: sends in order, and after a lost connection sends what was not answered again. The codes of the answers."""
    codes: list[str] = []
    while len(codes) < MESSAGES:
        try:
            async with Client("localhost", site.ports["mllp"], tls=site.trusted()) as client:
                while len(codes) < MESSAGES:
                    name = f"F{which}N{len(codes)}"
                    answer = await client.send(message("A01", pid(mrn=name, nhs=""), pv1(visit=name), control=name))
                    if b"|AA|" not in answer:
                        print(answer)
                    codes.append(parse(answer)["MSA-1"])
                    if len(codes) == MESSAGES // 3:
                        half.set()
        except Unavailable:
            sent_twice.append(f"F{which}N{len(codes)}")
            await asyncio.sleep(0.1)
    return codes


def test_a_node_dies_and_neither_feeds_nor_readers_miss_it(site: Site, token: str) -> None:
    site.csor("hl7", "sender", "add", "*", "RXX", "--hospital", "RXX")
    half, done, sent_twice = Event(), Event(), []

    async def feeds() -> list[list[str]]:
        return await asyncio.gather(*(feed(site, which, half, sent_twice) for which in range(4)))

    def read() -> set[int]:
        found = set()
        with site.client(token) as client:
            while not done.wait(0.05):
                found.add(client.get("/fhir/Patient/p1").status_code)
        return found

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        sending, reading = pool.submit(asyncio.run, feeds()), pool.submit(read)
        assert half.wait(120)
        site.nodes[0].kill()
        codes = sending.result(240)
        done.set()
        assert reading.result(60) == {200}
    assert {code for each in codes for code in each} == {"AA"}
    assert sent_twice, "no feed was cut off: nothing was tried"
    with MongoClient(site.secret("csor_store")) as client:
        until(lambda: client.csor.record.count_documents({"kind": "hl7v2", "state": "received"}) == 0)
        assert client.csor.record.count_documents({"kind": "hl7v2"}) == 4 * MESSAGES
        assert client.csor.record.count_documents({"kind": "hl7v2", "state": "processed"}) == 4 * MESSAGES
    with site.client(token) as client:
        assert client.get("/fhir/Patient?_summary=count").json()["total"] == 6 + 4 * MESSAGES
        for name in [f"F{which}N{n}" for which in range(4) for n in range(0, MESSAGES, 6)] + sent_twice:
            found = client.get("/fhir/Patient", params={"identifier": f"{MRN}|{name}", "_summary": "count"}).json()
            assert found["total"] == 1, name


def test_a_node_that_comes_back_gets_its_share(site: Site, token: str) -> None:
    site.nodes[0].kill()
    site.nodes[0].start()
    until(site.nodes[0].healthy)
    before = site.logs()["proxy.log"].count("nodes/node1 200")

    def served() -> bool:
        with site.client(token) as client:
            assert client.get("/fhir/Patient/p1").status_code == 200
        return site.logs()["proxy.log"].count("nodes/node1 200") > before

    until(served)


def test_what_the_nation_stores_through_one_node_is_in_force_at_the_other(site: Site, token: str) -> None:
    nation = site.csor("client", "add", "National audit", "--role", "national").strip()
    first, second = (site.client(nation, f"http://127.0.0.1:{node.http}") for node in site.nodes)
    with first, second:
        assert first.post("/fhir/SearchParameter", json=parameter("ward")).status_code == 201

        def offered() -> bool:
            rest = second.get("/fhir/metadata").json()["rest"][0]
            patient = next(each for each in rest["resource"] if each["type"] == "Patient")
            return "ward" in {each["name"] for each in patient["searchParam"]}

        until(offered)
        of_a_hospital = {"authorization": f"Bearer {token}", "prefer": "handling=strict"}
        stored = second.put("/fhir/Patient/warded", json=child("Neonatal") | {"id": "warded"}, headers=of_a_hospital)
        assert stored.status_code == 201
        until(lambda: first.get("/fhir/Patient?ward=neonatal", headers=of_a_hospital).status_code == 200)
        found = first.get("/fhir/Patient?ward=neonatal", headers=of_a_hospital).json()
        assert [each["resource"]["id"] for each in found["entry"]] == ["warded"]

        def errors() -> list[Any]:
            said = second.post(f"/fhir/Patient/$validate?profile={NAMED['url']}", json={"resourceType": "Patient"}).json()
            return [each.get("expression") for each in said["issue"] if each["severity"] == "error"]

        unknown = errors()
        assert first.post("/fhir/StructureDefinition", json=NAMED).status_code == 201
        assert errors() not in ([], unknown)


def test_a_frozen_node_is_taken_out_and_put_back(site: Site, token: str) -> None:
    frozen = site.nodes[1]
    assert frozen.process is not None
    frozen.process.send_signal(signal.SIGSTOP)
    try:
        until(lambda: "Server nodes/node2 is DOWN" in site.logs()["proxy.log"])
        until(lambda: "Server feeds/node2 is DOWN" in site.logs()["proxy.log"])
        with site.client(token) as client:
            assert {client.get("/fhir/Patient/p1").status_code for _ in range(10)} == {200}
    finally:
        frozen.process.send_signal(signal.SIGCONT)
    until(lambda: site.logs()["proxy.log"].rfind("nodes/node2 is UP") > site.logs()["proxy.log"].rfind("nodes/node2 is DOWN"))


def test_a_member_is_lost_and_comes_back(site: Site, token: str) -> None:
    with as_admin(site) as client:
        primary = client.admin.command("hello")["primary"]
    lost = next(member for member in site.members if member.address == primary)
    lost.kill()
    patient = {"resourceType": "Patient", "id": "after"}

    def written() -> bool:
        with site.client(token) as client:
            answer = client.put("/fhir/Patient/after", json=patient)
            if answer.status_code >= 400:
                assert answer.status_code == 503 and "retry-after" in answer.headers
                assert answer.json()["resourceType"] == "OperationOutcome"
            return answer.status_code < 400

    until(written)
    lost.start()
    assert "is ready" in site.make_replica_set()


def test_the_first_member_loses_its_disk_and_no_second_set_is_made(site: Site, token: str) -> None:
    with as_admin(site) as client:
        before = client.admin.command("replSetGetConfig")["config"]["settings"]["replicaSetId"]
    first = site.members[0]
    first.kill()
    shutil.rmtree(first.directory)
    first.start()
    assert "is ready" in site.make_replica_set()
    with as_admin(site) as client:
        assert client.admin.command("replSetGetConfig")["config"]["settings"]["replicaSetId"] == before
    with site.client(token) as client:
        assert client.get("/fhir/Patient/p5").status_code == client.get("/fhir/Patient/after").status_code == 200


def test_no_node_at_all_is_told_as_fhir_tells_it(site: Site, token: str) -> None:
    codes = [node.end() for node in site.nodes]
    assert codes == [0, 0]
    with site.client(token) as client:
        until(lambda: client.get("/fhir/Patient/p1").status_code == 503)
        answer = client.get("/fhir/Patient/p1")
        assert answer.headers["retry-after"] and answer.json()["issue"][0]["code"] == "transient"


def test_a_backup_brings_the_site_back_beside_what_was_there(site: Site, token: str, tmp_path: Path) -> None:
    """The nodes stand still since the test before."""
    said = site.csor("backup", str(tmp_path), "--keep", "3")
    assert "compared and the same" in said
    [file] = tmp_path.iterdir()
    url = site.secrets / "csor_store"
    url.chmod(0o600)
    url.write_text(url.read_text().replace("/csor?", "/csor2?"))
    assert "is ready" in site.make_replica_set()  # the server's user may now use that database, and no other
    assert "compared and the same" in site.csor("restore", str(file))
    assert site.csor("check") == "All agrees.\n"
    site.nodes[1].start()
    until(site.nodes[1].healthy)
    with site.client(token, f"http://127.0.0.1:{site.nodes[1].http}") as client:
        assert client.get("/fhir/Patient/p1").json()["name"] == [{"family": "Unmistakable"}]
        found = client.get("/fhir/Patient?ward=neonatal", headers={"prefer": "handling=strict"}).json()
        assert [each["resource"]["id"] for each in found["entry"]] == ["warded"]
    with MongoClient(site.secret("csor_store")) as server, pytest.raises(OperationFailure):
        server.csor.resource.find_one()


def test_no_log_has_a_secret_or_a_child(site: Site, token: str) -> None:
    """The last: after all that was done above."""
    password = site.secret("csor_store").partition("://csor:")[2].partition("@")[0]
    assert len(password) == 48
    for name, text in site.logs().items():
        assert text, f"{name} is empty: nothing was tried"
        for forbidden in (password, site.secret("mongo_admin"), token, "Unmistakable", "F1N1", "Example", MRN):
            assert forbidden not in text, f"{name} has {forbidden[:6]}…"

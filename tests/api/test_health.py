"""/health for whoever restarts the server, /health/detail for whoever looks after it."""

import asyncio

import httpx
import pytest

from app.api import health
from app.fhir.errors import Unavailable
from app.security.access import SYSTEM
from app.store.protocol import PutRecord, Record
from tests.api.conftest import context_of, patient, token

ROOT = "http://localhost"


async def test_alive_without_a_token(secured: httpx.AsyncClient) -> None:
    answer = await secured.get(f"{ROOT}/health")
    assert answer.status_code == 200 and answer.json() == {"status": "pass"}


async def test_ready_as_long_as_the_store_answers(secured: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await secured.get(f"{ROOT}/health/ready")).status_code == 200
    store = context_of(secured).store

    async def away(*_: object) -> None:
        raise Unavailable("The store cannot be reached just now; try again.")

    again = asyncio.Event()

    async def silent(*_: object) -> None:
        await again.wait()
        raise Unavailable("It was silent, and whoever else asked meanwhile must not wait for ever.")

    monkeypatch.setattr(health, "READY_SECONDS", 0.01)
    for answer in (away, silent):
        monkeypatch.setattr(store, "get_record", answer)
        refused = await secured.get(f"{ROOT}/health/ready")
        assert refused.status_code == 503 and refused.headers["retry-after"]
        assert refused.json()["resourceType"] == "OperationOutcome"
        assert (await secured.get(f"{ROOT}/health")).status_code == 200
    again.set()


async def test_detail_is_national_and_counts_what_waits(secured: httpx.AsyncClient) -> None:
    national = await token(secured, "national")
    vendor = await token(secured, "vendor", "RXX")
    assert (await secured.get(f"{ROOT}/health/detail")).status_code == 401
    assert (await secured.get(f"{ROOT}/health/detail", headers=vendor)).status_code == 403
    before = (await secured.get(f"{ROOT}/health/detail", headers=national)).json()
    await secured.post("/Patient", json=patient(), headers=vendor)
    waiting = [PutRecord(Record("hl7v2", "k", state="error")), PutRecord(Record("hes-row-error", "r"))]
    await context_of(secured).store.commit(SYSTEM, waiting)
    after = (await secured.get(f"{ROOT}/health/detail", headers=national)).json()
    assert after["feed"]["head"] > before["feed"]["head"]
    assert after["resources"]["Patient"] == 1
    assert after["queues"]["hl7v2"]["error"] == 1 and after["queues"]["hes-row-error"]["all"] == 1

"""What other rooms commit together with a resource: a completed operative record makes the case, whichever FHIR interaction brings it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.api.context import Context
from app.api.write import create
from app.fhir.errors import BusinessRule, Conflict
from app.security.access import SANDBOX, Access
from app.security.identity import Identities
from app.store.protocol import Hook, PutRecord, Record
from tests.api.conftest import patient, token
from tests.api.test_bundle import bundle, entry, statuses
from tests.registry.test_operative_record import record
from tests.support import open_test_store


@pytest.fixture
async def surgeon(secured: httpx.AsyncClient) -> httpx.AsyncClient:
    secured.headers.update(await token(secured, "hospital", "RA1"))
    await secured.put("/Patient/child", json=patient(id="child", birthDate="2024-03-04", gender="male"))
    return secured


async def cases(client: httpx.AsyncClient) -> int:
    return int((await client.get("/EpisodeOfCare?patient=child&_summary=count")).json()["total"])


async def procedures(client: httpx.AsyncClient) -> int:
    return int((await client.get("/Procedure?patient=child&_summary=count")).json()["total"])


async def test_put_post_batch_and_transaction_all_make_the_case(surgeon: httpx.AsyncClient) -> None:
    response = record("child", id="qr")
    assert (await surgeon.put("/QuestionnaireResponse/qr", json=response)).status_code == 201
    assert await cases(surgeon) == 1
    made = await procedures(surgeon)
    assert made >= 1
    for kind in ("transaction", "batch"):
        again = await surgeon.post("", json=bundle(kind, entry("PUT", "QuestionnaireResponse/qr", response)))
        assert statuses(again) == ["200"], again.text
    assert await cases(surgeon) == 1
    assert await procedures(surgeon) == made


async def test_what_must_not_be_there_yet_is_refused_as_such(surgeon: httpx.AsyncClient) -> None:
    response, only_new = record("child", id="qr"), {"if-none-match": "*"}
    put = bundle("transaction", entry("PUT", "QuestionnaireResponse/qr", response, ifNoneMatch="*"))
    assert (await surgeon.put("/QuestionnaireResponse/qr", json=response, headers=only_new)).status_code == 201
    for refused in (
        await surgeon.put("/QuestionnaireResponse/qr", json=response, headers=only_new),
        await surgeon.post("", json=put),
    ):
        assert refused.status_code == 412, refused.text


async def test_a_refusing_hook_refuses_the_whole(surgeon: httpx.AsyncClient) -> None:
    wrong = record("child", id="qr") | {"subject": {"reference": "Patient/nobody"}}
    refused = await surgeon.post(
        "", json=bundle("transaction", entry("POST", "Patient", patient()), entry("PUT", "QuestionnaireResponse/qr", wrong))
    )
    assert 400 <= refused.status_code < 500 and "entry[1]" in refused.text
    assert (await surgeon.get("/Patient?_summary=count")).json()["total"] == 1
    assert (await surgeon.get("/QuestionnaireResponse/qr")).status_code == 404


async def test_hooks_commit_with_the_resource_or_not_at_all(tmp_path: Path) -> None:
    store = await open_test_store(tmp_path)

    async def hook(access: Access, resource: dict[str, Any], beside: Mapping[str, dict[str, Any]]) -> list[PutRecord]:
        if resource.get("active") is False:
            raise BusinessRule("No.")
        return [PutRecord(Record("note", resource["id"]), if_revision=0 if resource.get("active") else 7)]

    hooks: dict[str, list[Hook]] = {"Patient": [hook]}
    context = Context(store, Identities(store), hooks=hooks)
    done = await create(context, SANDBOX, "Patient", patient(active=True))
    assert await store.get_record(SANDBOX, "note", done.stored.id) is not None
    with pytest.raises(BusinessRule):
        await create(context, SANDBOX, "Patient", patient(active=False))
    with pytest.raises(Conflict):  # what the hook wants cannot be committed, so the resource is not either
        await create(context, SANDBOX, "Patient", patient())
    assert (await store.counts(SANDBOX))["Patient"] == 1
    await store.close()

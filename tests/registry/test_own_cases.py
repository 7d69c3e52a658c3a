"""A hospital notifies its own cases, and nobody else's."""

import json
from typing import Any

from app.api import Context, routes
from app.api.inprocess import request
from app.main import hooks
from app.security.access import SYSTEM, Access
from app.security.identity import Identities
from app.store.protocol import Store
from tests.registry.builders import case, patient

ZAA = Access("aa", "hospital", frozenset(("ZAA",)))
VENDOR = Access("v", "vendor", frozenset(("ZAA", "ZBB")))
NATION = Access("n", "national", None)


async def test_a_case_of_another_hospital_is_refused(store: Store) -> None:
    table = routes(Context(store, Identities(store), hooks=hooks(store)))

    async def put(access: Access, body: dict[str, Any]) -> tuple[int, Any]:
        reply = await request(table, access, "PUT", "EpisodeOfCare/case", body=lambda: dict(body))
        return reply.status, json.loads(reply.body) if reply.body else None

    await request(table, SYSTEM, "PUT", "Patient/p", body=patient)
    status, outcome = await put(ZAA, case(hospital="ZBB"))
    assert (status, outcome["issue"][0]["expression"]) == (403, ["EpisodeOfCare.managingOrganization"])
    assert (await put(ZAA, case(hospital="ZAA")))[0] == 201
    assert (await put(ZAA, case(hospital="ZBB", type=[{"text": "none of ours"}])))[0] == 200
    for access in (VENDOR, NATION):
        assert (await put(access, case(hospital="ZBB", status="active" if access is NATION else "onhold")))[0] == 200
    assert (await put(ZAA, case(hospital="ZBB")))[0] == 403

"""What a request leaves behind is freed when it is answered: nothing waits for the collector, which comes by rarely and does not see how large things are."""

import gc
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from app.api import Context, routes
from app.api.inprocess import request
from app.api.respond import Reply
from app.fhir.validation import Validator
from app.security.access import SYSTEM
from app.security.identity import Identities
from tests.support import open_test_store

ROUNDS = 20
PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "p",
    "contained": [{"resourceType": "Organization", "id": "o", "name": "x"}],
}
PATIENT |= {"managingOrganization": {"reference": "#o"}, "name": [{"family": "A"}]}
SEEN = {"resourceType": "Observation", "id": "s", "status": "final", "code": {"text": "x"}, "subject": {"reference": "Patient/p"}}
PUTS = [{"resource": r, "request": {"method": "PUT", "url": f"{r['resourceType']}/{r['id']}"}} for r in (PATIENT, SEEN)]
ASKED: dict[str, tuple[str, str, str, dict[str, Any] | None]] = {
    "read": ("GET", "Patient/p", "", None),
    "update": ("PUT", "Patient/p", "", PATIENT),
    "create": ("POST", "Observation", "", SEEN),
    "transaction": ("POST", "", "", {"resourceType": "Bundle", "type": "transaction", "entry": PUTS}),
    "search": ("GET", "Observation", "subject:Patient.family=A&_include=Observation:subject&_count=5", None),
    "history": ("GET", "Patient/p/_history", "_count=5", None),
    "validate": ("POST", "Patient/$validate", "", PATIENT),
}


async def left_behind(call: Callable[[], Awaitable[Reply]]) -> Counter[str]:
    """The types of objects that only the collector can free, after `ROUNDS` calls."""
    await call()
    gc.collect()
    gc.disable()
    try:
        for _ in range(ROUNDS):
            reply = await call()
            assert reply.status in (200, 201), reply.body
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        return Counter(type(one).__qualname__ for one in gc.garbage)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


@pytest.mark.parametrize("name", ASKED)
async def test_nothing_holds_itself(name: str, tmp_path: Path) -> None:
    """The least of three: a request leaves the same each time; what tests before it leave in this process ends at any moment, but once."""
    store = await open_test_store(tmp_path)
    try:
        table = routes(Context(store, Identities(store)))
        for kind, path, _, body in (ASKED["update"], ("PUT", "Observation/s", "", SEEN)):
            await request(table, SYSTEM, kind, path, body=lambda body=body: dict(body or {}))  # type: ignore[misc]
        method, path, query, body = ASKED[name]
        decoded = None if body is None else (lambda: dict(body))
        left = [await left_behind(lambda: request(table, SYSTEM, method, path, query=query, body=decoded)) for _ in range(3)]
        assert min(one.total() for one in left) < ROUNDS, left
    finally:
        await store.close()


def test_nor_does_what_is_judged_by_profiles() -> None:
    validator = Validator()
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"fullUrl": "urn:uuid:1", "resource": PATIENT}]}
    validator.validate(bundle)
    gc.collect()
    gc.disable()
    try:
        for _ in range(ROUNDS):
            validator.validate(bundle)
        assert gc.collect() < ROUNDS
    finally:
        gc.enable()

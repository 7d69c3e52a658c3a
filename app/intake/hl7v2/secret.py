"""The store's own secret, from which ids for visits and results are made.

A hash of a visit number could be guessed back; one with a secret of 256 bits cannot. It is made once and stays, because ids hang on it.
"""

import base64
import contextlib
import hashlib
import hmac
import secrets

from app.fhir import codec
from app.fhir.errors import Conflict
from app.security.access import SYSTEM
from app.store.protocol import PutRecord, Record, Store

KIND = "hl7v2-secret"


class Secret:
    """`secret("Encounter", "RCB", "2139")` is a FHIR id: the same for the same parts, telling nothing of them."""

    def __init__(self, key: bytes) -> None:
        self._key = hmac.new(key, digestmod=hashlib.sha256)

    def __call__(self, *parts: str) -> str:
        digest = self._key.copy()
        digest.update("\x1f".join(parts).encode("utf-8", "surrogateescape"))
        return base64.b32encode(digest.digest()[:16]).decode().rstrip("=").lower()


async def load(store: Store) -> Secret:
    """The store's secret, made at first use."""
    record = await store.get_record(SYSTEM, KIND, "ids")
    if record is None:
        made = Record(KIND, "ids", body=codec.encode({"key": secrets.token_hex(32)}))
        with contextlib.suppress(Conflict):  # another process was faster; its secret counts
            await store.commit(SYSTEM, [PutRecord(made, if_revision=0)])
        record = await store.get_record(SYSTEM, KIND, "ids")
        assert record is not None
    return Secret(bytes.fromhex(record.data["key"]))

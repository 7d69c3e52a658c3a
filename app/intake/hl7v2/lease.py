"""A lease in the store: of several processes, one works, and another takes over when it dies."""

import contextlib

from app import clock, ids
from app.fhir import codec
from app.fhir.errors import Conflict
from app.security.access import SYSTEM
from app.store.protocol import DeleteRecord, PutRecord, Record, Store

KIND = "lease"


class Lease:
    """`seconds` is how long the holder may be silent."""

    def __init__(self, store: Store, key: str, seconds: float = 15) -> None:
        self._store, self._key, self._micros = store, key, int(seconds * 1_000_000)
        self._holder = ids.new_id()
        self._until = 0

    async def held(self) -> bool:
        """Take or keep the lease; False while another holds it."""
        now = clock.micros()
        if self._until - now > self._micros // 2:
            return True
        record = await self._store.get_record(SYSTEM, KIND, self._key)
        mine = record is not None and record.data["holder"] == self._holder
        if record is not None and not mine and (record.due or 0) > now:
            return False
        entry = Record(KIND, self._key, body=codec.encode({"holder": self._holder}), due=now + self._micros)
        try:
            await self._store.commit(SYSTEM, [PutRecord(entry, if_revision=record.revision if record else 0)])
        except Conflict:
            return False
        self._until = now + self._micros
        return True

    async def release(self) -> None:
        """Let another have it at once."""
        record = await self._store.get_record(SYSTEM, KIND, self._key)
        if record is not None and record.data["holder"] == self._holder:
            with contextlib.suppress(Conflict):
                await self._store.commit(SYSTEM, [DeleteRecord(KIND, self._key, if_revision=record.revision)])
        self._until = 0

"""Beside the requests: puts what ships into the store, and keeps the columns warm so that no page waits for them."""

import asyncio
from contextlib import suppress

from app.fhir.errors import FHIRError
from app.logs import logger
from app.measures import artefacts
from app.measures.columns import shelf
from app.measures.definition import shipped, shipped_ids
from app.store.protocol import Store

_STILL = 2.0  # seconds


class ColumnsService:
    """It writes nothing but the artefacts, so every process may run it."""

    name = "measure-columns"

    def __init__(self, store: Store) -> None:
        self._store = store

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set. Columns are made when the feed has been still for a while, not in the middle of a load."""
        await artefacts.install(self._store)
        before = warm = -1
        while not stop.is_set():
            head = await self._store.feed_head()
            if head == before and head != warm:
                await self.warm()
                warm = head
            before = head
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _STILL)

    async def warm(self) -> None:
        """Make the columns of every shipped measure that are not up to date."""
        cupboard = shelf(self._store)
        try:
            columns = await cupboard.columns()
            for id in shipped_ids():
                await cupboard.flags(shipped(id), columns)
        except FHIRError as error:
            logger().error("columns-failed", where=self.name, exc_type=type(error).__name__)

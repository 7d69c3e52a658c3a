"""Reads by id that come together are asked together.

A look-up costs the driver a third of a millisecond of this process' time, whatever it brings; so those that wait at the same moment share one. What must stay
true: a read is sent after it was asked for, never answered from an earlier one, so it sees every write that was acknowledged before.
"""

import asyncio

from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import PyMongoError

from app.store.mongo.connection import translate
from app.store.mongo.search import STORED
from app.store.mongo.words import Document

AT_ONCE = 4  # look-ups under way
MAX_NAMES = 200  # of one look-up

_Waiting = list["asyncio.Future[Document | None]"]


class Reads:
    """`await reads.get("Patient/1")` is the current document, whoever owns it, or None."""

    def __init__(self, resources: AsyncCollection[Document]) -> None:
        self._resources = resources
        self._waiting: dict[str, _Waiting] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._soon = False

    async def get(self, name: str) -> Document | None:
        """Raises what the store's errors are."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Document | None] = loop.create_future()
        self._waiting.setdefault(name, []).append(future)
        if not self._soon:
            self._soon = True
            loop.call_soon(self._pump)
        return await future

    def _pump(self) -> None:
        self._soon = False
        while self._waiting and len(self._tasks) < AT_ONCE:
            names = list(self._waiting)[:MAX_NAMES]
            task = asyncio.create_task(self._look({name: self._waiting.pop(name) for name in names}))
            self._tasks.add(task)
            task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        self._pump()

    async def _look(self, asked: dict[str, _Waiting]) -> None:
        found: dict[str, Document] = {}
        try:
            documents = await self._resources.find({"_id": {"$in": list(asked)}}, STORED).to_list()
            found = {one["_id"]: one for one in documents}
        except PyMongoError as error:
            self._tell(asked, translate(error))
            return
        except BaseException as error:
            self._tell(asked, error)
            return
        for name, futures in asked.items():
            for future in futures:
                if not future.done():
                    future.set_result(found.get(name))

    @staticmethod
    def _tell(asked: dict[str, _Waiting], error: BaseException) -> None:
        for futures in asked.values():
            for future in futures:
                if not future.done():
                    future.set_exception(error)

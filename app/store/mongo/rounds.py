"""Rounds: the commits of one process, several callers' in one transaction.

A majority write waits for the disks of several machines, whatever it carries; so those that wait together go together. What must stay true: jobs of one
round touch different things; a guarded job has a round of its own; no job fails or waits for another's sake; a caller that goes away leaves its commit to
run on, only the answer is dropped; a job whose deadline passed while it waited is never begun.
"""

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable

from app.fhir.errors import Unavailable
from app.store.mongo.transaction import Job
from app.store.protocol import Stored

MAX_ROUND = 64  # jobs
MAX_WRITES = 1000  # of one round, unless one job alone has more
MAX_BYTES = 8 << 20  # likewise: MongoDB refuses a transaction that fills too much of its cache
AT_ONCE = 2  # rounds under way, guarded ones apart: fewer carry more each, and a long one must not hold up all
GUARDED_AT_ONCE = 16
ALONE_AT_ONCE = 4
GIVE_WAY = 1.0  # seconds in which a round begins again while others write the same; then each of its jobs goes on alone
PATIENCE = 35.0  # seconds in which a transaction is begun again: longer than MongoDB keeps what a dead node was writing (docs/how-to/run-on-mongodb.md)

_Waiting = tuple[Job, "asyncio.Future[list[Stored | None]]", set[str], int]  # with the job's turns and size
_Work = Callable[[list[Job], float], Awaitable[None]]


class Stuck(Unavailable):
    """Others write the same, or a node that died while it did. Nothing was stored."""


class Rounds:
    """`submit` a job and await its results.

    `work` does jobs in one transaction, which it begins again for so many seconds while others write the same, and then raises Stuck.
    """

    def __init__(self, work: _Work) -> None:
        self._work = work
        self._alone_at_once = asyncio.Semaphore(ALONE_AT_ONCE)
        self._waiting: deque[_Waiting] = deque()
        self._busy: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._guarded = 0
        self._plain = 0
        self._closed = False
        self._pumping = False

    async def submit(self, job: Job) -> list[Stored | None]:
        """What the job brought, once it is durable. Raises what it raised, or Unavailable."""
        if self._closed:
            raise Unavailable("The store is closed.")
        future: asyncio.Future[list[Stored | None]] = asyncio.get_running_loop().create_future()
        self._waiting.append((job, future, job.turns(), job.size()))
        self._soon()
        return await future

    async def close(self) -> None:
        """Finish what was submitted."""
        self._closed = True
        while self._tasks or self._waiting:
            await asyncio.sleep(0)
            if self._tasks:
                await asyncio.wait(set(self._tasks))

    def _soon(self) -> None:
        """Not at once: those whose commits ended together come back together, and should leave together."""
        if not self._pumping:
            self._pumping = True
            asyncio.get_running_loop().call_soon(self._pump)

    def _pump(self) -> None:
        self._pumping = False
        self._dismiss()
        while self._waiting and (chosen := self._choose()):
            guarded = bool(chosen[0][0].guards)
            self._guarded += guarded
            self._plain += not guarded
            task = asyncio.create_task(self._run(chosen, guarded))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _dismiss(self) -> None:
        """Those that waited too long; they were submitted first."""
        while self._waiting and (late := self._waiting[0][0].too_late()):
            future = self._waiting.popleft()[1]
            if not future.cancelled():
                future.set_exception(late)

    def _choose(self) -> list[_Waiting]:
        """The jobs of the next round, the oldest first; a job whose turn has not come keeps all that share its turns waiting."""
        chosen: list[_Waiting] = []
        left: deque[_Waiting] = deque()
        held: set[str] = set()
        writes = filled = 0
        while self._waiting:
            one = self._waiting.popleft()
            job, _, turns, size = one
            room = self._guarded < GUARDED_AT_ONCE if job.guards else self._plain < AT_ONCE
            small = writes + len(job.writes) <= MAX_WRITES and filled + size <= MAX_BYTES
            fits = not chosen or (not job.guards and small)
            if room and fits and self._busy.isdisjoint(turns) and held.isdisjoint(turns):
                chosen.append(one)
                self._busy |= turns
                writes += len(job.writes)
                filled += size
                if job.guards or len(chosen) == MAX_ROUND:
                    break
            else:
                held |= turns
                left.append(one)
        self._waiting.extendleft(reversed(left))
        return chosen

    async def _run(self, chosen: list[_Waiting], guarded: bool) -> None:
        error = await self._try(chosen, GIVE_WAY)
        self._guarded -= guarded
        self._plain -= not guarded
        of_one = len(chosen) > 1 and isinstance(error, Exception) and not isinstance(error, Unavailable)
        alone = of_one or isinstance(error, Stuck)
        if not alone:
            for one in chosen:
                self._end(one, error)
        self._soon()
        if alone:
            await asyncio.gather(*(self._alone(one) for one in chosen))

    async def _try(self, chosen: list[_Waiting], patience: float) -> BaseException | None:
        try:
            await self._work([job for job, *_ in chosen], patience)
        except BaseException as error:
            return error
        return None

    async def _alone(self, one: _Waiting) -> None:
        end = asyncio.get_running_loop().time() + PATIENCE
        async with self._alone_at_once:
            error = one[0].too_late() or await self._try([one], 0.0)
        while isinstance(error, Stuck) and asyncio.get_running_loop().time() < end and not self._closed:
            await asyncio.sleep(random.uniform(0.1, 0.3))  # noqa: S311
            async with self._alone_at_once:
                error = await self._try([one], 0.0)
        self._end(one, error)
        self._soon()

    def _end(self, one: _Waiting, error: BaseException | None) -> None:
        job, future, turns, _ = one
        self._busy -= turns
        outcome = error or job.outcome
        if not future.cancelled():
            if isinstance(outcome, BaseException):
                future.set_exception(outcome)
            else:
                future.set_result(outcome or [])

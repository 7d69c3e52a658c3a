"""POST [base]: batch (each entry for itself) and transaction (all or none).

Entries that read, and every entry of a batch, go through the same routes as a request of their own, with the same identity: what a
URL does outside a bundle it does inside, and each entry is held to the scopes of its own verb.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import groupby
from typing import Any

from app.api.endpoint import Call, unexpected
from app.api.entries import ORDER, WRITES, Entry, answered, raw_entries, read_entries, read_entry, status_line
from app.api.respond import Reply, represent_value
from app.api.transaction import Outcome, transact
from app.fhir import codec
from app.fhir.errors import BadRequest, FHIRError, Invalid
from app.fhir.validation import check

Dispatch = Callable[[Call, Entry], Awaitable[Reply]]
AT_ONCE = 16


class Bundles:
    """`dispatch` answers an entry as if it were a request."""

    def __init__(self, dispatch: Dispatch) -> None:
        self._dispatch = dispatch

    async def post(self, call: Call) -> Reply:
        """The route."""
        decode = await call.reader()
        bundle = decode()
        if bundle.get("resourceType") != "Bundle":
            other = str(bundle.get("resourceType"))[:60]
            raise Invalid(
                f"This URL takes a Bundle. To create a {other}, post it to {call.base}/{other}.", expression="resourceType"
            )
        kind = bundle.get("type")
        if kind == "transaction":
            check(bundle)
            return await self._transaction(call, bundle, decode)
        if kind == "batch":
            return await self._batch(call, bundle)
        raise BadRequest(
            f"A Bundle of the type '{str(kind)[:40]}' cannot be processed: batch or transaction.", expression="Bundle.type"
        )

    async def _transaction(self, call: Call, bundle: dict[str, Any], decode: Callable[[], dict[str, Any]]) -> Reply:
        entries = read_entries(bundle, call.base)
        reads = [entry for entry in entries if entry.method not in WRITES]
        for entry in reads:
            await self._rehearse(call, entry, entries)
        fresh = [bundle]  # the first attempt takes the one that was validated

        def again() -> dict[str, Any]:
            return fresh.pop() if fresh else decode()

        done = await transact(call.context, call.access, again, call.base)
        answers = {index: _answer(call, outcome) for index, outcome in done.items()}
        for entry in reads:
            answers[entry.index] = await self._one(call, entry)
        return _reply(call, "transaction-response", [answers[entry.index] for entry in entries])

    async def _rehearse(self, call: Call, entry: Entry, entries: Sequence[Entry]) -> None:
        """A read that would fail must refuse the transaction before it is stored. What the transaction itself makes may be missing yet."""
        reply = await self._dispatch(call, entry)
        made = any(other.method == "PUT" and other.path == entry.path and other.id for other in entries)
        if reply.status >= 400 and not (made and reply.status in (404, 410)):
            raise _refused(entry, reply)

    async def _one(self, call: Call, entry: Entry, *, minimal: bool = False) -> dict[str, Any]:
        """The answer to an entry. Whatever goes wrong with it stays with it: others are stored, or will be."""
        try:
            return _relayed(await self._dispatch(call, entry), minimal=minimal)
        except FHIRError as error:
            return _failed(error)
        except Exception as error:
            return _failed(unexpected(error, entry.method))

    async def _batch(self, call: Call, bundle: dict[str, Any]) -> Reply:
        entries = _tolerant(bundle, call.base)
        answers: dict[int, dict[str, Any]] = {}
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(entry: Entry) -> None:
            async with gate:
                answers[entry.index] = await self._one(call, entry, minimal=call.prefer.result == "minimal")

        good = sorted((entry for entry in entries if isinstance(entry, Entry)), key=lambda entry: ORDER.index(entry.method))
        for _, group in groupby(good, key=lambda entry: entry.method):
            await asyncio.gather(*(one(entry) for entry in group))
        for index, entry in enumerate(entries):
            if isinstance(entry, FHIRError):
                answers[index] = _failed(entry)
        return _reply(call, "batch-response", [answers[index] for index in range(len(entries))])


def _tolerant(bundle: dict[str, Any], base: str) -> list[Entry | FHIRError]:
    """Entries of a batch: one that cannot be read spoils itself alone."""
    found: list[Entry | FHIRError] = []
    for index, entry in enumerate(raw_entries(bundle)):
        try:
            found.append(read_entry(index, entry, base))
        except FHIRError as error:
            found.append(error)
    return found


def _reply(call: Call, kind: str, answers: list[dict[str, Any]]) -> Reply:
    return represent_value(
        200,
        {"resourceType": "Bundle", "type": kind, "entry": answers} if answers else {"resourceType": "Bundle", "type": kind},
        call.format,
        pretty=call.pretty,
    )


def _answer(call: Call, outcome: Outcome) -> dict[str, Any]:
    wanted = call.prefer.result == "representation" and "return=representation" in (call.header("prefer") or "")
    resource = outcome.stored.resource if wanted and outcome.stored and not outcome.stored.deleted else None
    return answered(outcome.status, outcome.stored, call.base, resource=resource)


def _relayed(reply: Reply, *, minimal: bool = False) -> dict[str, Any]:
    """A reply as an entry."""
    headers = {name.decode(): value.decode() for name, value in reply.headers}
    response: dict[str, Any] = {"status": status_line(reply.status)}
    entry: dict[str, Any] = {}
    if "location" in headers:
        response["location"] = headers["location"]
        entry["fullUrl"] = headers["location"].partition("/_history/")[0]
    if "etag" in headers:
        response["etag"] = headers["etag"]
    body = codec.decode(reply.body) if reply.body else None
    if body is not None and reply.status >= 400:
        response["outcome"] = body
    elif body is not None and not (minimal and "location" in headers):
        entry["resource"] = body
        if updated := (body.get("meta") or {}).get("lastUpdated"):
            response["lastModified"] = updated
    return entry | {"response": response}


def _failed(error: FHIRError) -> dict[str, Any]:
    return {"response": {"status": status_line(error.status), "outcome": error.outcome()}}


def _refused(entry: Entry, reply: Reply) -> FHIRError:
    error = BadRequest(codec.decode(reply.body)["issue"][0]["diagnostics"], expression=f"{entry.at}.request.url")
    error.status = reply.status
    return error

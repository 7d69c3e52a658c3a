"""Links that open one Task for whoever holds them: 192 random bits, kept as a hash, locked after five wrong dates of birth.

An unknown, forged, used, revoked or expired link gives the same answer: `LinkClosed`.
"""

import hashlib
from dataclasses import dataclass
from datetime import date

import msgspec

from app import clock
from app.fhir.errors import Forbidden, NotFound
from app.ids import new_secret
from app.security.access import SYSTEM
from app.store.protocol import PutRecord, Record, RecordConflict, Store

TRIES = 5


class LinkClosed(NotFound):
    """The link does not open anything (any more). One sentence for every reason."""

    def __init__(self) -> None:
        super().__init__("This link does not work. It may have been used already, or a newer letter has a newer link.")


class WrongBirthDate(Forbidden):
    """The date of birth is not the child's. `left` tries remain before the link is locked."""

    def __init__(self, left: int) -> None:
        self.left = left
        super().__init__("That is not the date of birth we have. Check the day, month and year.")


class LinkData(msgspec.Struct):
    """The body of a Record of kind `link`; its key is the hash of the token, its tag the Task's id, its due the expiry."""

    task: str
    patient: str
    case: str
    tries: int = 0
    proofs: list[str] = []  # hashes of the browsers' secrets that gave the right date of birth


@dataclass(frozen=True, slots=True)
class Link:
    """An open link."""

    record: Record
    data: LinkData

    def proven_to(self, proof: str) -> bool:
        """Whether the browser that holds `proof` has given the right date of birth."""
        return bool(proof) and key_of(proof) in self.data.proofs


def new_link(task: str, patient: str, case: str, closes: int) -> tuple[str, PutRecord]:
    """The token for the letter and the record to commit with it."""
    token = new_secret("parent")
    body = msgspec.json.encode(LinkData(task, patient, case))
    return token, PutRecord(Record("link", key_of(token), body, state="open", tag=task, due=closes), if_revision=0)


def key_of(token: str) -> str:
    """The record key of a token. A plain hash is enough for a secret of 192 random bits."""
    return hashlib.sha256(token.encode()).hexdigest()


async def open_link(store: Store, token: str) -> Link:
    """The link of a token. Raises LinkClosed."""
    record = await store.get_record(SYSTEM, "link", key_of(token))
    if record is None or record.state != "open" or (record.due or 0) < clock.micros():
        raise LinkClosed
    return Link(record, msgspec.json.decode(record.body, type=LinkData))


async def prove(store: Store, token: str, birth_date: date, known: str | None) -> str:
    """Compare the date of birth that the parent gave with the one `known`; the proof that the browser keeps.

    A wrong one counts as a try: WrongBirthDate, and after five LinkClosed (staff send a new letter then).
    """
    link = await open_link(store, token)
    proof = new_secret("proof")
    right = birth_date.isoformat() == known
    if right:
        link.data.proofs = [*link.data.proofs[-4:], key_of(proof)]
    else:
        link.data.tries += 1
    locked = link.data.tries >= TRIES
    link.record.state = "locked" if locked else "open"
    link.record.body = msgspec.json.encode(link.data)
    try:
        await store.commit(SYSTEM, [PutRecord(link.record, if_revision=link.record.revision)])
    except RecordConflict:
        return await prove(store, token, birth_date, known)
    if locked:
        raise LinkClosed
    if not right:
        raise WrongBirthDate(TRIES - link.data.tries)
    return proof


async def close_links(store: Store, task: str, state: str) -> list[PutRecord]:
    """Writes that close every open link of a Task, as `used` or `revoked`."""
    records = await store.find_records(SYSTEM, "link", tag=task, state="open")
    for record in records:
        record.state = state
    return [PutRecord(record, if_revision=record.revision) for record in records]

"""Who may send: MSH-3 and MSH-4 decide the hospital, its time zone, and how it wants to be answered.

Senders are records of kind `hl7v2-sender`, keyed `application|facility` (either may be `*`). A sandbox takes any sender.
"""

import re
from dataclasses import asdict, dataclass
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from app.fhir import codec
from app.fhir.errors import BadRequest
from app.intake.hl7v2.ack import Mode
from app.security.access import SYSTEM
from app.store.protocol import PutRecord, Record, Store

KIND = "hl7v2-sender"
NATIONAL = "NATIONAL"  # the owner of what a sandbox takes from senders without an ODS code
_ODS = re.compile(r"[A-Z][A-Z0-9]{2,5}\Z")


@dataclass(frozen=True, slots=True)
class Sender:
    """`authorities` are the assigning authorities whose record numbers are the hospital's own."""

    application: str
    facility: str
    ods: str
    zone: str = "Europe/London"
    mode: Mode = "auto"
    authorities: tuple[str, ...] = ()
    name: str = ""

    @property
    def key(self) -> str:
        return f"{self.application}|{self.facility}"


def looks_like_ods(text: str) -> bool:
    """Three to six capitals and digits that begin with a letter."""
    return bool(_ODS.match(text))


async def find(store: Store, application: str, facility: str, *, sandbox: bool = False) -> Sender | None:
    """The sender with these names, the closest entry first; None where nobody registered it."""
    for key in (f"{application}|{facility}", f"*|{facility}", f"{application}|*"):
        record = await store.get_record(SYSTEM, KIND, key)
        if record is not None and record.state != "revoked":
            return _sender(record.data)
    if not sandbox:
        return None
    return Sender(application, facility, facility if looks_like_ods(facility) else NATIONAL)


async def add(store: Store, sender: Sender) -> None:
    """Register or change a sender. Raises BadRequest with a sentence."""
    if not looks_like_ods(sender.ods):
        raise BadRequest(f"{sender.ods!r} is not an ODS code such as RCB.")
    if sender.application == sender.facility == "*":
        raise BadRequest("A sender needs an application or a facility; both as * would take anybody.")
    try:
        ZoneInfo(sender.zone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise BadRequest(f"{sender.zone!r} is not a time zone such as Europe/London.") from error
    await store.commit(SYSTEM, [PutRecord(Record(KIND, sender.key, body=codec.encode(asdict(sender)), owner=sender.ods))])


async def every(store: Store) -> list[Sender]:
    """All registered senders."""
    records = await store.find_records(SYSTEM, KIND, limit=10_000)
    return [_sender(record.data) for record in records if record.state != "revoked"]


def _sender(data: dict[str, Any]) -> Sender:
    return Sender(**{**data, "authorities": tuple(data.get("authorities", ()))})

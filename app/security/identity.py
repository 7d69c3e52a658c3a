"""Who may come in: clients with API tokens, staff users with passwords and server-side sessions. All are records in the store.

Invariants: no secret is stored (tokens and session cookies as SHA-256 of 192 random bits, passwords as argon2id); an attempt is counted
before the password is looked at, so parallel guessing gains nothing; unknown, locked and wrong take the same work and give the same
answer; a revoked token stops within `CACHE_SECONDS` on every process.
"""

import asyncio
import contextlib
import hashlib
import time
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, get_args

import argon2
import msgspec

from app import clock
from app.fhir.errors import BadRequest, Conflict, NotFound
from app.ids import new_id, new_secret
from app.security.access import SYSTEM, Access, Role
from app.security.scopes import parse_scopes
from app.store.protocol import DeleteRecord, PutRecord, Record, RecordConflict, Store

SESSION_COOKIE = "csor_session"
CACHE_SECONDS = 1.0  # what is changed at another node holds here no later
CACHE_SIZE = 10_000
TRIES = 10  # wrong passwords in a row
LOCK_SECONDS = 15 * 60
SESSION_SECONDS = 12 * 3600
IDLE_SECONDS = 3600
TOUCH_SECONDS = 300  # how often a session's last use is written down
PASSWORD_LENGTH = 12
ROLES = frozenset(get_args(Role)) - {"system", "public"}


@dataclass(frozen=True, slots=True)
class Identity:
    """A client or a user, without secrets."""

    id: str
    name: str
    role: Role
    hospitals: tuple[str, ...]
    scopes: tuple[str, ...] = ()
    state: str = "active"


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _username_key(username: str) -> str:
    """Usernames are compared without case or look-alike forms; the key does not show them."""
    return _hash("user " + unicodedata.normalize("NFKC", username).strip().casefold())


def _entitlement(role: str, hospitals: Iterable[str]) -> dict[str, Any]:
    codes = sorted({code.strip().upper() for code in hospitals})
    if role not in ROLES:
        raise BadRequest(f"'{role}' is not a role. The roles: {', '.join(sorted(ROLES))}.")
    if role in ("hospital", "vendor") and not codes:
        raise BadRequest(f"A {role} identity needs at least one hospital (ODS code).")
    if role == "national" and codes:
        raise BadRequest("A national identity sees every hospital: give it none.")
    return {"role": role, "hospitals": codes}


def _access(kind: str, data: dict[str, Any]) -> Access:
    national = data["role"] == "national"
    return Access(
        who=f"{kind}/{data['id']}",
        role=data["role"],
        hospitals=None if national else frozenset(data["hospitals"]),
        scopes=frozenset(data.get("scopes") or ()),
        name=data["name"],
    )


def _identity(record: Record) -> Identity:
    data = record.data
    return Identity(
        data["id"], data["name"], data["role"], tuple(data["hospitals"]), tuple(data.get("scopes") or ()), record.state
    )


class Identities:
    """Registers, signs in and recognises. One for each process; the store is the truth."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._cache: dict[str, tuple[float, Access]] = {}
        self._hasher = argon2.PasswordHasher()
        self._busy = asyncio.Semaphore(2)  # each verification takes 64 MiB

    # ---- clients

    async def register_client(self, name: str, role: str, hospitals: Iterable[str] = (), scopes: str = "") -> str:
        """The token, which is shown once and not kept. Raises BadRequest."""
        token = new_secret("csor")
        data = {"id": new_id(), "name": name, **_entitlement(role, hospitals), "scopes": sorted(parse_scopes(scopes))}
        record = Record("client", _hash(token), msgspec.json.encode(data), state="active", tag=data["id"])
        await self._store.commit(SYSTEM, [PutRecord(record, if_revision=0)])
        return token

    async def clients(self) -> list[Identity]:
        """All clients, revoked ones too."""
        return [_identity(record) for record in await self._all("client")]

    async def revoke_client(self, id: str) -> None:
        """Raises NotFound."""
        records = await self._store.find_records(SYSTEM, "client", tag=id)
        if not records:
            raise NotFound(f"There is no client {id}.")
        for record in records:
            record.state = "revoked"
            await self._store.commit(SYSTEM, [PutRecord(record)])
            self._cache.pop(record.key, None)

    async def access_for_token(self, token: str) -> Access | None:
        """None for a token that is unknown or revoked."""
        key = _hash(token)
        cached = self._cached(key)
        if cached is not None:
            return cached
        record = await self._store.get_record(SYSTEM, "client", key)
        if record is None or record.state != "active":
            return None
        return self._remember(key, _access("client", record.data))

    # ---- users and sessions

    async def register_user(self, username: str, password: str, role: str, hospitals: Iterable[str] = (), name: str = "") -> str:
        """The user's id. Raises BadRequest for a short password, Conflict for a username that is taken."""
        if len(password) < PASSWORD_LENGTH:
            raise BadRequest(f"A password needs at least {PASSWORD_LENGTH} characters.")
        hashed = await self._hashed(password)
        data = {"id": new_id(), "username": username, "name": name or username, **_entitlement(role, hospitals)}
        data |= {"password": hashed, "tries": 0, "locked_until": 0}
        record = Record("user", _username_key(username), msgspec.json.encode(data), state="active", tag=data["id"])
        try:
            await self._store.commit(SYSTEM, [PutRecord(record, if_revision=0)])
        except RecordConflict:
            raise Conflict("That username is taken.") from None
        return str(data["id"])

    async def users(self) -> list[Identity]:
        """All users."""
        return [_identity(record) for record in await self._all("user")]

    async def revoke_user(self, id: str) -> None:
        """Ends the user's sessions too. Raises NotFound."""
        records = await self._store.find_records(SYSTEM, "user", tag=id)
        if not records:
            raise NotFound(f"There is no user {id}.")
        for record in records:
            record.state = "revoked"
            sessions = await self._store.find_records(SYSTEM, "session", tag=record.key, limit=1000)
            await self._store.commit(SYSTEM, [PutRecord(record), *(DeleteRecord("session", s.key) for s in sessions)])
            for session in sessions:
                self._cache.pop(session.key, None)

    async def sign_in(self, username: str, password: str) -> str | None:
        """A session token for the cookie, or None: the caller is not told whether name, password or lock was the cause."""
        record = await self._attempt(_username_key(username))
        hashed = record.data["password"] if record else self._nobody
        right = await self._verified(hashed, password[:1024])
        if record is None or not right:
            return None
        data = record.data | {"tries": 0, "locked_until": 0}
        if self._hasher.check_needs_rehash(hashed):
            data["password"] = await self._hashed(password)
        record.body = msgspec.json.encode(data)
        token, now = new_secret("csors"), clock.micros()
        session = Record("session", _hash(token), msgspec.json.encode({"user": record.key, "seen": now}), tag=record.key)
        session.due = now + SESSION_SECONDS * 1_000_000
        await self._store.commit(SYSTEM, [PutRecord(record), PutRecord(session, if_revision=0)])
        return token

    async def access_for_session(self, token: str) -> Access | None:
        """None for a session that is unknown, ended, idle too long or past its time, or whose user was revoked."""
        key = _hash(token)
        cached = self._cached(key)
        if cached is not None:
            return cached
        session = await self._store.get_record(SYSTEM, "session", key)
        now = clock.micros()
        if session is None or (session.due or 0) <= now or session.data["seen"] + IDLE_SECONDS * 1_000_000 <= now:
            return None
        user = await self._store.get_record(SYSTEM, "user", session.data["user"])
        if user is None or user.state != "active":
            return None
        if session.data["seen"] + TOUCH_SECONDS * 1_000_000 <= now:
            session.body = msgspec.json.encode(session.data | {"seen": now})
            with contextlib.suppress(RecordConflict):  # another request of the same session was first
                await self._store.commit(SYSTEM, [PutRecord(session, if_revision=session.revision)])
        return self._remember(key, _access("user", user.data))

    async def sign_out(self, token: str) -> None:
        """Ends the session, here at once and elsewhere within `CACHE_SECONDS`."""
        key = _hash(token)
        self._cache.pop(key, None)
        await self._store.commit(SYSTEM, [DeleteRecord("session", key)])

    async def sweep(self) -> int:
        """Removes sessions past their time; the number removed."""
        old = await self._store.find_records(SYSTEM, "session", due_before=clock.micros(), limit=1000)
        if old:
            await self._store.commit(SYSTEM, [DeleteRecord("session", session.key) for session in old])
        return len(old)

    # ---- within

    async def _attempt(self, key: str) -> Record | None:
        """The user with one more try counted; None if unknown, revoked or locked."""
        for _ in range(TRIES + 1):
            record = await self._store.get_record(SYSTEM, "user", key)
            if record is None or record.state != "active":
                return None
            data, now = record.data, clock.micros()
            if data["locked_until"] > now:
                return None
            data["tries"] += 1
            if data["tries"] >= TRIES:
                data |= {"tries": 0, "locked_until": now + LOCK_SECONDS * 1_000_000}
            record.body = msgspec.json.encode(data)
            try:
                await self._store.commit(SYSTEM, [PutRecord(record, if_revision=record.revision)])
            except RecordConflict:
                continue
            return record
        return None

    async def _hashed(self, password: str) -> str:
        async with self._busy:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def _verified(self, hashed: str, password: str) -> bool:
        async with self._busy:
            try:
                return await asyncio.to_thread(self._hasher.verify, hashed, password)
            except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
                return False

    @cached_property
    def _nobody(self) -> str:
        return self._hasher.hash(new_secret("nobody"))

    async def _all(self, kind: str) -> list[Record]:
        records: list[Record] = []
        while page := await self._store.find_records(SYSTEM, kind, after=records[-1].key if records else None, limit=500):
            records += page
        return records

    def _cached(self, key: str) -> Access | None:
        entry = self._cache.get(key)
        return entry[1] if entry and entry[0] > time.monotonic() else None

    def _remember(self, key: str, access: Access) -> Access:
        if len(self._cache) >= CACHE_SIZE:
            self._cache.clear()
        self._cache[key] = (time.monotonic() + CACHE_SECONDS, access)
        return access

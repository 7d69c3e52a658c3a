"""Clients, users and sessions: what lets in, what does not, and what is kept."""

import asyncio
from datetime import timedelta

import pytest

from app import clock
from app.fhir.errors import BadRequest, Conflict, NotFound
from app.security import identity
from app.security.access import SYSTEM
from app.security.identity import Identities
from app.store.protocol import Store

PASSWORD = "correct horse battery"


async def test_a_token_lets_in_as_what_was_registered(identities: Identities) -> None:
    token = await identities.register_client("EPR", "vendor", ["rxx", "RYY"], "system/Patient.rs")
    access = await identities.access_for_token(token)
    assert access is not None and access.role == "vendor" and access.hospitals == {"RXX", "RYY"}
    assert access.scopes == {"system/Patient.rs"} and not access.everything
    assert await identities.access_for_token(token[:-1] + ("a" if token[-1] != "a" else "b")) is None
    assert await identities.access_for_token("") is None


async def test_no_secret_is_stored(identities: Identities, store: Store) -> None:
    token = await identities.register_client("EPR", "national")
    await identities.register_user("someone@example.org", PASSWORD, "national")
    session = await identities.sign_in("someone@example.org", PASSWORD)
    assert session is not None
    for kind in ("client", "user", "session"):
        for record in await store.find_records(SYSTEM, kind):
            kept = record.body.decode() + record.key + record.tag
            assert token not in kept and session not in kept and PASSWORD not in kept
            assert "someone" not in record.key + record.tag


async def test_a_revoked_client_is_out_here_at_once_and_elsewhere_soon(
    identities: Identities, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = Identities(store)
    token = await identities.register_client("EPR", "vendor", ["RXX"])
    assert await identities.access_for_token(token) and await elsewhere.access_for_token(token)
    [client] = await identities.clients()
    await identities.revoke_client(client.id)
    assert await identities.access_for_token(token) is None
    late = identity.time.monotonic() + 1  # the documents promise a second
    monkeypatch.setattr(identity.time, "monotonic", lambda: late)
    assert await elsewhere.access_for_token(token) is None
    assert [c.state for c in await identities.clients()] == ["revoked"]
    with pytest.raises(NotFound):
        await identities.revoke_client("nobody")


@pytest.mark.parametrize(
    ("role", "hospitals", "scopes"),
    [
        ("vendor", [], ""),
        ("hospital", [], ""),
        ("national", ["RXX"], ""),
        ("system", [], ""),
        ("king", [], ""),
        ("vendor", ["RXX"], "all"),
    ],
)
async def test_what_cannot_be_registered(identities: Identities, role: str, hospitals: list[str], scopes: str) -> None:
    with pytest.raises(BadRequest):
        await identities.register_client("x", role, hospitals, scopes)


async def test_sign_in_and_out(identities: Identities) -> None:
    await identities.register_user("Lead", PASSWORD, "hospital", ["RXX"], name="Audit lead")
    session = await identities.sign_in(" lead ", PASSWORD)
    assert session is not None
    access = await identities.access_for_session(session)
    assert access is not None and access.name == "Audit lead" and access.hospitals == {"RXX"}
    await identities.sign_out(session)
    assert await identities.access_for_session(session) is None
    assert await identities.sign_in("lead", PASSWORD + "x") is None
    assert await identities.sign_in("nobody", PASSWORD) is None


async def test_usernames_are_taken_once_and_passwords_are_long(identities: Identities) -> None:
    await identities.register_user("Lead", PASSWORD, "national")
    with pytest.raises(Conflict):
        await identities.register_user("LEAD", PASSWORD, "national")
    with pytest.raises(BadRequest):
        await identities.register_user("other", "short", "national")


async def test_parallel_guessing_is_locked_out(identities: Identities, monkeypatch: pytest.MonkeyPatch) -> None:
    await identities.register_user("lead", PASSWORD, "national")
    guesses = [identities.sign_in("lead", f"guess number {n}") for n in range(identity.TRIES + 5)]
    assert set(await asyncio.gather(*guesses)) == {None}
    assert await identities.sign_in("lead", PASSWORD) is None, "locked"
    later = clock.now() + timedelta(seconds=identity.LOCK_SECONDS + 1)
    monkeypatch.setattr(clock, "now", lambda: later)
    assert await identities.sign_in("lead", PASSWORD) is not None


async def test_sessions_end_by_idleness_and_by_age(identities: Identities, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    await identities.register_user("lead", PASSWORD, "national")
    session = await identities.sign_in("lead", PASSWORD)
    assert session is not None
    start = clock.now()

    async def at(seconds: float) -> bool:
        monkeypatch.setattr(clock, "now", lambda: start + timedelta(seconds=seconds))
        return await Identities(store).access_for_session(session) is not None

    used = range(0, identity.SESSION_SECONDS, identity.IDLE_SECONDS - 60)
    assert [await at(seconds) for seconds in used] == [True] * len(used)
    assert not await at(identity.SESSION_SECONDS + 1)
    assert await Identities(store).sweep() == 1 and await store.count_records(SYSTEM, "session") == 0


async def test_an_idle_session_ends(identities: Identities, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    await identities.register_user("lead", PASSWORD, "national")
    session = await identities.sign_in("lead", PASSWORD)
    late = clock.now() + timedelta(seconds=identity.IDLE_SECONDS + 1)
    monkeypatch.setattr(clock, "now", lambda: late)
    assert session is not None and await Identities(store).access_for_session(session) is None


async def test_a_revoked_user_loses_every_session(identities: Identities) -> None:
    id = await identities.register_user("lead", PASSWORD, "national")
    sessions = [await identities.sign_in("lead", PASSWORD) for _ in range(2)]
    for session in sessions:
        assert session is not None and await identities.access_for_session(session)
    await identities.revoke_user(id)
    for session in sessions:
        assert session is not None and await identities.access_for_session(session) is None
    assert await identities.sign_in("lead", PASSWORD) is None


async def test_the_cache_is_bounded(identities: Identities, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "CACHE_SIZE", 3)
    for n in range(8):
        await identities.access_for_token(await identities.register_client(str(n), "national"))
    assert len(identities._cache) <= 3

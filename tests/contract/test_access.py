"""What a caller may not see does not exist, whichever way it is asked for."""

import pytest

from app.fhir.errors import Conflict, Forbidden, NotFound
from app.fhir.search.types import AnyOf, Chain, Has, Ids, Include, Match, Missing, Plan, ReferenceValue, SortKey
from app.security.access import PUBLIC, SANDBOX, SHARED, SYSTEM
from app.store.protocol import Delete, DeleteRecord, Guard, GuardFailed, Put, PutRecord, Record, Share, Store
from tests.contract.builders import (
    AT_NORTH,
    AT_SOUTH,
    BIRTHDATE,
    FAMILY,
    NATIONAL,
    NOBODY,
    NORTH,
    PARENT,
    SOUTH,
    SUBJECT,
    by_family,
    by_identifier,
    identified,
    observation,
    of_patient,
    patient,
)


@pytest.fixture
async def two_hospitals(store: Store) -> Store:
    """`n` is North's, `s` South's, `b` both's, `x` nobody's, each with an observation; `org` is shared with all."""
    await store.commit(AT_NORTH, [Put(identified("n", "n", birthDate="2020-01-01")), Put(observation("on", "n"))])
    await store.commit(AT_SOUTH, [Put(identified("s", "s", birthDate="2020-01-01")), Put(observation("os", "s"))])
    await store.commit(SYSTEM, [Put(identified("b", "b"), owners=frozenset({NORTH, SOUTH})), Put(observation("ob", "b"))])
    await store.commit(SYSTEM, [Put(identified("x", "x")), Put(observation("ox", "x"))])
    await store.commit(SYSTEM, [Put({"resourceType": "Organization", "id": "org", "name": "all"}, owners=frozenset({SHARED}))])
    return store


SEES = [
    (AT_NORTH, {"n", "b"}),
    (AT_SOUTH, {"s", "b"}),
    (SYSTEM, {"n", "s", "b", "x"}),
    (NATIONAL, {"n", "s", "b", "x"}),
    (SANDBOX, {"n", "s", "b", "x"}),
    (NOBODY, set()),
    (PARENT, set()),
    (PUBLIC, set()),
]
roles = pytest.mark.parametrize(("access", "children"), SEES, ids=[access.role + "-" + access.who for access, _ in SEES])


def ids(found) -> set[str]:
    return {stored.id for stored in found.matches}


@roles
async def test_reads(two_hospitals: Store, access, children) -> None:
    store = two_hospitals
    for id in "nsbx":
        for attempt in (
            lambda id=id: store.read(access, "Patient", id),
            lambda id=id: store.vread(access, "Patient", id, 1),
            lambda id=id: store.history(access, "Patient", id),
        ):
            if id in children:
                await attempt()
            else:
                with pytest.raises(NotFound):
                    await attempt()
    many = await store.read_many(access, [f"Patient/{id}" for id in "nsbx"])
    assert {stored.id for stored in many} == children


@roles
async def test_lists(two_hospitals: Store, access, children) -> None:
    store = two_hospitals
    observations = {f"o{id}" for id in children}
    assert ids(await store.history(access, "Patient")) == children
    assert ids(await store.history(access)) >= children
    assert {stored.id async for stored in store.scan(access, ["Patient"])} == children
    assert (await store.counts(access)).get("Observation", 0) == len(observations)
    whole = await store.search(access, Plan((), total="accurate"))
    assert whole.total == len(whole.matches)
    assert {stored.id for stored in whole.matches if stored.type == "Patient"} == children


@roles
async def test_searches(two_hospitals: Store, access, children) -> None:
    store = two_hospitals
    observations = {f"o{id}" for id in children}
    family = by_family("alpha")
    plans = [
        (Plan(("Patient",)), children),
        (Plan(("Patient",), (family,)), children),
        (Plan(("Patient",), (by_family("beta", "contains"),)), set()),
        (Plan(("Patient",), (Match(FAMILY, family.values, "not"),)), set()),
        (Plan(("Patient",), (Missing(BIRTHDATE, True),)), children & {"b", "x"}),
        (Plan(("Patient",), (Missing(BIRTHDATE, False),)), children & {"n", "s"}),
        (Plan(("Patient",), (AnyOf((family, Missing(BIRTHDATE, True))),)), children),
        (Plan(("Patient",), (family,), sort=(SortKey(BIRTHDATE),)), children),
        (Plan(("Observation",), (Chain(SUBJECT, ("Patient",), family),)), observations),
        (Plan(("Patient",), (Has("Observation", SUBJECT, of_any()),)), children),
    ]
    for plan, expected in plans:
        found = await store.search(access, Plan(**{**fields(plan), "total": "accurate"}))
        assert (ids(found), found.total) == (expected, len(expected)), plan


def of_any() -> Match:
    return Match(SUBJECT, tuple(ReferenceValue("Patient", id) for id in "nsbx"))


def fields(plan: Plan) -> dict:
    return {name: getattr(plan, name) for name in plan.__slots__}


async def test_steps_to_another_resource_pass_the_same_gate(two_hospitals: Store) -> None:
    """North's own observation of South's child tells North nothing of the child, and the child nothing of it to South."""
    store = two_hospitals
    await store.commit(AT_NORTH, [Put(observation("spy", "s"))])
    chained = Plan(("Observation",), (Chain(SUBJECT, ("Patient",), by_family("alpha")),))
    assert "spy" not in ids(await store.search(AT_NORTH, chained))
    assert "spy" in ids(await store.search(SYSTEM, chained))
    probed = Plan(("Observation",), (Ids(("spy",)), *chained.where))
    assert ids(await store.search(AT_NORTH, probed)) == set()
    assert ids(await store.search(SYSTEM, probed)) == {"spy"}
    has = Plan(("Patient",), (Has("Observation", SUBJECT, Match(SUBJECT, (ReferenceValue("Patient", "s"),))),))
    await store.commit(SYSTEM, [Delete("Observation", "os")])
    assert ids(await store.search(AT_SOUTH, has)) == set()
    assert ids(await store.search(SYSTEM, has)) == {"s"}
    probed = Plan(("Patient",), (Ids(("s",)), *has.where))
    assert ids(await store.search(AT_SOUTH, probed)) == set()
    assert ids(await store.search(SYSTEM, probed)) == {"s"}
    including = Plan(("Observation",), (of_patient("s"),), includes=(Include("Observation", (SUBJECT,)),))
    found = await store.search(AT_NORTH, including)
    assert (ids(found), found.included) == ({"spy"}, [])
    reverse = Plan(("Patient",), (by_family("alpha"),), revincludes=(Include("Observation", (SUBJECT,)),))
    assert {stored.id for stored in (await store.search(AT_SOUTH, reverse)).included} == {"ob"}


async def test_nobody_changes_what_they_cannot_see(two_hospitals: Store) -> None:
    store = two_hospitals
    with pytest.raises(NotFound):
        await store.commit(AT_NORTH, [Put(patient("s", "Taken"))])
    with pytest.raises(NotFound):
        await store.commit(AT_NORTH, [Put(patient("s", "Taken"), if_version=1)])
    assert await store.commit(AT_NORTH, [Delete("Patient", "s")]) == [None]
    assert (await store.read(SYSTEM, "Patient", "s")).version == 1


async def test_what_is_shared_with_all_is_changed_by_the_nation_only(two_hospitals: Store) -> None:
    store = two_hospitals
    assert (await store.read(AT_NORTH, "Organization", "org")).id == "org"
    for write in (Put({"resourceType": "Organization", "id": "org", "name": "mine"}), Delete("Organization", "org")):
        with pytest.raises(Forbidden):
            await store.commit(AT_NORTH, [write])
    await store.commit(NATIONAL, [Put({"resourceType": "Organization", "id": "org", "name": "ours"})])
    assert (await store.read(AT_SOUTH, "Organization", "org")).version == 2


@pytest.mark.parametrize("access", [NOBODY, PARENT], ids=["public", "parent"])
async def test_the_public_and_parents_store_nothing(store: Store, access) -> None:
    for write in (Put(patient("a")), Delete("Patient", "a"), PutRecord(Record("k", "x"))):
        with pytest.raises(Forbidden):
            await store.commit(access, [write])


async def test_a_caller_without_hospital_stores_nothing(store: Store) -> None:
    from app.security.access import Access

    with pytest.raises(Forbidden):
        await store.commit(Access("lost", "hospital", frozenset()), [Put(patient("a"))])


async def test_owner_marks_join_and_never_go_by_another_hand(store: Store) -> None:
    (made,) = await store.commit(AT_NORTH, [Put(patient("a"))])
    assert made and made.owners == {NORTH}
    await store.commit(SYSTEM, [Share("Patient", "a", frozenset({SOUTH}))])
    (changed,) = await store.commit(AT_SOUTH, [Put(patient("a", "Beta"))])
    assert changed and changed.owners == {NORTH, SOUTH}
    with pytest.raises(Forbidden):
        await store.commit(AT_SOUTH, [Put(patient("a"), owners=frozenset({NORTH}))])
    (kept,) = await store.commit(AT_SOUTH, [Put(patient("a"), owners=frozenset({SOUTH}))])
    assert kept and kept.owners == {NORTH, SOUTH}
    (set_by_system,) = await store.commit(SYSTEM, [Put(patient("a"), owners=frozenset({SOUTH}))])
    assert set_by_system and set_by_system.owners == {SOUTH}
    with pytest.raises(NotFound):
        await store.read(AT_NORTH, "Patient", "a")
    assert await store.check() == []


async def test_the_servers_own_writes_carry_the_marks_of_the_child(store: Store) -> None:
    await store.commit(SYSTEM, [Put(patient("a"), owners=frozenset({NORTH})), Put(observation("o", "a"))])
    (later,) = await store.commit(SYSTEM, [Put(observation("later", "a"))])
    assert later and later.owners == {NORTH}
    assert (await store.read(AT_NORTH, "Observation", "o")).owners == {NORTH}


async def test_sharing_makes_no_version_and_is_the_servers_alone(store: Store) -> None:
    await store.commit(AT_NORTH, [Put(identified("a", "a"))])
    for access in (AT_NORTH, NATIONAL):
        with pytest.raises(Forbidden):
            await store.commit(access, [Share("Patient", "a", frozenset({SOUTH}))])
    assert await store.commit(SYSTEM, [Share("Patient", "a", frozenset({SOUTH}))]) == [None]
    assert ids(await store.search(AT_SOUTH, by_identifier("a"))) == {"a"}
    assert (await store.read(AT_SOUTH, "Patient", "a")).version == 1
    assert await store.feed_head() == 1
    with pytest.raises(NotFound):
        await store.commit(SYSTEM, [Share("Patient", "never", frozenset({SOUTH}))])
    assert await store.check() == []


async def test_a_tombstone_is_known_to_its_owners_only(store: Store) -> None:
    await store.commit(AT_NORTH, [Put(patient("a"))])
    await store.commit(AT_NORTH, [Delete("Patient", "a")])
    with pytest.raises(NotFound):
        await store.read(AT_SOUTH, "Patient", "a")
    with pytest.raises(NotFound):
        await store.commit(AT_SOUTH, [Put(patient("a"))])
    assert ids(await store.history(AT_SOUTH)) == set()
    assert len((await store.history(AT_NORTH, "Patient", "a")).matches) == 2


async def test_a_guard_sees_what_its_caller_sees(two_hospitals: Store) -> None:
    store = two_hospitals
    await store.commit(AT_NORTH, [Put(identified("n2", "s"))], [Guard(by_identifier("s"))])
    with pytest.raises(GuardFailed):
        await store.commit(SYSTEM, [Put(identified("n3", "s"))], [Guard(by_identifier("s"))])


async def test_records_belong_to_hospitals_or_to_the_server(store: Store) -> None:
    await store.commit(
        SYSTEM, [PutRecord(Record("k", key, owner=owner)) for key, owner in (("n", NORTH), ("s", SOUTH), ("z", ""))]
    )
    assert await store.get_record(AT_NORTH, "k", "n") is not None
    assert await store.get_record(AT_NORTH, "k", "s") is None
    assert await store.get_record(AT_NORTH, "k", "z") is None
    assert [record.key for record in await store.find_records(AT_SOUTH, "k")] == ["s"]
    assert await store.count_records(AT_SOUTH, "k") == 1
    assert await store.count_records(SYSTEM, "k") == 3
    for access in (NOBODY, PARENT):
        assert await store.find_records(access, "k") == []
        assert await store.get_record(access, "k", "z") is None
    with pytest.raises(Forbidden):
        await store.commit(AT_NORTH, [PutRecord(Record("k", "new", owner=SOUTH))])
    for write in (PutRecord(Record("k", "s", owner=NORTH)), DeleteRecord("k", "z")):
        with pytest.raises((Forbidden, Conflict)):
            await store.commit(AT_NORTH, [write])
    await store.commit(AT_NORTH, [PutRecord(Record("k", "mine", owner=NORTH)), DeleteRecord("k", "n")])
    assert [record.key for record in await store.find_records(AT_NORTH, "k")] == ["mine"]

"""One child, one Patient: finding, sharing, racing, joining."""

import asyncio

import pytest

from app import names
from app.registry.patients import IdentityConflict, create_child, find_child, identifiers
from app.registry.plans import by_identifier
from app.security.access import SYSTEM, Access
from app.store.protocol import Put, Store
from tests.registry.builders import NUMBER, OTHER_NUMBER, patient, stay

ZAA = Access("aa", "hospital", frozenset(("ZAA",)))
ZBB = Access("bb", "hospital", frozenset(("ZBB",)))


async def test_an_unknown_child_is_none(store: Store) -> None:
    assert await find_child(store, ZAA, nhs_number=NUMBER, mrn=("ZAA", "1")) is None
    assert await find_child(store, ZAA) is None


async def test_a_hospital_finds_its_child_by_its_own_number(store: Store) -> None:
    made = await create_child(store, ZAA, patient("p", mrn=("ZAA", "1")))
    found = await find_child(store, ZAA, mrn=("ZAA", "1"))
    assert found is not None
    assert found.id == made.id
    assert made.owners == {"ZAA"}


async def test_the_same_number_of_another_hospital_is_another_child(store: Store) -> None:
    await create_child(store, ZAA, patient("p", mrn=("ZAA", "1")))
    assert await find_child(store, ZBB, mrn=("ZBB", "1")) is None
    assert await find_child(store, ZBB, mrn=("ZAA", "1")) is None


async def test_a_second_hospital_with_the_nhs_number_shares_the_child_and_nothing_else(store: Store) -> None:
    await create_child(store, ZAA, patient("p", nhs=NUMBER, mrn=("ZAA", "1")))
    await store.commit(ZAA, [Put(stay("e", "2023-01-01"))])
    found = await find_child(store, ZBB, nhs_number="999 000 0018", mrn=("ZBB", "9"), birth_date="2023-01-01")
    assert found is not None
    assert found.owners == {"ZAA", "ZBB"}
    assert (await store.read(ZBB, "Patient", "p")).version == 1
    assert await store.read_many(ZBB, ["Encounter/e"]) == []


async def test_looking_without_sharing_shares_nothing(store: Store) -> None:
    await create_child(store, ZAA, patient("p", nhs=NUMBER))
    assert await find_child(store, ZBB, nhs_number=NUMBER, share=False) is not None
    assert await store.read_many(ZBB, ["Patient/p"]) == []


async def test_another_date_of_birth_contradicts_the_number(store: Store) -> None:
    await create_child(store, ZAA, patient("p", nhs=NUMBER))
    with pytest.raises(IdentityConflict):
        await find_child(store, ZBB, nhs_number=NUMBER, birth_date="2022-05-05")
    assert await store.read_many(ZBB, ["Patient/p"]) == []


async def test_the_childs_own_hospital_may_correct_the_date_of_birth(store: Store) -> None:
    await create_child(store, ZAA, patient("p", nhs=NUMBER, mrn=("ZAA", "1")))
    assert await find_child(store, ZAA, nhs_number=NUMBER, mrn=("ZAA", "1"), birth_date="2022-05-05") is not None


async def test_a_number_that_fails_its_check_finds_nobody(store: Store) -> None:
    await create_child(store, ZAA, patient("p", nhs="9990000019"))
    assert await find_child(store, ZAA, nhs_number="9990000019") is None


async def test_two_different_nhs_numbers_of_one_record_are_a_conflict(store: Store) -> None:
    await create_child(store, ZAA, patient("p", nhs=NUMBER, mrn=("ZAA", "1")))
    with pytest.raises(IdentityConflict):
        await find_child(store, ZAA, nhs_number=OTHER_NUMBER, mrn=("ZAA", "1"))


async def test_a_number_learned_late_joins_the_two_records(store: Store) -> None:
    await create_child(store, ZAA, patient("national", nhs=NUMBER, mrn=("ZAA", "1")))
    await create_child(store, ZBB, patient("local", mrn=("ZBB", "9")))
    await store.commit(ZBB, [Put(stay("e", "2023-01-01", of="local"))])
    found = await find_child(store, ZBB, nhs_number=NUMBER, mrn=("ZBB", "9"), birth_date="2023-01-01")
    assert found is not None
    assert found.id == "national"
    assert "9" in [entry["value"] for entry in found.resource["identifier"]]
    [encounter] = await store.read_many(ZBB, ["Encounter/e"])
    assert encounter.resource["subject"]["reference"] == "Patient/national"
    assert encounter.owners == {"ZBB"}
    again = await find_child(store, ZBB, mrn=("ZBB", "9"))
    assert again is not None
    assert again.id == "national"


async def test_two_records_of_one_number_stored_over_fhir_become_one(store: Store) -> None:
    for access, id in ((ZAA, "a"), (ZBB, "b")):  # past `create_child`: a hospital's system cannot see what another's stored
        await store.commit(access, [Put(patient(id, nhs=NUMBER)), Put(stay(f"e-{id}", "2023-01-01", of=id))])
    found = await find_child(store, ZBB, nhs_number=NUMBER, birth_date="2023-01-01")
    assert found is not None
    assert (found.id, found.owners) == ("a", {"ZAA", "ZBB"})
    assert (await store.read(ZBB, "Encounter", "e-b")).resource["subject"]["reference"] == "Patient/a"
    assert await store.read_many(ZBB, ["Encounter/e-a"]) == []


@pytest.mark.parametrize("other", [{"birthDate": "2021-02-02"}, {"birthDate": None}])
async def test_two_records_of_one_number_that_may_be_two_children_stay_two(store: Store, other: dict[str, str | None]) -> None:
    second = {key: value for key, value in patient("b", nhs=NUMBER, **other).items() if value is not None}
    await store.commit(ZAA, [Put(patient("a", nhs=NUMBER))])
    await store.commit(ZBB, [Put(second)])
    head = await store.feed_head()
    with pytest.raises(IdentityConflict):
        await find_child(store, ZBB, nhs_number=NUMBER)
    assert await store.feed_head() == head


async def test_records_of_different_children_are_not_joined(store: Store) -> None:
    await create_child(store, ZAA, patient("national", nhs=NUMBER))
    await create_child(store, ZBB, patient("local", mrn=("ZBB", "9"), birthDate="2021-02-02"))
    with pytest.raises(IdentityConflict):
        await find_child(store, ZBB, nhs_number=NUMBER, mrn=("ZBB", "9"))


async def test_two_hospitals_at_the_same_moment_make_one_patient(store: Store) -> None:
    hospitals = [Access(f"h{n}", "hospital", frozenset((f"Z{n:02d}",))) for n in range(20)]
    made = await asyncio.gather(
        *(create_child(store, access, patient(f"p{n}", nhs=NUMBER, mrn=(f"Z{n:02d}", "1"))) for n, access in enumerate(hospitals))
    )
    assert len({stored.id for stored in made}) == 1
    found = await store.search(SYSTEM, by_identifier("Patient", (names.NHS_NUMBER, NUMBER)))
    assert len(found.matches) == 1
    assert found.matches[0].owners == {f"Z{n:02d}" for n in range(20)}


def test_old_identifiers_are_not_the_childs_number() -> None:
    child = patient("p")
    child["identifier"] = [{"system": "s", "value": "1", "use": "old"}, {"system": "s", "value": "2"}, {"system": "s"}]
    assert identifiers(child, "s") == ["2"]

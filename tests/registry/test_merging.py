"""Merges: everything of the child follows, in any order of messages, and doing it again does nothing."""

from itertools import permutations

import pytest
from fhir.resources.R4B import get_fhir_model_class

from app import names
from app.fhir.validation import validate
from app.registry.merging import merge, merge_writes, retained
from app.registry.patients import IdentityConflict, create_child, find_child
from app.security.access import SYSTEM, Access
from app.store.protocol import GuardFailed, Put, Store
from tests.registry.builders import NUMBER, case, diagnosis, observation, patient, procedure, stay

ZAA = Access("aa", "hospital", frozenset(("ZAA",)))
ZBB = Access("bb", "hospital", frozenset(("ZBB",)))


async def _two(store: Store, **discarded: object) -> None:
    await create_child(store, ZAA, patient("kept", nhs=NUMBER, mrn=("ZAA", "K")))
    await create_child(store, ZAA, patient("gone", mrn=("ZAA", "G"), **discarded))


async def _merge(store: Store, into: str, gone: str) -> None:
    await merge(store, ZAA, await store.read(SYSTEM, "Patient", into), await store.read(SYSTEM, "Patient", gone))


async def test_everything_that_referred_to_the_discarded_record_refers_to_the_retained(store: Store) -> None:
    await _two(store)
    everything = [
        stay("e", "2023-01-01", of="gone"),
        case("c", of="gone"),
        procedure("o", "2023-01-02", of="gone", stay="e"),
        diagnosis("d", "Q39.1", of="gone", stay="e"),
        observation("x", names.OUTCOME, "quality-of-life-level", "2024-01-01", of="gone", valueInteger=1),
        {"resourceType": "Task", "id": "t", "status": "requested", "intent": "order", "for": {"reference": "Patient/gone"}},
        {"resourceType": "Consent", "id": "n", "patient": {"reference": "Patient/gone"}, "status": "active"},
        {"resourceType": "Communication", "id": "m", "status": "completed", "recipient": [{"reference": "Patient/gone"}]},
        {"resourceType": "RelatedPerson", "id": "r", "patient": {"reference": "Patient/gone"}},
    ]
    await store.commit(ZAA, [Put(each) for each in everything])
    await _merge(store, "kept", "gone")
    for each in everything:
        stored = await store.read(ZAA, each["resourceType"], each["id"])
        assert b"Patient/gone" not in stored.raw, stored.reference
        assert b"Patient/kept" in stored.raw, stored.reference
        assert stored.owners == {"ZAA"}


async def test_the_two_records_name_each_other_and_the_merge_has_a_provenance(store: Store) -> None:
    await _two(store)
    await _merge(store, "kept", "gone")
    gone = (await store.read(ZAA, "Patient", "gone")).resource
    kept = (await store.read(ZAA, "Patient", "kept")).resource
    assert gone["active"] is False
    assert gone["link"] == [{"other": {"reference": "Patient/kept"}, "type": "replaced-by"}]
    assert kept["link"] == [{"other": {"reference": "Patient/gone"}, "type": "replaces"}]
    assert {"system": names.mrn_system("ZAA"), "value": "G", "use": "old"} in kept["identifier"]
    [provenance] = [stored async for stored in store.scan(SYSTEM, ["Provenance"])]
    for merged in (provenance, await store.read(ZAA, "Patient", "kept"), await store.read(ZAA, "Patient", "gone")):
        assert validate(merged.resource) == []
        get_fhir_model_class(merged.type).model_validate_json(merged.raw)  # a second opinion
    found = await find_child(store, ZAA, mrn=("ZAA", "G"))
    assert found is not None
    assert found.id == "kept"


@pytest.mark.parametrize("known", [{}, {"deceasedBoolean": False}, {"deceasedBoolean": True}])
async def test_a_death_told_only_to_the_discarded_record_is_not_lost(store: Store, known: dict[str, bool]) -> None:
    await _two(store, deceasedDateTime="2023-03-03")
    await store.commit(ZAA, [Put((await store.read(ZAA, "Patient", "kept")).resource | known)])
    await _merge(store, "kept", "gone")
    kept = (await store.read(ZAA, "Patient", "kept")).resource
    assert kept["deceasedDateTime"] == "2023-03-03"
    assert "deceasedBoolean" not in kept


async def test_what_the_retained_record_knows_of_a_death_stands(store: Store) -> None:
    await _two(store, deceasedBoolean=False)
    await store.commit(ZAA, [Put((await store.read(ZAA, "Patient", "kept")).resource | {"deceasedDateTime": "2023-04-04"})])
    await _merge(store, "kept", "gone")
    kept = (await store.read(ZAA, "Patient", "kept")).resource
    assert (kept["deceasedDateTime"], "deceasedBoolean" in kept) == ("2023-04-04", False)


async def test_the_nhs_number_of_the_discarded_record_becomes_the_retained_ones(store: Store) -> None:
    await create_child(store, ZAA, patient("kept", mrn=("ZAA", "K")))
    await create_child(store, ZAA, patient("gone", nhs=NUMBER))
    await _merge(store, "kept", "gone")
    assert {"system": names.NHS_NUMBER, "value": NUMBER} in (await store.read(ZAA, "Patient", "kept")).resource["identifier"]


async def test_merging_again_and_merging_back_do_nothing(store: Store) -> None:
    await _two(store)
    await _merge(store, "kept", "gone")
    head = await store.feed_head()
    await _merge(store, "kept", "gone")
    await _merge(store, "gone", "kept")
    assert await store.feed_head() == head


@pytest.mark.parametrize("order", list(permutations([("b", "a"), ("c", "b"), ("d", "c")])))
async def test_chains_end_in_one_record_in_any_order(store: Store, order: tuple[tuple[str, str], ...]) -> None:
    for id in "abcd":
        await create_child(store, ZAA, patient(id, mrn=("ZAA", id)))
        await store.commit(ZAA, [Put(stay(f"e{id}", "2023-01-01", of=id))])
    for into, gone in order:
        await _merge(store, into, gone)
    for id in "abcd":
        assert (await retained(store, await store.read(SYSTEM, "Patient", id))).id == "d"
        subject = (await store.read(ZAA, "Encounter", f"e{id}")).resource["subject"]["reference"]
        assert subject == "Patient/d"


async def test_a_hospital_of_the_discarded_record_sees_the_retained(store: Store) -> None:
    await create_child(store, ZAA, patient("kept", nhs=NUMBER))
    await create_child(store, ZBB, patient("gone", mrn=("ZBB", "G")))
    await _merge(store, "kept", "gone")
    assert (await store.read(ZBB, "Patient", "kept")).owners == {"ZAA", "ZBB"}


async def test_what_arrives_between_search_and_commit_is_not_left_behind(store: Store) -> None:
    await _two(store)
    kept, gone = await store.read(SYSTEM, "Patient", "kept"), await store.read(SYSTEM, "Patient", "gone")
    writes, guards = await merge_writes(store, ZAA, kept, gone)
    await store.commit(ZAA, [Put(stay("late", "2023-01-01", of="gone"))])
    with pytest.raises(GuardFailed):
        await store.commit(SYSTEM, writes, guards)
    await merge(store, ZAA, kept, gone)
    assert (await store.read(ZAA, "Encounter", "late")).resource["subject"]["reference"] == "Patient/kept"


async def test_a_circle_made_by_hand_is_refused_and_not_followed_for_ever(store: Store) -> None:
    ring = [
        patient(id) | {"link": [{"other": {"reference": f"Patient/{other}"}, "type": "replaced-by"}]}
        for id, other in ("ab", "ba")
    ]
    await store.commit(ZAA, [Put(each) for each in ring])
    with pytest.raises(IdentityConflict):
        await retained(store, await store.read(SYSTEM, "Patient", "a"))


async def test_a_link_written_by_hand_does_not_open_another_hospitals_child(store: Store) -> None:
    await create_child(store, ZBB, patient("theirs", nhs=NUMBER))
    forged = patient("mine", mrn=("ZAA", "1")) | {"link": [{"other": {"reference": "Patient/theirs"}, "type": "replaced-by"}]}
    await store.commit(ZAA, [Put(forged)])
    found = await find_child(store, ZAA, mrn=("ZAA", "1"))
    assert found is not None
    assert found.id == "mine"

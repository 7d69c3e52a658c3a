"""Case facts follow the feed: whatever changes, in whatever order, they end as the resources say."""

from app import names
from app.outcomes.case_facts import CaseFacts
from app.registry.consumer import CaseFactsConsumer, all_case_facts, case_facts
from app.registry.merging import merge
from app.security.access import SYSTEM, Access
from app.store.protocol import Delete, Put, Store
from tests.registry.builders import case, diagnosis, observation, patient, procedure, stay

ZAA = Access("aa", "hospital", frozenset(("ZAA",)))
ZBB = Access("bb", "hospital", frozenset(("ZBB",)))
INDEX = procedure("index", "2023-01-03", kind="major-emergency")


async def _all(store: Store, access: Access = SYSTEM, hospital: str | None = None) -> list[CaseFacts]:
    await CaseFactsConsumer(store).drain()
    return [facts async for facts in all_case_facts(store, access, hospital)]


async def test_a_case_appears_changes_and_goes(store: Store) -> None:
    await store.commit(ZAA, [Put(patient()), Put(INDEX)])
    assert await _all(store) == []
    await store.commit(ZAA, [Put(case())])
    [facts] = await _all(store)
    assert facts.operations[0].on == "2023-01-03"
    await store.commit(ZAA, [Put(stay("s", "2023-03-01", "2023-03-03")), Put(diagnosis("d", "N39.0", stay="s"))])
    [facts] = await _all(store)
    assert [i.on for i in facts.infections] == ["2023-03-01"]
    await store.commit(ZAA, [Put(patient(deceasedDateTime="2023-05-01"))])
    [facts] = await _all(store)
    assert facts.died_on == "2023-05-01"
    await store.commit(ZAA, [Delete("Condition", "d")])
    [facts] = await _all(store)
    assert facts.infections == ()
    await store.commit(ZAA, [Put(case(status="entered-in-error"))])
    assert await _all(store) == []
    await store.commit(ZAA, [Put(case())])
    assert len(await _all(store)) == 1
    await store.commit(ZAA, [Delete("EpisodeOfCare", "case")])
    assert await _all(store) == []


async def test_a_case_goes_with_its_child(store: Store) -> None:
    its = [Put(patient()), Put(case()), Put(INDEX)]
    gone = (Delete("Patient", "p"), Put(case() | {"patient": {"display": "not known any more"}}), Put(case(of="nobody")))
    for how in gone:
        await store.commit(ZAA, its)
        assert len(await _all(store)) == 1
        await store.commit(ZAA, [how])
        assert await _all(store) == []
        await CaseFactsConsumer(store).rebuild()
        assert await _all(store) == []
    await store.commit(ZAA, its)
    assert len(await _all(store)) == 1


async def test_what_the_consumer_keeps_is_what_the_resources_say(store: Store) -> None:
    told = observation("g", names.CHILD_FACTOR, "gestation", "2023-01-03", valueQuantity={"value": 35, "code": "wk"})
    result = observation("crp", names.LOINC, "1988-5", "2023-01-03", source="hl7v2", valueQuantity={"value": 40, "code": "mg/L"})
    await store.commit(ZAA, [Put(each) for each in (patient(), case(), INDEX, told, result)])
    assert await _all(store) == [await case_facts(store, "case")]
    assert (await case_facts(store, "case")).factors.gestation_weeks == 35


async def test_a_hospital_sees_the_facts_of_its_own_cases(store: Store) -> None:
    for access, hospital, id in ((ZAA, "ZAA", "a"), (ZBB, "ZBB", "b")):
        its = [patient(id), case(id, of=id, hospital=hospital), procedure(id, "2023-01-03", kind="major-planned", of=id)]
        await store.commit(access, [Put(each) for each in its])
    assert [facts.case for facts in await _all(store)] == ["a", "b"]
    assert [facts.case for facts in await _all(store, ZAA)] == ["a"]
    assert [facts.case for facts in await _all(store, ZBB, "ZBB")] == ["b"]
    assert await _all(store, ZAA, "ZBB") == []


async def test_a_merge_moves_the_case_to_the_retained_child(store: Store) -> None:
    await store.commit(
        ZAA,
        [Put(patient()), Put(patient("gone")), Put(case(of="gone")), Put({**INDEX, "subject": {"reference": "Patient/gone"}})],
    )
    [facts] = await _all(store)
    assert facts.patient == "gone"
    await merge(store, ZAA, await store.read(SYSTEM, "Patient", "p"), await store.read(SYSTEM, "Patient", "gone"))
    [facts] = await _all(store)
    assert (facts.patient, len(facts.operations)) == ("p", 1)


async def test_a_resource_filed_under_the_wrong_child_counts_for_neither_once_moved(store: Store) -> None:
    for id in ("p", "q"):
        its = [patient(id), case(f"case-{id}", of=id), procedure(f"index-{id}", "2023-01-03", kind="major-planned", of=id)]
        await store.commit(ZAA, [Put(each) for each in its])
    wrong = procedure("x", "2023-02-03", source="hes", code="G152")
    await store.commit(ZAA, [Put(wrong)])
    assert [len(facts.operations) for facts in await _all(store)] == [2, 1]
    await store.commit(ZAA, [Put({**wrong, "subject": {"reference": "Patient/q"}})])
    assert [len(facts.operations) for facts in await _all(store)] == [1, 2]


async def test_rebuilding_makes_the_same_facts(store: Store) -> None:
    await store.commit(ZAA, [Put(each) for each in (patient(), case(), INDEX)])
    before = await _all(store)
    await CaseFactsConsumer(store).rebuild()
    assert await _all(store) == before

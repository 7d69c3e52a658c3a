"""Versions, history, deletion: what was stored is what comes back, for ever."""

from decimal import Decimal

import pytest

from app.fhir.codec import decode
from app.fhir.errors import BadRequest, Gone, Invalid, NotFound
from app.security.access import SYSTEM
from app.store.protocol import Delete, Put, PutRecord, Record, Store, VersionConflict
from tests.contract.builders import patient


async def put(store: Store, resource, **options):
    (stored,) = await store.commit(SYSTEM, [Put(resource, **options)])
    return stored


async def test_a_read_returns_the_bytes_that_commit_returned(store: Store) -> None:
    stored = await put(store, patient("a", meta={"tag": [{"code": "t"}]}, multipleBirthInteger=2))
    read = await store.read(SYSTEM, "Patient", "a")
    assert read == stored
    assert read.raw == stored.raw
    said = decode(read.raw)
    assert said["meta"]["versionId"] == "1"
    assert said["meta"]["tag"] == [{"code": "t"}]
    assert said["multipleBirthInteger"] == 2


async def test_numbers_keep_their_digits(store: Store) -> None:
    await put(store, {"resourceType": "Observation", "id": "n", "status": "final", "valueQuantity": {"value": Decimal("72.50")}})
    assert b'"value":72.50' in (await store.read(SYSTEM, "Observation", "n")).raw


async def test_last_updated_in_the_resource_is_the_one_of_the_store(store: Store) -> None:
    stored = await put(store, patient("a"))
    said = decode(stored.raw)["meta"]["lastUpdated"]
    from app.clock import instant

    assert said == instant(stored.updated)


async def test_each_version_stays_as_it_was(store: Store) -> None:
    raws = [(await put(store, patient("a", f"Name{n}"))).raw for n in range(1, 6)]
    assert [(await store.vread(SYSTEM, "Patient", "a", n)).raw for n in range(1, 6)] == raws
    history = await store.history(SYSTEM, "Patient", "a")
    assert [stored.version for stored in history.matches] == [5, 4, 3, 2, 1]
    assert [stored.action for stored in history.matches] == ["update"] * 4 + ["create"]


async def test_what_is_not_there_is_not_found(store: Store) -> None:
    await put(store, patient("a"))
    for attempt in (
        store.read(SYSTEM, "Patient", "b"),
        store.read(SYSTEM, "Observation", "a"),
        store.vread(SYSTEM, "Patient", "a", 2),
        store.history(SYSTEM, "Patient", "b"),
    ):
        with pytest.raises(NotFound):
            await attempt


async def test_deletion_leaves_history_and_a_mark(store: Store) -> None:
    await put(store, patient("a"))
    (deleted,) = await store.commit(SYSTEM, [Delete("Patient", "a")])
    assert deleted is not None
    assert (deleted.version, deleted.deleted, deleted.raw) == (2, True, b"")
    with pytest.raises(Gone):
        await store.read(SYSTEM, "Patient", "a")
    with pytest.raises(Gone):
        await store.vread(SYSTEM, "Patient", "a", 2)
    assert (await store.vread(SYSTEM, "Patient", "a", 1)).raw
    assert [stored.deleted for stored in (await store.history(SYSTEM, "Patient", "a")).matches] == [True, False]
    assert await store.counts(SYSTEM) == {}


async def test_deleting_what_is_not_there_is_no_error(store: Store) -> None:
    await put(store, patient("a"))
    await store.commit(SYSTEM, [Delete("Patient", "a")])
    assert await store.commit(SYSTEM, [Delete("Patient", "a"), Delete("Patient", "never")]) == [None, None]
    assert await store.feed_head() == 2


async def test_a_deleted_resource_comes_back_as_a_new_version(store: Store) -> None:
    await put(store, patient("a"))
    await store.commit(SYSTEM, [Delete("Patient", "a")])
    back = await put(store, patient("a", "Beta"), if_version=0)
    assert (back.version, back.action) == (3, "create")
    assert (await store.read(SYSTEM, "Patient", "a")).version == 3


@pytest.mark.parametrize(("have", "wanted"), [(0, 1), (1, 0), (1, 2), (2, 1)])
async def test_if_version_must_hold(store: Store, have: int, wanted: int) -> None:
    for _ in range(have):
        await put(store, patient("a"))
    with pytest.raises(VersionConflict):
        await put(store, patient("a", "Late"), if_version=wanted)
    assert await store.feed_head() == have
    assert (await put(store, patient("a"), if_version=have)).version == have + 1


async def test_if_version_of_a_deletion_must_hold(store: Store) -> None:
    await put(store, patient("a"))
    for id, version in (("a", 2), ("b", 1)):
        with pytest.raises(VersionConflict):
            await store.commit(SYSTEM, [Delete("Patient", id, if_version=version)])
    assert (await store.commit(SYSTEM, [Delete("Patient", "a", if_version=1)]))[0] is not None


async def test_unchanged_content_keeps_its_version_when_asked(store: Store) -> None:
    first = await put(store, patient("a", gender="male"), unchanged_ok=True)
    again = await put(store, {"gender": "male", **patient("a", meta={"versionId": "9"})}, unchanged_ok=True)
    assert (again.version, again.raw) == (1, first.raw)
    assert (await put(store, patient("a", gender="female"), unchanged_ok=True)).version == 2
    assert (await put(store, patient("a", gender="female"))).version == 3


async def test_another_precision_is_another_content(store: Store) -> None:
    def made(value):
        return {"resourceType": "Observation", "id": "o", "status": "final", "valueQuantity": {"value": value}}

    await put(store, made(Decimal("1.0")), unchanged_ok=True)
    assert (await put(store, made(Decimal("1.00")), unchanged_ok=True)).version == 2
    assert (await put(store, made(Decimal("1.00")), unchanged_ok=True)).version == 2


async def test_a_commit_is_all_or_nothing(store: Store) -> None:
    await put(store, patient("a"))
    with pytest.raises(VersionConflict):
        await store.commit(SYSTEM, [Put(patient("b")), PutRecord(Record("k", "x")), Put(patient("a"), if_version=5)])
    with pytest.raises(NotFound):
        await store.read(SYSTEM, "Patient", "b")
    assert await store.get_record(SYSTEM, "k", "x") is None
    assert await store.feed_head() == 1
    assert await store.check() == []


async def test_one_commit_may_write_a_resource_twice(store: Store) -> None:
    first, second, gone = await store.commit(SYSTEM, [Put(patient("a")), Put(patient("a", "Beta")), Delete("Patient", "a")])
    assert first and second and gone
    assert [first.version, second.version, gone.version] == [1, 2, 3]
    again, *_ = await store.commit(SYSTEM, [Put(patient("a", "Gamma")), Put(patient("b"))])
    assert again and again.version == 4
    assert await store.counts(SYSTEM) == {"Patient": 2}
    assert await store.check() == []


async def test_results_stand_where_their_writes_stand(store: Store) -> None:
    results = await store.commit(SYSTEM, [PutRecord(Record("k", "x")), Put(patient("a")), Delete("Patient", "never")])
    assert [result and result.reference for result in results] == [None, "Patient/a", None]


@pytest.mark.parametrize("resource", [{"resourceType": "Patient"}, {"id": "a"}, {"resourceType": "Patient", "id": ""}])
async def test_a_resource_needs_type_and_id(store: Store, resource) -> None:
    with pytest.raises(Invalid):
        await store.commit(SYSTEM, [Put(resource)])


async def test_read_many_keeps_the_order_and_leaves_out_what_is_not_there(store: Store) -> None:
    await store.commit(SYSTEM, [Put(patient(id)) for id in "abcd"])
    await store.commit(SYSTEM, [Delete("Patient", "b")])
    asked = ["Patient/d", "Patient/b", "Patient/zz", "Patient/a", "nonsense", "Patient/d"]
    assert [stored.id for stored in await store.read_many(SYSTEM, asked)] == ["d", "a"]


async def test_history_pages_without_gap_or_repeat_while_writes_go_on(store: Store) -> None:
    for n in range(7):
        await store.commit(SYSTEM, [Put(patient("a", f"N{n}")), Put(patient(f"p{n}"))])
    seen, cursor = [], None
    while True:
        page = await store.history(SYSTEM, "Patient", count=3, cursor=cursor)
        seen += [(stored.id, stored.version) for stored in page.matches]
        await put(store, patient("late"))
        if (cursor := page.cursor) is None:
            break
    assert len(seen) == 14
    assert len(set(seen)) == 14


async def test_history_since(store: Store) -> None:
    first = await put(store, patient("a"))
    second = await put(store, patient("a", "Beta"))
    found = await store.history(SYSTEM, "Patient", "a", since=second.updated)
    assert found.matches[0].version == 2
    assert {stored.version for stored in found.matches} <= ({1, 2} if first.updated == second.updated else {2})


async def test_a_foreign_cursor_is_refused(store: Store) -> None:
    await store.commit(SYSTEM, [Put(patient(id)) for id in "abc"])
    page = await store.history(SYSTEM, "Patient", count=1)
    for cursor in ("x", "", "AAAA" * 20, page.cursor[:-2] + "AA", page.cursor + "A"):
        if cursor:
            with pytest.raises(BadRequest):
                await store.history(SYSTEM, "Patient", count=1, cursor=cursor)
    with pytest.raises(BadRequest):
        await store.history(SYSTEM, count=1, cursor=page.cursor)


async def test_system_history_has_all_types_newest_first(store: Store) -> None:
    await put(store, patient("a"))
    await put(store, {"resourceType": "Organization", "id": "o", "name": "x"})
    assert [stored.reference for stored in (await store.history(SYSTEM)).matches] == ["Organization/o", "Patient/a"]


async def test_large_resources_are_walked_in_smaller_pages(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("sqlite", "mongo"):
        monkeypatch.setattr(f"app.store.{kind}.upkeep.BYTES", 1000)
    await store.commit(SYSTEM, [Put(patient(f"p{n}", "x" * 400)) for n in range(11)])
    await store.commit(SYSTEM, [Delete("Patient", "p3")])
    assert len([one async for one in store.scan(SYSTEM)]) == 10
    assert await store.reindex() == 10
    assert await store.check() == []

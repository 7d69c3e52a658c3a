"""Records: small documents with a revision, found by kind, state, tag, time and owner."""

import pytest

from app.security.access import SYSTEM
from app.store.protocol import DeleteRecord, PutRecord, Record, RecordConflict, Store


async def put(store: Store, *records: Record) -> None:
    await store.commit(SYSTEM, [PutRecord(record) for record in records])


async def keys(store: Store, **options) -> list[str]:
    return [record.key for record in await store.find_records(SYSTEM, "k", **options)]


async def test_a_record_comes_back_as_it_went_in(store: Store) -> None:
    raw = bytes(range(256))
    await put(store, Record("k", "x", b'{"a":1.50}', raw=raw, state="s", tag="t", due=7, owner="RA1"))
    found = await store.get_record(SYSTEM, "k", "x")
    assert found is not None
    assert (found.body, found.raw, found.state, found.tag, found.due, found.owner) == (b'{"a":1.50}', raw, "s", "t", 7, "RA1")
    assert str(found.data["a"]) == "1.50"
    assert found.revision == 1
    assert found.updated > 0


async def test_a_record_without_raw_has_none_and_with_empty_raw_has_it(store: Store) -> None:
    await put(store, Record("k", "none"), Record("k", "empty", raw=b""))
    assert [record.raw for record in await store.find_records(SYSTEM, "k")] == [b"", None]


async def test_revisions_rise_and_guard(store: Store) -> None:
    await store.commit(SYSTEM, [PutRecord(Record("k", "x"), if_revision=0)])
    for wrong in (0, 2):
        with pytest.raises(RecordConflict):
            await store.commit(SYSTEM, [PutRecord(Record("k", "x"), if_revision=wrong)])
        with pytest.raises(RecordConflict):
            await store.commit(SYSTEM, [DeleteRecord("k", "x", if_revision=wrong)])
    await store.commit(SYSTEM, [PutRecord(Record("k", "x", b"2"), if_revision=1)])
    found = await store.get_record(SYSTEM, "k", "x")
    assert found is not None
    assert (found.revision, found.body) == (2, b"2")
    await store.commit(SYSTEM, [DeleteRecord("k", "x", if_revision=2), DeleteRecord("k", "never")])
    assert await store.get_record(SYSTEM, "k", "x") is None


async def test_finding_by_state_tag_time_and_owner(store: Store) -> None:
    await put(
        store,
        Record("k", "1", state="a", tag="p", due=10, owner="RA1"),
        Record("k", "2", state="b", tag="p", due=20, owner="RB2"),
        Record("k", "3", state="a", tag="q", owner="RA1"),
        Record("k", "4", state="", tag="", due=30),
        Record("other", "5", state="a", tag="p", due=10, owner="RA1"),
    )
    assert await keys(store) == ["1", "2", "3", "4"]
    assert await keys(store, state="a") == ["1", "3"]
    assert await keys(store, state="") == ["4"]
    assert await keys(store, tag="p") == ["1", "2"]
    assert await keys(store, tag="p", state="b") == ["2"]
    assert await keys(store, due_before=20) == ["1", "2"]
    assert await keys(store, due_before=9) == []
    assert await keys(store, owner="RA1") == ["1", "3"]
    assert await keys(store, owner="") == ["4"]
    assert await store.count_records(SYSTEM, "k") == 4
    assert await store.count_records(SYSTEM, "k", state="a") == 2
    assert await store.count_records(SYSTEM, "k", tag="p", state="a") == 1


async def test_pages_in_the_order_of_keys_both_ways(store: Store) -> None:
    await put(store, *(Record("k", f"{n:02}", tag="t") for n in range(10)))
    assert await keys(store, limit=3) == ["00", "01", "02"]
    assert await keys(store, limit=3, after="02") == ["03", "04", "05"]
    assert await keys(store, limit=3, descending=True, tag="t") == ["09", "08", "07"]
    assert await keys(store, limit=3, descending=True, after="07") == ["06", "05", "04"]


async def test_the_last_write_of_a_commit_stands(store: Store) -> None:
    await store.commit(SYSTEM, [PutRecord(Record("k", "x", b"1")), PutRecord(Record("k", "x", b"2"), if_revision=1)])
    found = await store.get_record(SYSTEM, "k", "x")
    assert found is not None
    assert (found.body, found.revision) == (b"2", 2)

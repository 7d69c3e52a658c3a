import csv
import io

import pytest

from app.fhir.errors import BadRequest, Forbidden
from app.fhir.operations import OperationRequest
from app.measures import artefacts, export, operations, publishing
from app.measures.fitting import fit
from app.measures.period import period
from app.measures.table import hospital_table
from app.security.access import PUBLIC, SANDBOX, SHARED, SYSTEM, Access
from app.store.protocol import Store
from tests.measures.conftest import put, small_nation

SPAN = period("2022", "2024")
MEASURE = "treatment-success"
HOSPITAL = Access("h", "hospital", frozenset({"ZA1"}))


async def reports(store: Store, access: Access) -> list[dict[str, object]]:
    return [stored.resource async for stored in store.scan(access, ["MeasureReport"])]


async def test_each_hospital_has_one_report_for_all_and_one_for_itself(nation_store: Store) -> None:
    await fit(nation_store, MEASURE)
    assert await publishing.publish(nation_store, MEASURE, SPAN) == 21
    seen = await reports(nation_store, HOSPITAL)
    assert len(seen) == 12  # all together, ten as published, its own
    own = [report for report in seen if report["reporter"].get("identifier", {}).get("value") == "ZA1"]  # type: ignore[attr-defined]
    assert sorted("masked" in str(report) for report in own) == [False, True]
    for report in own:
        assert ("restricted" in str(report.get("meta"))) is ("masked" not in str(report))
    for report in await reports(nation_store, Access("o", "hospital", frozenset({"ZA9"}))):
        if report not in own and report["reporter"].get("identifier", {}).get("value") == "ZA1":  # type: ignore[attr-defined]
            raise AssertionError("another hospital sees a report that is not the published one")


async def test_running_again_changes_nothing_until_a_figure_does(nation_store: Store) -> None:
    await publishing.publish(nation_store, MEASURE, SPAN)
    assert await publishing.publish(nation_store, MEASURE, SPAN) == 0
    import msgspec

    first = next(facts for facts in small_nation() if facts.quality_of_life == 0)
    await put(nation_store, [msgspec.structs.replace(first, quality_of_life=3)])
    assert await publishing.publish(nation_store, MEASURE, SPAN) >= 2
    versions = {stored.version async for stored in nation_store.scan(SYSTEM, ["MeasureReport"])}
    assert versions == {1, 2}


async def test_what_ships_is_installed_once_and_for_all_to_read(store: Store) -> None:
    number = await artefacts.install(store)
    assert await artefacts.install(store) == number
    stored = await store.read(HOSPITAL, "Measure", MEASURE)
    assert (stored.version, stored.owners) == (1, frozenset({SHARED}))


async def call(store: Store, access: Access, level: str = "instance", method: str = "GET", **values: str):
    (operation,) = operations(store)
    pairs = [("periodStart", "2022"), ("periodEnd", "2024"), *values.items()]
    request = OperationRequest(
        level=level,  # type: ignore[arg-type]
        type="Measure",
        id=MEASURE if level == "instance" else None,
        method=method,
        parameters=operation.from_query(pairs),
    )
    return await operation.handler(access, request)


async def test_the_operation_answers_a_get_and_keeps_a_post(nation_store: Store) -> None:
    found = await call(nation_store, HOSPITAL, reporter="Organization/za1")
    assert isinstance(found, dict) and found["type"] == "summary" and "id" not in found
    assert await reports(nation_store, SYSTEM) == []
    raw = await call(nation_store, HOSPITAL, method="POST", reporter="Organization/za1")
    assert isinstance(raw, bytes)
    (stored,) = [each async for each in nation_store.scan(SYSTEM, ["MeasureReport"])]
    assert stored.raw == raw and stored.owners == frozenset({"ZA1"})
    again = await call(nation_store, HOSPITAL, method="POST", reporter="Organization/za1")
    assert again == raw
    await call(nation_store, HOSPITAL, method="POST", reporter="Organization/za2")
    other = [each async for each in nation_store.scan(SYSTEM, ["MeasureReport"]) if each.owners == frozenset({SHARED})]
    assert len(other) == 1 and "masked" in other[0].raw.decode()


async def test_the_operation_by_type_needs_a_measure(nation_store: Store) -> None:
    assert (await call(nation_store, SANDBOX, "type", measure=MEASURE))["type"] == "summary"  # type: ignore[index]
    with pytest.raises(BadRequest, match="Which measure"):
        await call(nation_store, SANDBOX, "type")
    with pytest.raises(BadRequest, match="names the measure already"):
        await call(nation_store, SANDBOX, "instance", measure=MEASURE)
    with pytest.raises(BadRequest):
        await call(nation_store, SANDBOX, practitioner="x")
    with pytest.raises(Forbidden):
        await call(nation_store, PUBLIC)


async def test_the_table_shows_the_public_no_small_number_and_a_hospital_its_own(nation_store: Store) -> None:
    await fit(nation_store, MEASURE)
    public = await hospital_table(nation_store, PUBLIC, MEASURE, SPAN)
    whole = await hospital_table(nation_store, SYSTEM, MEASURE, SPAN)
    own = await hospital_table(nation_store, HOSPITAL, MEASURE, SPAN)
    assert [row.hospital for row in public] == sorted(row.hospital for row in public)
    assert own[1] == whole[1] and own[2] == public[2]
    assert any(row.suppressed for each in public for row in each.strata)
    for row in (row for each in public for row in (each, *each.strata)):
        for count in (row.known, row.observed, row.known - row.observed if row.known is not None else None):  # type: ignore[operator]
            assert count is None or not 1 <= count <= 7
        if row.suppressed:
            assert {
                row.cases,
                row.known,
                row.observed,
                row.expected,
                row.ratio,
                row.low,
                row.high,
                row.limits,
                row.completeness,
            } == {None}
            assert row.band
    assert sum(row.expected for row in whole if row.expected) == pytest.approx(sum(row.observed for row in whole if row.observed))


async def test_without_a_model_the_table_says_so(nation_store: Store) -> None:
    (first, *_) = await hospital_table(nation_store, SYSTEM, MEASURE, SPAN)
    assert first.expected is None and first.observed and "no case-mix model" in first.band


async def test_the_csv_has_the_agreed_columns_and_no_small_number(nation_store: Store) -> None:
    await fit(nation_store, MEASURE)
    out = io.StringIO()
    rows = await hospital_table(nation_store, PUBLIC, MEASURE, SPAN)
    lines = export.write(out, rows, "https://csor.example.org/Measure/treatment-success|0.1.0", SPAN, "2026-01-01")
    out.seek(0)
    read = list(csv.DictReader(out))
    assert lines == len(read) == sum(1 + len(row.strata) for row in rows)
    assert (
        list(read[0])
        == (
            "organisation_ods_code measure_id measure_version period_start period_end stratum numerator denominator value lower95 "
            "upper95 lower998 upper998 expected ratio band suppressed completeness model_version published_at"
        ).split()
    )
    assert {line["measure_id"] for line in read} == {MEASURE} and read[0]["measure_version"] == "0.1.0"
    hidden = [line for line in read if line["suppressed"] == "true"]
    assert hidden and all(
        line[name] == "" for line in hidden for name in ("numerator", "denominator", "value", "ratio", "expected")
    )
    assert [column["name"] for column in export.metadata("x.csv")["tableSchema"]["columns"]] == list(read[0])


async def test_names_come_from_the_store(nation_store: Store) -> None:
    from app.registry.identity import organisation
    from app.store.protocol import Put

    await nation_store.commit(SYSTEM, [Put(organisation("ZA0", "Northern Children's"), owners=frozenset({SHARED}))])
    rows = await hospital_table(nation_store, SYSTEM, MEASURE, SPAN)
    assert (rows[0].name, rows[1].name) == ("Northern Children's", "ZA1")


async def test_the_service_installs_and_warms(nation_store: Store) -> None:
    import asyncio

    from app.measures.service import ColumnsService

    service, stop = ColumnsService(nation_store), asyncio.Event()
    running = asyncio.create_task(service.run(stop))
    while (await nation_store.counts(SYSTEM)).get("Measure", 0) < 4:
        await asyncio.sleep(0.01)
    stop.set()
    await asyncio.wait_for(running, 10)

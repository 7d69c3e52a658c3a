import csv
import io

import msgspec
import pytest

from app.fhir.errors import BadRequest, Forbidden, NotSupported
from app.fhir.operations import OperationRequest
from app.measures import artefacts, export, operations, publishing
from app.measures.definition import shipped
from app.measures.fitting import fit
from app.measures.period import period
from app.measures.published import publication
from app.measures.table import hospital_table
from app.security.access import PUBLIC, SANDBOX, SHARED, SYSTEM, Access
from app.store.protocol import Put, Store
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
    mine = [report for report in await reports(nation_store, HOSPITAL) if report["reporter"]["identifier"]["value"] == "ZA2"]  # type: ignore[index]
    assert len(mine) == 1 and "masked" in str(mine[0])
    assert await reports(nation_store, Access("o", "hospital", frozenset({"ZA2"}))) == []


@pytest.mark.parametrize(
    "access", [HOSPITAL, SANDBOX, Access("v", "vendor", frozenset({"ZA1", "ZA2"}))], ids=lambda each: each.role
)
@pytest.mark.parametrize("reporter", ["", "ZA1", "ZA3"])
async def test_what_a_caller_keeps_is_the_callers_and_never_what_is_published(
    nation_store: Store, access: Access, reporter: str
) -> None:
    asked = {"reporter": reporter} if reporter else {}

    async def published() -> list[dict[str, object]]:
        return await reports(nation_store, Access("o", "hospital", frozenset({"ZA9"})))

    await call(nation_store, access, method="POST", **asked)
    assert await published() == [] and await publication(nation_store, shipped(MEASURE).canonical, SPAN, ["ZA1", "ZA3"]) is None
    assert await publishing.publish(nation_store, MEASURE, SPAN) == 21
    before = await published()
    ids = [stored.id async for stored in nation_store.scan(SYSTEM, ["MeasureReport"])]
    await put(nation_store, [msgspec.structs.replace(facts, quality_of_life=3) for facts in small_nation()[:200]])
    await call(nation_store, access, method="POST", **asked)
    assert await published() == before
    assert sorted([stored.id async for stored in nation_store.scan(SYSTEM, ["MeasureReport"])]) == sorted(ids)


async def test_a_vendor_keeps_a_hospitals_small_numbers_for_that_hospital(nation_store: Store) -> None:
    await call(nation_store, Access("v", "vendor", frozenset({"ZA1", "ZA2"})), method="POST", reporter="ZA1")
    (kept,) = [each async for each in nation_store.scan(SYSTEM, ["MeasureReport"])]
    assert kept.owners == frozenset({"ZA1"}) and "restricted" in kept.raw.decode()


async def test_only_what_comes_with_the_program_is_published(nation_store: Store) -> None:
    await nation_store.commit(SYSTEM, [Put({**shipped(MEASURE).resource, "id": "mine"}, owners=frozenset({SHARED}))])
    with pytest.raises(NotSupported, match="come with the program"):
        await publishing.publish(nation_store, "mine", SPAN)
    assert await reports(nation_store, SYSTEM) == []


async def test_what_is_kept_of_a_namesake_is_not_what_is_published(nation_store: Store) -> None:
    await publishing.publish(nation_store, MEASURE, SPAN)
    before = await publication(nation_store, shipped(MEASURE).canonical, SPAN, ["ZA1", "ZA2"])
    await nation_store.commit(HOSPITAL, [Put({**shipped(MEASURE).resource, "id": "mine"})])
    for reporter in ({}, {"reporter": "ZA1"}):
        await call(nation_store, HOSPITAL, method="POST", measure="mine", level="type", **reporter)
    assert await publication(nation_store, shipped(MEASURE).canonical, SPAN, ["ZA1", "ZA2"]) == before
    assert await publishing.publish(nation_store, MEASURE, SPAN) == 0


async def test_whoever_stores_the_same_first_does_not_stop_the_publication(nation_store: Store) -> None:
    await publishing.publish(nation_store, MEASURE, SPAN)
    (whole,) = [report for report in await reports(nation_store, HOSPITAL) if "identifier" not in report["reporter"]]  # type: ignore[operator]
    await nation_store.commit(SYSTEM, [Put(whole, owners=frozenset({"ZA1"}))])
    assert await publishing.publish(nation_store, MEASURE, SPAN) == 1
    assert (await nation_store.read(SYSTEM, "MeasureReport", str(whole["id"]))).owners == frozenset({SHARED})


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

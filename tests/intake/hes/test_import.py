"""A file into the store: what becomes of each row, and that doing it again changes nothing."""

from datetime import date
from pathlib import Path

import pytest
from fhir.resources.R4B import get_fhir_model_class

from app import names
from app.demo.nation import demonstration_nhs_numbers
from app.fhir.errors import Invalid
from app.fhir.validation import validate
from app.intake.hes import importer
from app.intake.hes.importer import import_file, relink
from app.registry.consumer import child_resources
from app.registry.facts import facts_from
from app.registry.merging import merge
from app.registry.patients import create_child
from app.security.access import SYSTEM, Access
from app.store.protocol import Put, Store, VersionConflict
from tests.intake.hes.builders import COLUMNS, NUMBER, later, row, write
from tests.registry.builders import OTHER_NUMBER, case, patient

ZAA = Access("aa", "hospital", frozenset(("ZAA",)))
ZBB = Access("bb", "hospital", frozenset(("ZBB",)))

HISTORY = [
    row(1, EPIEND="2023-01-20", DISDATE="", DISMETH="", DISDEST=""),
    row(2, EPISTART="2023-01-20", EPIORDER="02", DIAG_02="P369", OPERTN_01="T303", OPDATE_01="2023-01-25", OPERTN_02="Y752"),
    later(3, "2023-02-20", "2023-02-22", ADMIMETH="21", DIAG_01="N390"),
    later(4, "2023-04-01", "2023-04-02", OPERTN_01="G152", OPDATE_01="2023-04-01", OPERTN_02="M496", OPDATE_02="2023-04-01"),
]


async def test_a_history_becomes_encounters_procedures_and_conditions(store: Store, tmp_path: Path) -> None:
    tally = await import_file(store, write(tmp_path / "h.csv", *HISTORY))
    assert (tally.rows, tally.episodes, tally.wrong, tally.people, tally.linked) == (4, 4, 0, 1, 1)
    assert (tally.spells, tally.stays, tally.operations, tally.infections, tally.readmissions, tally.deaths) == (3, 3, 3, 2, 1, 0)
    counts = await store.counts(SYSTEM)
    assert (counts["Encounter"], counts["Procedure"], counts["Condition"]) == (3, 4, 4)
    assert tally.written == sum(counts[kind] for kind in ("Encounter", "Procedure", "Condition", "Organization"))


async def test_every_resource_is_valid_tagged_and_owned(store: Store, tmp_path: Path) -> None:
    await import_file(store, write(tmp_path / "h.csv", *HISTORY))
    seen = 0
    async for stored in store.scan(SYSTEM, ("Encounter", "Procedure", "Condition", "Organization")):
        seen += 1
        assert [issue for issue in validate(stored.resource) if issue.severity in ("error", "fatal")] == []
        get_fhir_model_class(stored.type).model_validate_json(stored.raw)  # a second opinion
        if stored.type != "Organization":
            assert stored.resource["meta"]["tag"] == [{"system": names.SOURCE, "code": "hes"}]
            assert stored.owners == {"ZAA"}
        assert NUMBER.encode() not in stored.raw
    assert seen == 12


async def test_the_facts_of_the_case_say_what_the_file_says(store: Store, tmp_path: Path) -> None:
    await store.commit(ZAA, [Put(case())])
    await import_file(store, write(tmp_path / "h.csv", *HISTORY))
    facts = facts_from(await child_resources(store, "p"), date(2026, 1, 1))
    assert facts is not None
    assert [(o.on, o.kind, o.source) for o in facts.operations] == [
        ("2023-01-03", "major-emergency", "hes"),  # first operation in the birth spell: pathway of the condition
        ("2023-01-25", "major-emergency", "hes"),  # reopening in the birth spell
        ("2023-04-01", "minor-planned", "hes"),
    ]
    assert [(i.on, i.code) for i in facts.infections] == [("2023-01-01", "P369"), ("2023-02-20", "N390")]
    assert facts.emergency_readmissions == 1


async def test_importing_twice_changes_nothing(store: Store, tmp_path: Path) -> None:
    path = write(tmp_path / "h.csv", *HISTORY)
    first = await import_file(store, path)
    head = await store.feed_head()
    assert (await import_file(store, path)).already
    again = await import_file(store, path, again=True)
    same_rows_other_file = await import_file(store, write(tmp_path / "again.csv", *reversed(HISTORY)))
    assert await store.feed_head() == head
    for later_import in (again, same_rows_other_file):
        assert later_import.written == 0
        assert [line for line in later_import.lines() if line[0] != "resources written"] == [
            line for line in first.lines() if line[0] != "resources written"
        ]


async def test_a_spell_told_over_two_files_is_one_encounter(store: Store, tmp_path: Path) -> None:
    await import_file(store, write(tmp_path / "1.csv", HISTORY[0]))
    await import_file(store, write(tmp_path / "2.csv", HISTORY[1]))
    counts = await store.counts(SYSTEM)
    assert (counts["Encounter"], counts["Procedure"]) == (1, 2)


async def test_importing_again_after_a_merge_finds_the_same_resources(store: Store, tmp_path: Path) -> None:
    path = write(tmp_path / "h.csv", *HISTORY)
    await import_file(store, path)
    await create_child(store, ZAA, patient("kept", mrn=("ZAA", "2")))
    await merge(store, ZAA, await store.read(SYSTEM, "Patient", "kept"), await store.read(SYSTEM, "Patient", "p"))
    tally = await import_file(store, path, again=True)
    assert (tally.linked, tally.written) == (1, 0)
    assert (await store.counts(SYSTEM))["Encounter"] == 3


async def test_a_dry_run_counts_and_writes_nothing(store: Store, tmp_path: Path) -> None:
    head = await store.feed_head()
    tally = await import_file(store, write(tmp_path / "h.csv", *HISTORY, row(9, EPISTART="x")), dry_run=True)
    assert (tally.spells, tally.wrong, tally.written) == (3, 1, 0)
    assert await store.feed_head() == head
    assert await store.count_records(SYSTEM, "hes-row-error") == 0
    assert await store.count_records(SYSTEM, "hes-import") == 0


async def test_wrong_rows_are_kept_with_line_and_column_and_the_others_are_imported(store: Store, tmp_path: Path) -> None:
    tally = await import_file(store, write(tmp_path / "h.csv", HISTORY[0], row(8, ADMIDATE="2023-02-30"), HISTORY[2]))
    assert (tally.wrong, tally.spells) == (1, 2)
    assert tally.problems == [f"line 3, column {COLUMNS.index('ADMIDATE') + 1}: ADMIDATE is not a date."]
    [kept] = await store.find_records(SYSTEM, "hes-row-error")
    assert kept.data == {"line": 3, "column": COLUMNS.index("ADMIDATE") + 1, "reason": "ADMIDATE is not a date."}
    assert kept.raw is not None
    assert b"2023-02-30" in kept.raw


async def test_a_missing_column_imports_nothing(store: Store, tmp_path: Path) -> None:
    head = await store.feed_head()
    with pytest.raises(Invalid, match="OPDATE_01"):
        await import_file(store, write(tmp_path / "h.csv", *HISTORY, columns=[c for c in COLUMNS if c != "OPDATE_01"]))
    assert await store.feed_head() == head


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"NEWNHSNO": ""}, "no NHS number"),
        ({"NEWNHSNO": "9990000019"}, "an NHS number that fails its check"),
        ({"NEWNHSNO": OTHER_NUMBER}, "no child with this NHS number"),
        ({"DOB": "2021-01-01"}, "identifiers that contradict each other"),
    ],
)
async def test_who_cannot_be_linked_is_told_why_and_kept(
    store: Store, tmp_path: Path, cells: dict[str, str], reason: str
) -> None:
    tally = await import_file(store, write(tmp_path / "h.csv", row(**cells)))
    assert (tally.linked, tally.not_linked, tally.not_linked_rows) == (0, {reason: 1}, 1)
    assert "Encounter" not in await store.counts(SYSTEM)
    [kept] = await store.find_records(SYSTEM, "hes-unlinked")
    assert (kept.state, kept.tag) == (reason, "P1")
    assert b"G073" in (kept.raw or b"")


async def test_a_person_linked_once_stays_linked_without_a_number(store: Store, tmp_path: Path) -> None:
    await import_file(store, write(tmp_path / "1.csv", HISTORY[0]))
    tally = await import_file(store, write(tmp_path / "2.csv", HISTORY[2] | {"NEWNHSNO": ""}))
    assert tally.linked == 1


async def test_a_person_with_two_numbers_is_not_linked(store: Store, tmp_path: Path) -> None:
    tally = await import_file(store, write(tmp_path / "h.csv", HISTORY[0], HISTORY[2] | {"NEWNHSNO": OTHER_NUMBER}))
    assert tally.not_linked == {"two NHS numbers": 1}


async def test_rows_kept_are_linked_once_the_child_is_known(store: Store, tmp_path: Path) -> None:
    path = write(tmp_path / "h.csv", *(each | {"NEWNHSNO": OTHER_NUMBER} for each in HISTORY))
    assert (await import_file(store, path)).linked == 0
    assert (await relink(store)).linked == 0
    assert await store.count_records(SYSTEM, "hes-unlinked") == 1
    await create_child(store, ZBB, patient("q", nhs=OTHER_NUMBER))
    tally = await relink(store)
    assert (tally.rows, tally.linked, tally.spells) == (4, 1, 3)
    assert await store.count_records(SYSTEM, "hes-unlinked") == 0
    encounters = [stored async for stored in store.scan(SYSTEM, ("Encounter",))]
    assert {stored.owners for stored in encounters} == {frozenset(("ZAA", "ZBB"))}


async def test_a_death_in_hospital_is_told_to_the_patient_once(store: Store, tmp_path: Path) -> None:
    path = write(tmp_path / "h.csv", row(DISMETH="4", DISDEST="79"))
    assert (await import_file(store, path)).deaths == 1
    told = await store.read(ZAA, "Patient", "p")
    assert told.resource["deceasedDateTime"] == "2023-02-01"
    await import_file(store, path, again=True)
    assert (await store.read(ZAA, "Patient", "p")).version == told.version


async def test_what_the_hospital_said_of_the_day_of_death_stands(store: Store, tmp_path: Path) -> None:
    said = (await store.read(ZAA, "Patient", "p")).resource | {"deceasedDateTime": "2023-01-31"}
    await store.commit(ZAA, [Put(said)])
    await import_file(store, write(tmp_path / "h.csv", row(DISMETH="4", DISDEST="79")))
    assert (await store.read(ZAA, "Patient", "p")).resource["deceasedDateTime"] == "2023-01-31"


async def test_a_child_changed_meanwhile_is_read_again(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hospital changes the Patient between our reading it and our telling of the death: neither word is lost."""
    real = importer.part_of
    asked = []

    async def interrupted(*arguments: object) -> object:
        part = await real(*arguments)  # type: ignore[arg-type]
        if not asked:
            child = (await store.read(ZAA, "Patient", "p")).resource | {"gender": "male"}
            await store.commit(ZAA, [Put(child)])
        asked.append(part)
        return part

    monkeypatch.setattr(importer, "part_of", interrupted)
    tally = await import_file(store, write(tmp_path / "h.csv", row(DISMETH="4", DISDEST="79")))
    child = (await store.read(ZAA, "Patient", "p")).resource
    assert (child["gender"], child["deceasedDateTime"]) == ("male", "2023-02-01")
    assert (len(asked), tally.linked) == (2, 1)


async def test_more_children_than_one_batch(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importer, "BATCH", 2)
    source = demonstration_nhs_numbers()
    known = [next(source) for _ in range(12)][2:]
    for n, number in enumerate(known):
        await create_child(store, ZAA, patient(f"c{n}", nhs=number))
    rows = [
        later(n * 3 + k, f"2023-0{k + 3}-01", f"2023-0{k + 3}-02", PERSON_ID=f"Q{n}", NEWNHSNO=number)
        for n, number in enumerate(known)
        for k in range(3)
    ]
    tally = await import_file(store, write(tmp_path / "h.csv", *rows))
    assert (tally.people, tally.linked, tally.spells) == (10, 10, 30)


async def test_an_import_that_was_cut_off_goes_on_where_it_was(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process dies between two batches: the file does not count as imported, and importing it again completes it once."""
    monkeypatch.setattr(importer, "BATCH", 1)
    await create_child(store, ZAA, patient("q", nhs=OTHER_NUMBER))
    other = {"PERSON_ID": "P2", "NEWNHSNO": OTHER_NUMBER}
    path = write(tmp_path / "h.csv", *HISTORY, row(11, **other), later(12, "2023-05-01", "2023-05-02", **other))
    real = importer.part_of
    seen = []

    async def dies(*arguments: object) -> object:
        seen.append(arguments)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return await real(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(importer, "part_of", dies)
        with pytest.raises(KeyboardInterrupt):
            await import_file(store, path)
    between = await store.counts(SYSTEM)
    tally = await import_file(store, path)
    counts = await store.counts(SYSTEM)
    assert 0 < between["Encounter"] < counts["Encounter"] == tally.spells == 5
    assert (counts["Procedure"], tally.linked) == (5, 2)


async def test_one_child_whom_hes_knows_as_two_people(store: Store, tmp_path: Path) -> None:
    died = {"DISMETH": "4", "DISDEST": "79"}
    rows = [row(1, **died), row(2, PERSON_ID="P2", PROCODE3="ZBB", ADMIDATE="2023-01-31", EPISTART="2023-01-31", **died)]
    tally = await import_file(store, write(tmp_path / "h.csv", *rows))
    assert (tally.people, tally.linked, tally.spells) == (2, 2, 2)
    assert (await store.read(ZAA, "Patient", "p")).resource["deceasedDateTime"] == "2023-02-01"


async def test_a_batch_that_is_tried_again_still_makes_its_hospitals(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = store.commit
    tried = []

    async def conflicts(*arguments: object, **more: object) -> object:
        tried.append(arguments)
        if len(tried) == 1:
            raise VersionConflict
        return await real(*arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(store, "commit", conflicts)
    await import_file(store, write(tmp_path / "h.csv", row()))
    assert (await store.read(ZAA, "Organization", "zaa")).resource["active"] is True

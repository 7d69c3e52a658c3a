"""A completed operative record makes the case and all that belongs to it, once, in one commit."""

import asyncio
from datetime import date
from typing import Any

import pytest

from app import names
from app.fhir.errors import BusinessRule, Conflict, FHIRError, Invalid, NotFound
from app.fhir.validation import validate
from app.forms.entry import respond
from app.ids import new_id
from app.registry import operative_record
from app.registry.facts import facts_from
from app.registry.operations import operation
from app.registry.operative_record import drafts
from app.security.access import SANDBOX, SYSTEM, Access
from app.store.protocol import Guard, Put, RecordConflict, Store
from tests.forms.records import questionnaire, values
from tests.registry import builders

RA1 = Access("surgeon", "hospital", frozenset({"RA1"}), name="Surgeon of RA1")
RB2 = Access("other", "hospital", frozenset({"RB2"}))


@pytest.fixture
async def child(store: Store) -> str:
    patient = {"resourceType": "Patient", "id": new_id(), "birthDate": "2024-03-04", "gender": "male"}
    await store.commit(SYSTEM, [Put(patient, owners=frozenset({"RA1", "RB2"}))])
    return patient["id"]


def record(child: str, condition: str = "oesophageal-atresia", **changes: Any) -> dict[str, Any]:
    elements = {key: changes.pop(key) for key in ("status", "id", "author") if key in changes}
    return respond(
        questionnaire(condition),
        values(condition) | {key.replace("_", "-"): value for key, value in changes.items()},
        subject={"reference": f"Patient/{child}"},
        authored="2024-03-05T12:00:00+00:00",
        **{"id": new_id(), **elements},
    )


async def withdraw(store: Store, access: Access, sent: dict[str, Any]) -> None:
    wrong = {**sent, "status": "entered-in-error"}
    joined = await operative_record.hooks(store)["QuestionnaireResponse"](access, wrong, {})
    writes = [write for write in joined if not isinstance(write, Guard)]
    await store.commit(access, [Put(wrong), *writes], [guard for guard in joined if isinstance(guard, Guard)])


async def everything(store: Store, *types: str) -> list[dict[str, Any]]:
    return [stored.resource async for stored in store.scan(SYSTEM, types)]


async def counts(store: Store) -> dict[str, int]:
    return await store.counts(SYSTEM)


@pytest.mark.parametrize("condition", names.CONDITIONS)
async def test_completing_makes_the_case_with_all_that_belongs_to_it(store: Store, child: str, condition: str) -> None:
    stored = await operative_record.complete(store, RA1, record(child, condition))
    made = {resource["resourceType"]: resource for resource in await everything(store)}
    assert set(made) == {
        "Patient", "QuestionnaireResponse", "EpisodeOfCare", "Condition", "Procedure", "Observation", "Provenance", "Organization",
    }  # fmt: skip
    case = made["EpisodeOfCare"]
    assert case["status"] == "active"
    assert case["type"][0]["coding"][0] == {
        "system": names.CONDITION, "code": condition, "display": operative_record.condition_name(condition),
    }  # fmt: skip
    assert case["patient"] == {"reference": f"Patient/{child}"}
    assert case["managingOrganization"]["reference"] == "Organization/ra1"
    assert case["identifier"] == [{"system": names.CASE_IDENTIFIER, "value": case["id"]}]
    assert case["diagnosis"][0]["condition"]["reference"] == f"Condition/{made['Condition']['id']}"
    assert made["Procedure"]["reasonReference"] == [{"reference": f"Condition/{made['Condition']['id']}"}]
    assert made["Provenance"]["entity"][0]["what"]["reference"] == stored.reference
    for resource in made.values():
        assert validate(resource) == []
        if resource["resourceType"] not in ("Patient", "QuestionnaireResponse", "Organization"):
            assert {"system": names.SOURCE, "code": "operative-record"} in resource["meta"]["tag"]


@pytest.mark.parametrize("condition", names.CONDITIONS)
async def test_what_is_made_reads_back_as_the_case_facts_that_the_surgeon_said(store: Store, child: str, condition: str) -> None:
    await operative_record.complete(store, RA1, record(child, condition))
    facts = facts_from(await everything(store), date(2026, 1, 1))
    assert facts is not None
    assert (facts.condition, facts.hospital, facts.patient, facts.index_date) == (condition, "RA1", child, "2024-03-05")
    assert [(each.on, each.source) for each in facts.operations] == [("2024-03-05", "operative-record")]
    size = "minor" if condition == "posterior-urethral-valves" else "major"
    assert facts.operations[0].kind == f"{size}-emergency"
    factors = facts.factors
    assert (factors.gestation_weeks, factors.birth_weight_g) == (36.0, 2450.0)
    assert (factors.antenatal_diagnosis, factors.major_cardiac_anomaly, factors.other_anomaly) == (True, False, False)
    assert factors.chromosomal_anomaly is None, "not known is not no"
    assert factors.severity is not None
    assert factors.severity_grade is not None


async def test_a_long_gap_is_the_severity_whatever_the_type(store: Store, child: str) -> None:
    await operative_record.complete(store, RA1, record(child, gap="gap-long"))
    facts = facts_from(await everything(store), date(2026, 1, 1))
    assert facts is not None
    assert (facts.factors.severity, facts.factors.severity_grade) == ("oa-long-gap", 2)


async def test_every_procedure_offered_is_in_the_table_of_operations() -> None:
    for condition in names.CONDITIONS:
        items = {item["linkId"]: item for item in questionnaire(condition)["item"][0]["item"]}
        for option in items["procedure"]["answerOption"]:
            coding = option["valueCoding"]
            row = operation(coding["code"]) if coding["system"] == names.OPCS4 else {"conditions": []}
            assert row is not None, coding
            assert not row["conditions"] or condition in row["conditions"], coding


async def test_sending_it_again_changes_nothing(store: Store, child: str) -> None:
    sent = record(child)
    first = await operative_record.complete(store, RA1, sent)
    head = await store.feed_head()
    again = await operative_record.complete(store, RA1, sent)
    assert (again.version, await store.feed_head()) == (first.version, head)


async def test_an_amendment_replaces_adds_and_takes_away(store: Store, child: str) -> None:
    sent = record(child)
    await operative_record.complete(store, RA1, sent)
    before = {
        (r["resourceType"], r["id"]) for r in await everything(store, "Procedure", "Observation", "EpisodeOfCare", "Condition")
    }
    amended = record(
        child, id=sent["id"], status="amended", chromosomal_anomaly="yes", other_anomaly="unknown", additional_procedure=["G34.2"]
    )
    await operative_record.complete(store, RA1, amended)
    resources = await everything(store, "Procedure", "Observation", "EpisodeOfCare", "Condition")
    after = {(r["resourceType"], r["id"]) for r in resources}
    assert len(after & before) == len(before) - 2  # the other anomaly and G07.1 went
    assert {r["code"]["coding"][0]["code"] for r in resources if r["resourceType"] == "Procedure"} == {"G07.3", "G34.2"}
    factors = {r["code"]["coding"][0]["code"]: r.get("valueBoolean") for r in resources if r["resourceType"] == "Observation"}
    assert factors["chromosomal-anomaly"] is True
    assert "other-anomaly" not in factors
    [provenance] = await everything(store, "Provenance")
    assert {tuple(t["reference"].split("/")) for t in provenance["target"]} == after


async def test_a_second_operation_joins_the_case(store: Store, child: str) -> None:
    await operative_record.complete(store, RA1, record(child))
    later = record(
        child,
        performed="2024-06-01T10:00:00+01:00",
        first_operation=False,
        procedure="G15.2",
        urgency="planned",
        additional_procedure=[],
    )
    assert not [r for r in later["item"] if r["linkId"] == "child"], "what is known of the child is not asked again"
    await operative_record.complete(store, RA1, later)
    assert {key: value for key, value in (await counts(store)).items() if key in ("EpisodeOfCare", "Condition", "Procedure")} == {
        "EpisodeOfCare": 1, "Condition": 1, "Procedure": 3,
    }  # fmt: skip
    facts = facts_from(await everything(store), date(2026, 1, 1))
    assert facts is not None
    assert [(each.on, each.kind) for each in facts.operations] == [
        ("2024-03-05", "major-emergency"),
        ("2024-06-01", "minor-planned"),
    ]
    assert facts.factors.gestation_weeks == 36.0


async def test_another_procedure_of_one_condition_is_none_of_the_other(store: Store, child: str) -> None:
    again = {"procedure": "other", "procedure_other": "Something else", "procedure_size": "major", "first_operation": False}
    for condition in ("oesophageal-atresia", "posterior-urethral-valves"):
        await operative_record.complete(store, RA1, record(child, condition))
    later = record(child, "posterior-urethral-valves", performed="2024-04-05T09:30:00+00:00", **again)
    await operative_record.complete(store, RA1, later)
    told = [
        facts_from(await everything(store), date(2026, 1, 1), case["id"]) for case in await everything(store, "EpisodeOfCare")
    ]
    assert {facts.condition: len(facts.operations) for facts in told if facts} == {
        "oesophageal-atresia": 1,
        "posterior-urethral-valves": 2,
    }


async def test_an_earlier_operation_recorded_later_moves_the_beginning_of_the_case(store: Store, child: str) -> None:
    await operative_record.complete(store, RA1, record(child, performed="2024-06-01T10:00:00+01:00"))
    await operative_record.complete(store, RA1, record(child))
    [case] = await everything(store, "EpisodeOfCare")
    assert case["period"]["start"].startswith("2024-03-05")


async def test_a_case_that_an_interface_made_is_joined_not_doubled(store: Store, child: str) -> None:
    theirs = {
        "resourceType": "EpisodeOfCare", "id": "theirs", "status": "active", "patient": {"reference": f"Patient/{child}"},
        "type": [{"coding": [{"system": names.CONDITION, "code": "oesophageal-atresia"}]}], "period": {"start": "2024-03-05"},
    }  # fmt: skip
    await store.commit(RA1, [Put(theirs)])
    sent = record(child)
    await operative_record.complete(store, RA1, sent)
    [case] = await everything(store, "EpisodeOfCare")
    assert case["id"] == "theirs"
    assert (await counts(store))["Condition"] == 1
    head = await store.feed_head()
    await operative_record.complete(store, RA1, sent)
    assert await store.feed_head() == head


async def test_a_second_hospital_joins_the_case_without_seeing_it(store: Store, child: str) -> None:
    await operative_record.complete(store, RA1, record(child))
    await operative_record.complete(store, RB2, record(child, performed="2024-07-01T10:00:00+01:00", first_operation=False))
    visible = await store.counts(RB2)
    assert visible.get("EpisodeOfCare", 0) == 0
    assert visible["Procedure"] == 2
    assert (await counts(store))["EpisodeOfCare"] == 1


async def test_two_records_at_the_same_moment_make_one_case(store: Store, child: str) -> None:
    sent = [record(child, performed=f"2024-03-05T{hour:02}:00:00+00:00") for hour in range(8, 16)]
    accesses = [RA1, RB2] * 4
    await asyncio.gather(*(operative_record.complete(store, access, each) for access, each in zip(accesses, sent, strict=True)))
    total = await counts(store)
    assert (total["EpisodeOfCare"], total["Condition"], total["QuestionnaireResponse"], total["Procedure"]) == (1, 1, 8, 16)


async def test_the_same_operation_is_not_recorded_twice(store: Store, child: str) -> None:
    first = await operative_record.complete(store, RA1, record(child))
    with pytest.raises(Conflict, match=first.reference):
        await operative_record.complete(store, RA1, record(child, performed="2024-03-05T10:30:00+01:00"))
    assert (await counts(store))["QuestionnaireResponse"] == 1


async def refused(store: Store, access: Access, response: dict[str, Any]) -> Invalid:
    with pytest.raises(Invalid) as caught:
        await operative_record.complete(store, access, response)
    assert (await counts(store)).get("QuestionnaireResponse", 0) == 0
    assert (await counts(store)).get("EpisodeOfCare", 0) == 0
    return caught.value


async def test_every_fault_is_told_at_once_with_its_place_and_nothing_is_stored(store: Store, child: str) -> None:
    error = await refused(store, RA1, record(child, birth_weight=12, surgeon=None, blood_loss=-5, gap_bodies=5))
    told = {issue.link_id: issue for issue in error.issues}  # type: ignore[attr-defined]
    assert set(told) == {"birth-weight", "surgeon", "blood-loss", "gap"}
    assert told["surgeon"].diagnostics == "“Operating surgeon” needs an answer."
    assert told["birth-weight"].diagnostics == "“Birth weight” must be at least 300."
    assert told["birth-weight"].expression == "QuestionnaireResponse.item[1].item[1].answer[0].value"


@pytest.mark.parametrize(
    ("performed", "sentence"),
    [("2024-03-03T10:00:00+00:00", "before the child’s birth"), ("2999-01-01T10:00:00+00:00", "in the future")],
)
async def test_an_operation_before_birth_or_in_the_future_is_refused(
    store: Store, child: str, performed: str, sentence: str
) -> None:
    error = await refused(store, RA1, record(child, performed=performed))
    assert sentence in str(error)
    assert error.issues[0].expression == "QuestionnaireResponse.item[0].item[0].answer[0].value"


async def test_a_child_of_another_hospital_does_not_exist(store: Store, child: str) -> None:
    stranger = Access("stranger", "hospital", frozenset({"RC3"}))
    error = await refused(store, stranger, record(child))
    assert error.issues[0].expression == "QuestionnaireResponse.subject"


async def test_without_a_child_there_is_no_record(store: Store, child: str) -> None:
    sent = record(child)
    del sent["subject"]
    assert "subject" in str(await refused(store, RA1, sent))


async def test_where_no_hospital_is_known_one_is_asked_for(store: Store) -> None:
    await store.commit(SANDBOX, [Put({"resourceType": "Patient", "id": "p", "birthDate": "2024-03-04"})])
    error = await refused(store, SANDBOX, record("p"))
    assert error.issues[0].expression == "QuestionnaireResponse.author"
    await operative_record.complete(store, SANDBOX, record("p", author={"reference": "Organization/ra1"}))
    [case] = await everything(store, "EpisodeOfCare")
    assert case["managingOrganization"]["reference"] == "Organization/ra1"


async def test_a_surgeon_cannot_record_for_another_hospital(store: Store, child: str) -> None:
    stored = await operative_record.complete(store, RA1, record(child, author={"reference": "Organization/rb2"}))
    assert (await store.read(SYSTEM, "QuestionnaireResponse", stored.id)).owners == {"RA1", "RB2"} - {"RB2"}
    [case] = await everything(store, "EpisodeOfCare")
    assert case["managingOrganization"]["reference"] == "Organization/ra1"


async def test_a_draft_makes_nothing_but_wrong_answers_are_still_told(store: Store, child: str) -> None:
    draft = record(child, status="in-progress", surgeon=None)
    assert await operative_record.writes_for(store, RA1, draft) == []
    with pytest.raises(Invalid):
        await operative_record.writes_for(store, RA1, record(child, status="in-progress", birth_weight=12))


async def test_other_questionnaires_are_none_of_its_business(store: Store) -> None:
    assert (
        await operative_record.writes_for(store, RA1, {"resourceType": "QuestionnaireResponse", "id": "x", "status": "completed"})
        == []
    )


async def test_an_amendment_cannot_move_to_another_child(store: Store, child: str) -> None:
    sent = record(child)
    await operative_record.complete(store, RA1, sent)
    other = {"resourceType": "Patient", "id": "sibling", "birthDate": "2024-03-04"}
    await store.commit(RA1, [Put(other)])
    with pytest.raises(BusinessRule, match="another child"):
        await operative_record.complete(store, RA1, record("sibling", id=sent["id"], status="amended"))


async def test_a_record_in_error_takes_back_what_it_made(store: Store, child: str) -> None:
    sent = record(child)
    await operative_record.complete(store, RA1, sent)
    await withdraw(store, RA1, sent)
    total = await counts(store)
    assert (total.get("Procedure", 0), total.get("Observation", 0)) == (0, 0)
    [case] = await everything(store, "EpisodeOfCare")
    [diagnosis] = await everything(store, "Condition")
    assert case["status"] == "entered-in-error"
    assert diagnosis["verificationStatus"]["coding"][0]["code"] == "entered-in-error"
    assert validate(case) == validate(diagnosis) == []
    assert facts_from(await everything(store), date(2026, 1, 1)) is None
    await withdraw(store, RA1, sent)
    assert len(await everything(store, "EpisodeOfCare")) == 1


async def test_a_case_in_error_stays_so_and_a_new_record_makes_a_new_one(store: Store, child: str) -> None:
    wrong = record(child)
    await operative_record.complete(store, RA1, wrong)
    await withdraw(store, RA1, wrong)
    for access, performed in ((RB2, "2024-03-05T09:30:00+00:00"), (RA1, "2024-03-20T09:30:00+00:00")):
        await operative_record.complete(store, access, record(child, performed=performed, first_operation=access is RB2))
    cases = {case["status"]: case for case in await everything(store, "EpisodeOfCare")}
    assert set(cases) == {"entered-in-error", "active"}
    facts = facts_from(await everything(store), date(2026, 1, 1))
    assert facts is not None
    assert (facts.case, facts.hospital, len(facts.operations)) == (cases["active"]["id"], "RB2", 2)


async def test_a_record_taken_up_again_after_its_withdrawal_makes_a_case_again(store: Store, child: str) -> None:
    sent = record(child)
    for _ in range(2):
        await operative_record.complete(store, RA1, sent)
        await withdraw(store, RA1, sent)
    await operative_record.complete(store, RA1, {**sent, "status": "amended"})
    facts = facts_from(await everything(store), date(2026, 1, 1))
    assert facts is not None
    assert len(facts.operations) == 1


async def test_the_case_stays_while_another_operation_is_known(store: Store, child: str) -> None:
    first = record(child)
    second = record(child, performed="2024-04-05T09:30:00+00:00", first_operation=False)
    for sent in (first, second):
        await operative_record.complete(store, RA1, sent)
    await withdraw(store, RA1, first)
    [case] = await everything(store, "EpisodeOfCare")
    assert case["status"] == "active"
    await withdraw(store, RA1, second)
    [case] = await everything(store, "EpisodeOfCare")
    assert case["status"] == "entered-in-error"


async def test_a_case_that_statistics_know_an_operation_of_or_that_an_interface_made_stays(store: Store, child: str) -> None:
    told = builders.procedure("h", "2024-03-05", source="hes", code="G07.3", of=child)
    interface = builders.case("epr", "posterior-urethral-valves", of=child, hospital="RA1")
    await store.commit(RA1, [Put(told), Put(interface)])
    for condition in ("oesophageal-atresia", "posterior-urethral-valves"):
        sent = record(child, condition)
        await operative_record.complete(store, RA1, sent)
        await withdraw(store, RA1, sent)
    assert [case["status"] for case in await everything(store, "EpisodeOfCare")] == ["active", "active"]


async def test_a_merged_child_is_followed_to_the_record_that_is_kept(store: Store, child: str) -> None:
    gone = {
        "resourceType": "Patient", "id": "gone", "active": False, "link": [{"other": {"reference": f"Patient/{child}"}, "type": "replaced-by"}],
    }  # fmt: skip
    await store.commit(RA1, [Put(gone)])
    await operative_record.complete(store, RA1, record("gone"))
    [case] = await everything(store, "EpisodeOfCare")
    assert case["patient"]["reference"] == f"Patient/{child}"


async def test_a_record_begins_with_what_the_store_knows(store: Store, child: str) -> None:
    def told(id: str, code: str, value: float, unit: str, status: str = "final") -> Put:
        return Put({
            "resourceType": "Observation", "id": id, "status": status, "subject": {"reference": f"Patient/{child}"},
            "code": {"coding": [{"system": names.LOINC, "code": code}]}, "valueQuantity": {"value": value, "unit": unit},
        })  # fmt: skip

    wrong = told("z", "8339-4", 9.9, "kg", "entered-in-error")
    await store.commit(RA1, [told("w", "8339-4", 2.45, "KG"), wrong, told("g", "11884-4", 268, "days")])
    patient = await store.read(RA1, "Patient", child)
    draft = await operative_record.begin(store, RA1, patient, "gastroschisis")
    known = answered(draft)
    assert known["first-operation"] is True
    assert (known["birth-weight"], known["gestation"]) == (2450, 38)
    assert known["surgeon"] == "Surgeon of RA1"
    await operative_record.complete(store, RA1, record(child, "gastroschisis"))
    again = answered(await operative_record.begin(store, RA1, patient, "gastroschisis"))
    assert again["first-operation"] is False
    assert again["kind"]["code"] == "gastroschisis-simple", "what an earlier record said is not asked again"
    assert answered(await operative_record.begin(store, RA1, patient, "oesophageal-atresia"))["first-operation"] is True


async def test_the_condition_is_known_by_the_case_else_by_a_diagnosis_else_asked_for(store: Store, child: str) -> None:
    async def likely() -> str | None:
        return await operative_record.likely_condition(store, RA1, child)

    def diagnosis(id: str, code: str) -> Put:
        coding = {"coding": [{"system": names.ICD10, "code": code}]}
        condition = {"resourceType": "Condition", "id": id, "code": coding, "subject": {"reference": f"Patient/{child}"}}
        return Put(condition, owners=frozenset({"RA1"}))

    assert await likely() is None
    await store.commit(SYSTEM, [diagnosis("other", "J189"), diagnosis("ours", "P77X")])
    assert await likely() == "necrotising-enterocolitis"
    await store.commit(SYSTEM, [diagnosis("second", "Q79.3")])
    assert await likely() is None, "of two nobody can choose but the surgeon"
    await operative_record.complete(store, RA1, record(child, "gastroschisis"))
    assert await likely() == "gastroschisis"


def answered(response: dict[str, Any]) -> dict[str, Any]:
    from app.forms.items import answer_value, walk

    return {entry["linkId"]: answer_value(entry["answer"][0])[1] for _, entry in walk(response["item"]) if "answer" in entry}


async def test_a_draft_is_kept_as_typed_for_its_own_hospital_alone(store: Store, child: str) -> None:
    draft = drafts.begin_draft(RA1, "gastroschisis", child, {"birth-weight": ["heavy"]})
    saved = await drafts.save_draft(store, RA1, draft)
    assert (await drafts.load_draft(store, RA1, draft.id)).values == {"birth-weight": ["heavy"]}
    with pytest.raises(RecordConflict):
        await drafts.save_draft(store, RA1, draft)
    assert [each.id for each in await drafts.drafts(store, RA1, child)] == [draft.id]
    assert await drafts.drafts(store, RB2) == []
    with pytest.raises(NotFound):
        await drafts.load_draft(store, RB2, draft.id)
    with pytest.raises(FHIRError):
        await store.commit(RB2, [drafts.without_draft(draft.id)])
    assert (await drafts.load_draft(store, RA1, draft.id)).revision == saved.revision


async def test_completing_throws_the_draft_away_in_the_same_commit(store: Store, child: str) -> None:
    draft = await drafts.save_draft(store, RA1, drafts.begin_draft(RA1, "gastroschisis", child, {}))
    with pytest.raises(Invalid):
        await operative_record.complete(
            store, RA1, record(child, id=draft.id, surgeon=None), extra=[drafts.without_draft(draft.id)]
        )
    assert await drafts.drafts(store, RA1)
    await operative_record.complete(store, RA1, record(child, id=draft.id), extra=[drafts.without_draft(draft.id)])
    assert await drafts.drafts(store, RA1) == []

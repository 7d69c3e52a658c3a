"""The truth is one nation for one seed, like the cohorts that it was drawn from, and consistent in itself."""

import csv
import io
from datetime import date, timedelta
from pathlib import Path

import pytest

from app.demo import hes, hl7, records, truth
from app.demo.nation import HOSPITALS, simulate
from app.demo.pathways import PATHWAYS
from app.forms import validate_response
from app.intake.hl7v2 import er7
from app.outcomes.case_facts import CaseFacts, Infection, Operation
from app.outcomes.score import score
from app.outcomes.weights import demonstration
from app.registry.identity import valid_nhs_number
from app.registry.operations import counts_for, operation

TODAY = date(2026, 11, 23)
NATION = simulate(TODAY)


def test_a_seed_is_a_nation() -> None:
    assert simulate(TODAY).children == NATION.children
    assert simulate(TODAY, seed=1).children != NATION.children


def test_its_size_and_shares_are_those_of_the_programme() -> None:
    assert len(NATION.children) == 1650 and len(NATION.hospitals) == len(HOSPITALS) == 10
    share = {c: sum(child.condition == c for child in NATION.children) / 1650 for c in PATHWAYS}
    assert share["gastroschisis"] == pytest.approx(0.247, abs=0.03)
    assert share["posterior-urethral-valves"] == pytest.approx(0.107, abs=0.03)
    assert sorted(h.quality for h in NATION.hospitals)[1:-1] == [0.0] * 8


def test_numbers_are_valid_distinct_and_of_the_test_range() -> None:
    numbers = {child.nhs_number for child in NATION.children}
    assert len(numbers) == 1650 and all(valid_nhs_number(n) and n.startswith("999") for n in numbers)


def test_every_year_of_follow_up_is_over() -> None:
    assert all(child.index.on + timedelta(days=365) < TODAY for child in NATION.children)


def test_nothing_happens_to_a_child_before_birth_or_after_death() -> None:
    for child in NATION.children:
        ends = child.died or TODAY
        assert all(child.born <= o.on <= ends for o in child.operations), child.number
        assert all(child.born <= s.admitted <= s.discharged <= ends or s.discharged > TODAY for s in child.spells), child.number


def test_operations_of_a_child_fall_on_different_days() -> None:
    assert all(len({o.on for o in child.operations}) == len(child.operations) for child in NATION.children)


@pytest.mark.parametrize("condition", PATHWAYS)
def test_codes_are_of_the_size_that_they_stand_for(condition: str) -> None:
    pathway = PATHWAYS[condition]
    for codes, size in (
        (pathway.index_opcs, pathway.index_kind.split("-")[0]),
        (pathway.planned_major_opcs + pathway.emergency_major, "major"),
        (pathway.planned_minor_opcs + pathway.emergency_minor, "minor"),
    ):
        for code in codes:
            row = operation(code)
            assert row and row["size"] == size and counts_for(code, condition), code


def test_the_two_implementations_of_the_score_agree_on_every_child() -> None:
    weights = demonstration()
    for child in NATION.children:
        facts = CaseFacts(
            case="c",
            patient="p",
            hospital=child.hospital.ods,
            condition=child.condition,
            sex=child.sex,
            birth_date=child.born.isoformat(),
            index_date=child.index.on.isoformat(),
            as_of=child.as_of.isoformat(),
            horizon_reached=True,
            operations=tuple(Operation(on, kind, "hes") for on, kind in child.counted_operations()),  # type: ignore[arg-type]
            infections=tuple(Infection(on, "A49", "hes") for on in child.counted_infections()),
            quality_of_life=child.answered_quality,
            died_on=child.died_within.isoformat() if child.died_within else None,
        )
        ours, theirs = score(facts, weights), truth.score(child)
        assert ours.success == truth.success(child), child.number
        assert (ours.value is None) == (theirs is None)
        if theirs is not None:
            assert ours.value == pytest.approx(theirs)


def test_messages_parse_come_twice_and_out_of_order() -> None:
    messages = hl7.feed(NATION, NATION.hospitals[0], 2026)
    parsed = [er7.parse(message) for message in messages]
    ids = [message["MSH-10"] for message in parsed]
    assert len(set(ids)) < len(ids), "some come twice"
    assert ids != sorted(ids), "some change places"
    assert {message["MSH-9.2"] for message in parsed} >= {"A01", "A03", "A08", "A28", "A31", "A40", "R01"}


def test_records_answer_their_questionnaires() -> None:
    for child in NATION.children[:150]:
        for _, response in records.records(child):
            response |= {"subject": {"reference": "Patient/p"}}
            issues = validate_response(records.questionnaire(child.condition), response)
            assert [issue for issue in issues if issue.severity == "error"] == []


def test_episode_statistics_hold_every_operation_and_death_in_hospital(tmp_path: Path) -> None:
    path = tmp_path / "hes.csv"
    rows = hes.write(NATION, path, 2026)
    text = path.read_text()
    assert rows == len(text.splitlines()) - 1
    operations = sum(len(child.operations) for child in NATION.children)
    found = sum(bool(row[column]) for row in _rows(text) for column in ("OPERTN_01", "OPERTN_02"))
    assert found == operations


def _rows(text: str) -> list[dict[str, str]]:

    return list(csv.DictReader(io.StringIO(text)))

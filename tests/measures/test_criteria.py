"""Each shipped measure on cases made by hand: who is in which population."""

from datetime import date

import pytest

from app.fhir.errors import NotFound, NotSupported
from app.measures.columns import columns_of, flags_of, row_of
from app.measures.definition import define, shipped, shipped_ids
from app.outcomes.case_facts import CaseFacts, Operation
from tests.outcomes.cases import case, infections, operations

TODAY = date(2026, 1, 1)


def members(facts: CaseFacts, measure: str, today: date = TODAY) -> set[str]:
    columns = columns_of([facts], today)
    flags = flags_of([row_of(columns, 0, shipped(measure))], shipped(measure))
    assert flags.strata == (facts.condition,) and flags.stratum.tolist() == [0]
    return {code for code, member in flags.member.items() if member[0]}


ALIVE = {"initial-population", "denominator"}


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (case(), ALIVE | {"numerator"}),
        (case(quality_of_life=3), ALIVE),
        (case(quality_of_life=None), ALIVE | {"denominator-exception"}),
        (case(died_on="2023-04-01", as_of="2023-04-01", quality_of_life=None), ALIVE),
    ],
)
def test_treatment_success(facts: CaseFacts, expected: set[str]) -> None:
    assert members(facts, "treatment-success") == expected


def test_nobody_counts_before_the_horizon_has_passed_dead_or_alive() -> None:
    """Else recent deaths would count before recent survivals can."""
    early = date(2023, 12, 1)
    for facts in (case(horizon_reached=False, as_of="2023-12-01"), case(died_on="2023-04-01", as_of="2023-04-01")):
        for measure in shipped_ids():
            assert "denominator" not in members(facts, measure, early)
    assert "denominator" in members(case(), "infection", date(2024, 1, 2))
    assert "denominator" not in members(case(), "infection", date(2024, 1, 1))


def test_survival() -> None:
    assert "numerator" in members(case(quality_of_life=None), "survival-to-one-year")
    assert "numerator" not in members(case(died_on="2023-04-01"), "survival-to-one-year")


@pytest.mark.parametrize(
    ("done", "expected"),
    [
        (operations("major-emergency"), False),  # the first operation itself
        (operations("major-planned", "major-planned"), False),
        (operations("major-planned", "minor-emergency"), True),
        ((Operation("2023-01-02", "major-planned", "fhir"), Operation("2023-01-03", "major-emergency", "hes")), True),
        ((), False),
    ],
)
def test_unplanned_reoperation(done: tuple[Operation, ...], expected: bool) -> None:
    assert ("numerator" in members(case(operations=done), "unplanned-reoperation")) is expected


def test_infection() -> None:
    assert "numerator" not in members(case(), "infection")
    assert "numerator" in members(case(infections=infections(1)), "infection")


def test_what_cannot_be_evaluated_is_refused_with_the_place() -> None:
    good = dict(shipped("infection").resource)
    group = good["group"][0]
    cql = {**group["population"][0], "criteria": {"language": "text/cql", "expression": "x"}}
    broken = {**group["population"][0], "criteria": {"language": "text/fhirpath", "expression": "Patient.where("}}
    cases = [
        ({"scoring": {"coding": [{"code": "cohort"}]}}, "Measure.scoring"),
        ({"group": []}, "Measure.group"),
        ({"group": [{"population": [cql]}]}, "Measure.group[0].population[0].criteria"),
        ({"group": [{"population": [broken]}]}, "Measure.group[0].population[0].criteria.expression"),
        ({"group": [{**group, "population": group["population"][:2]}]}, "Measure.group[0].population"),
        ({"group": [{**group, "stratifier": group["stratifier"] * 2}]}, "Measure.group[0].stratifier"),
    ]
    for change, place in cases:
        with pytest.raises(NotSupported) as caught:
            define({**good, **change})
        assert caught.value.issues[0].expression == place
    with pytest.raises(NotFound, match="There is: infection"):
        shipped("no-such-measure")


def test_a_measure_without_a_stratifier_has_no_strata() -> None:
    from app.measures.evaluate import summarise
    from app.measures.period import period
    from app.measures.rules import rules
    from app.measures.tally import tally
    from app.security.access import SYSTEM

    group = {key: value for key, value in shipped("infection").resource["group"][0].items() if key != "stratifier"}
    plain = define({**shipped("infection").resource, "group": [group]})
    columns = columns_of([case()], TODAY)
    flags = flags_of([row_of(columns, 0, plain)], plain)
    counted = tally(columns, flags, plain, period("2023", "2023"), None, rules())
    report = summarise(counted, period("2023", "2023"), SYSTEM, 0)
    assert "stratifier" not in report["group"][0] and report["group"][0]["population"][0]["count"] == 1

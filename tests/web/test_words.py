"""Sentences about a result, for the cases in which there is less to say."""

import numpy as np
import pytest

from app.measures.comparison import compare
from app.measures.definition import shipped_ids
from app.measures.report import LIMIT_PLACES
from app.measures.rules import rules
from app.measures.table import Row
from app.names import CONDITIONS
from app.statistics import poisson_binomial
from app.web import words


def row(**changes: object) -> Row:
    figures = {
        "hospital": "ZA1", "name": "A", "stratum": "", "suppressed": False, "cases": 12, "known": 10, "observed": 8, "expected": 7.5,
        "ratio": 1.07, "low": 0.6, "high": 1.3, "limits": (0.41, 0.96, 0.25, 1.0), "band": "", "band_code": "as-expected", "signal": "",
        "completeness": 10 / 12, "model": "m|1",
    }  # fmt: skip
    return Row(**(figures | changes))


def test_the_headline() -> None:
    assert words.headline(row(), "treatment-success") == (
        "8 of 10 children did well; 7.5 were expected to. That is 1.07 times what was expected (95% interval 0.60 to 1.30)."
    )
    assert "no case-mix model" in words.headline(row(expected=None, ratio=None), "infection")
    assert "to the hospital alone" in words.headline(row(known=None, observed=None), "infection")
    assert "known yet" in words.headline(row(known=0, observed=0), "infection")


def test_the_range_is_told_in_whole_children() -> None:
    assert words.expected_shares(row()) == (0.5, 1.0, 0.3, 1.0)
    assert "between 5 and 10 in 19 of 20" in words.chance(row())
    assert words.expected_range(row()) == "between 50 and 100 of 100"
    assert words.expected_shares(row(limits=None)) is None and words.chance(row(limits=None)) == ""


@pytest.mark.parametrize("published", [False, True])
@pytest.mark.parametrize("spread", [False, True])
def test_the_bar_ends_with_the_last_child_that_is_not_unusual_however_many_there_are(published: bool, spread: bool) -> None:
    rng = np.random.default_rng(7)
    for known in rng.integers(20, 1200, size=150).tolist():
        chances = rng.beta(8, 2, known) if spread else np.full(known, rng.uniform(0.6, 0.97))
        by = rules()
        found = compare(known // 2, chances, decrease=False, completeness=1.0, rules=by)
        limits = tuple(round(end, LIMIT_PLACES) if published else end for end in found.limits)
        low, high, lowest, highest = (round(share * known) for share in words.expected_shares(row(known=known, limits=limits)))
        mass = poisson_binomial.pmf(chances)
        below, above = np.cumsum(mass), np.cumsum(mass[::-1])[::-1]
        for least, most, alpha in ((low, high, by.alert), (lowest, highest, by.alarm)):
            assert least == np.flatnonzero(below > alpha)[0] and most == np.flatnonzero(above > alpha)[-1]


def test_missing_outcomes_come_with_what_they_could_change() -> None:
    assert words.missing(row()) == (
        "The outcome of 10 of 12 children is known (83%). Depending on the other 2, the share could be anything from 67% to 83%."
    )
    assert words.missing(row(completeness=1.0)) == "The outcome of all 10 children is known."
    assert words.missing(row(known=None, observed=None, completeness=None)) == ""


@pytest.mark.parametrize("measure", shipped_ids())
def test_every_measure_that_ships_has_its_words(measure: str) -> None:
    assert words.wording(measure).did != words.wording(measure).did_not


def test_every_condition_has_its_name() -> None:
    assert set(words.CONDITIONS) == set(CONDITIONS)


@pytest.mark.parametrize(
    ("band", "signal", "told"),
    [
        ("fewer-good", "alarm", "Look into it now"),
        ("better", "alarm", "others can learn"),
        ("fewer-good", "alert", "not a verdict"),
        ("better", "alert", "See whether it lasts"),
    ],
)
def test_an_unusual_result_says_what_to_do_next(band: str, signal: str, told: str) -> None:
    assert told in words.signal(row(band_code=band, signal=signal))


def test_a_usual_result_asks_for_nothing() -> None:
    assert words.signal(row()) == ""

import numpy as np
import pytest

from app.measures.comparison import BANDS, compare
from app.measures.rules import rules

RULES = rules()
CHANCES = np.repeat([0.95, 0.80, 0.50], [10, 20, 10])


def judged(observed: int, chances: np.ndarray = CHANCES, *, decrease: bool = False, completeness: float = 1.0):
    found = compare(observed, chances, decrease=decrease, completeness=completeness, rules=RULES)
    assert found is not None
    return found


def test_known_numbers() -> None:
    found = judged(24)
    assert (found.expected, found.ratio) == (pytest.approx(30.5), pytest.approx(24 / 30.5))
    assert (found.tail_low, found.tail_high) == (pytest.approx(0.009939, abs=5e-7), pytest.approx(1, abs=0.01))
    assert (found.band, found.signal) == ("fewer-good", "alert")
    assert found.ratio_high < 1
    assert found.limits[2] < found.limits[0] < 30.5 / 40 < found.limits[1] < found.limits[3]


@pytest.mark.parametrize(
    ("observed", "band", "signal"),
    [
        (20, "fewer-good", "alarm"),
        (25, "as-expected", ""),
        (30, "as-expected", ""),
        (37, "better", "alert"),
        (40, "better", "alarm"),
    ],
)
def test_bands(observed: int, band: str, signal: str) -> None:
    assert (judged(observed).band, judged(observed).signal) == (band, signal)


def test_where_an_event_is_bad_the_words_turn_round() -> None:
    assert judged(24, decrease=True).band == "better"
    assert judged(37, decrease=True).band == "fewer-good"


def test_too_few_to_tell() -> None:
    assert judged(0, np.full(9, 0.9)).band == "too-few"
    assert judged(0, np.full(10, 0.9)).band == "fewer-good"
    assert judged(0, np.full(12, 0.1)).band == "as-expected"
    assert judged(20, completeness=0.59).band == "too-few"
    assert judged(0, np.full(40, 0.0005)).band == "as-expected"
    assert judged(0, np.full(9, 0.9)).signal == ""
    assert compare(0, np.zeros(0), decrease=False, completeness=1.0, rules=RULES) is None


def test_words_are_the_agreed_ones_and_never_rank() -> None:
    assert list(BANDS.values()) == [
        "as expected for the children treated here",
        "better than expected",
        "fewer good outcomes than expected",
        "too few children to tell",
    ]


def test_alike_hospitals_are_flagged_no_more_often_than_nominal_and_a_bad_one_is_found() -> None:
    """2,000 hospitals of 120 children that do exactly as expected; then 200 in which every child's odds of success are a third."""
    rng = np.random.default_rng(8)
    flagged = {"better": 0, "fewer-good": 0, "as-expected": 0}
    for _ in range(2000):
        chances = rng.choice([0.95, 0.85, 0.6, 0.4], 120, p=[0.4, 0.3, 0.2, 0.1])
        tails = judged_quickly(int((rng.random(120) < chances).sum()), chances)
        flagged[tails] += 1
    assert flagged["fewer-good"] <= 0.025 * 2000 + 3 * np.sqrt(0.025 * 2000)
    assert flagged["better"] <= 0.025 * 2000 + 3 * np.sqrt(0.025 * 2000)
    found = 0
    for _ in range(200):
        chances = rng.choice([0.95, 0.85, 0.6, 0.4], 120, p=[0.4, 0.3, 0.2, 0.1])
        worse = chances / 3 / (1 - chances + chances / 3)
        found += judged_quickly(int((rng.random(120) < worse).sum()), chances) == "fewer-good"
    assert found > 195


def judged_quickly(observed: int, chances: np.ndarray) -> str:
    """The band by the tails alone: the interval of the ratio costs ten times as much and decides nothing."""
    from app.statistics import poisson_binomial
    from app.statistics.tails import flag

    return {1: "better", -1: "fewer-good", 0: "as-expected"}[int(flag(poisson_binomial.tails(observed, chances), RULES.alert))]

import csv
from pathlib import Path

import numpy as np
import pytest

from app.statistics import funnel, intervals, tails

CENTRES = {  # children's heart surgery under one year of age, 1991-95: operations, deaths (public inquiry data)
    "Bristol": (143, 41),
    "Leicester": (187, 25),
    "Leeds": (323, 24),
    "Oxford": (122, 23),
    "Guys": (164, 25),
    "Liverpool": (405, 42),
    "Southampton": (239, 24),
    "GOS": (482, 53),
    "Newcastle": (195, 26),
    "Harefield": (177, 25),
    "Birmingham": (581, 58),
    "Brompton": (301, 31),
}


def test_ratio_limits_of_the_published_funnel_package() -> None:
    expected = np.array([15.0, 20.0, 30.0])
    found = intervals.poisson_exact(expected).scaled(1 / expected)
    np.testing.assert_allclose(found.low, [0.5596924, 0.6108260, 0.6746958], atol=5e-8)
    np.testing.assert_allclose(found.high, [1.649348, 1.544419, 1.427562], atol=5e-7)
    found = intervals.poisson_exact(expected, 0.998).scaled(1 / expected)
    np.testing.assert_allclose(found.low, [0.3862650, 0.4479107, 0.5289724], atol=5e-8)
    np.testing.assert_allclose(found.high, [2.082907, 1.902094, 1.702771], atol=5e-7)


@pytest.mark.parametrize(
    ("expected", "limits"),
    [
        (10, (0.377519, 1.615995, 0.122053, 2.066200)),
        (15, (0.490659, 1.505544, 0.271604, 1.855808)),
        (30, (0.641104, 1.357215, 0.469242, 1.593737)),
        (100, (0.803663, 1.195809, 0.700653, 1.318048)),
    ],
)
def test_exact_poisson_limits(expected: int, limits: tuple[float, ...]) -> None:
    found = [float(funnel.poisson_limit(expected, p)) for p in (0.025, 0.975, 0.001, 0.999)]
    assert found == pytest.approx(limits, abs=6e-7)


def test_limit_of_a_small_target_is_cut_at_nothing() -> None:
    assert funnel.poisson_limit(5, 0.001) == 0


def test_childrens_heart_surgery() -> None:
    operations, deaths = np.array(list(CENTRES.values())).T
    target = deaths.sum() / operations.sum()
    assert target == pytest.approx(397 / 3319)
    bristol = [100 * float(funnel.binomial_limit(143, target, p)) for p in (0.025, 0.975, 0.001, 0.999)]
    assert bristol == pytest.approx([6.5279, 17.1991, 4.0485, 20.7317], abs=5e-5)
    both = tails.binomial(deaths, operations, target)
    names = np.array(list(CENTRES))
    assert set(names[tails.flag(both, 0.001) != 0]) == {"Bristol"}
    assert set(names[tails.flag(both) > 0]) == {"Bristol", "Oxford"}
    assert set(names[tails.flag(both) < 0]) == {"Leeds"}


@pytest.mark.parametrize(("n", "expected"), [(10, (50, 100)), (20, (60, 95)), (40, (67.5, 92.5))])
def test_resolution_at_the_size_of_a_hospital(n: int, expected: tuple[float, float]) -> None:
    from scipy.stats import binom

    assert (100 * binom.ppf([0.025, 0.975], n, 0.8) / n).tolist() == pytest.approx(expected)
    low, high = (float(funnel.binomial_limit(n, 0.8, p)) * 100 for p in (0.025, 0.975))
    assert expected[0] - 100 / n <= low <= expected[0] and expected[1] - 100 / n <= high <= expected[1]


def test_false_alarms_stay_at_or_below_nominal_at_every_target_but_not_by_the_drawn_curve() -> None:
    from scipy.stats import poisson

    targets = np.arange(1.0, 50.0, 0.05)
    counts = np.arange(0, 160)
    both = tails.poisson(counts[:, None], targets[None, :])
    mass = poisson.pmf(counts[:, None], targets[None, :])
    high = (mass * (tails.flag(both) > 0)).sum(axis=0)
    low = (mass * (tails.flag(both) < 0)).sum(axis=0)
    assert high.max() <= 0.025 and low.max() <= 0.025
    assert np.median(high) == pytest.approx(0.0201, abs=0.0003)
    assert np.median(low) == pytest.approx(0.0186, abs=0.0003)
    curve = funnel.poisson_limit(targets, 0.975) * targets
    assert (mass * (counts[:, None] > curve)).sum(axis=0).max() > 0.08  # why the curve is not the test
    interval = intervals.poisson_exact(targets).high
    assert np.median((mass * (counts[:, None] > interval)).sum(axis=0)) == pytest.approx(0.0120, abs=0.0004)


def _rows(folder: Path, name: str) -> list[dict[str, str]]:
    path = next(folder.rglob(name))
    with path.open(encoding="utf-8-sig", newline="") as file:
        return [{key.strip(): value for key, value in row.items()} for row in csv.DictReader(file)]


@pytest.mark.conformance
def test_all_300_labels_of_the_english_funnel_test_sheet(csor_data) -> None:
    rows = _rows(csor_data("stats-oracles"), "testdata_funnel_ratio_inputs.csv")
    assert len(rows) == 300
    both = tails.poisson([float(row["obs"]) for row in rows], [float(row["expected"]) for row in rows])
    alert, alarm = tails.flag(both, tails.ALERT), tails.flag(both, tails.ALARM)
    words = {1: "High", 0: "", -1: "Low"}
    said = [
        f"{words[b]} (0.001)" if b else f"{words[a]} (0.025)" if a else "Not significant"
        for a, b in zip(alert, alarm, strict=True)
    ]
    assert said == [row["significance"] for row in rows]


@pytest.mark.conformance
def test_limit_rows_of_the_english_funnel_test_sheet(csor_data) -> None:
    rows = _rows(csor_data("stats-oracles"), "testdata_funnel_ratio_outputs.csv")
    counts = np.array([float(row["Observed_events"]) for row in rows])
    for confidence, sigma in ((0.95, 2), (0.998, 3)):
        found = intervals.poisson_exact(counts, confidence)
        for limit, column in ((found.high, f"lower_{sigma}s_exp_events"), (found.low, f"upper_{sigma}s_exp_events")):
            np.testing.assert_allclose(limit, [float(row[column]) for row in rows], rtol=5e-7, atol=1e-6)

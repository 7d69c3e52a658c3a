"""Nothing small can be worked out from what is shown. The judge knows nothing of how cells are chosen: it reads the reports of all measures that ship, as a
system of linear equations, and asks whether a small count follows from it."""

from collections.abc import Iterable, Iterator
from datetime import date
from itertools import combinations
from typing import Any

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from app.measures.columns import Columns, Flags
from app.measures.definition import POPULATIONS, shipped, shipped_ids
from app.measures.disclosure import suppressed
from app.measures.evaluate import cells, summarise
from app.measures.period import period
from app.measures.rules import Rules, rules
from app.measures.table import row_of
from app.measures.tally import Tally, tally
from app.security.access import PUBLIC
from app.statistics.arrays import Integers

SPAN = period("2023", "2023")
CODES = ("initial-population", "denominator", "denominator-exception", "numerator")
CHANCES = {"treatment-success": 0.75, "survival-to-one-year": 0.92, "infection": 0.25, "unplanned-reoperation": 0.2}


def counted(
    numbers: Integers, seed: int = 1, *, recent: float = 0.0, unknown: float = 0.2, by: Rules | None = None
) -> list[Tally]:
    """Every measure that ships over the same children, (hospitals, conditions); those of the first row are of no hospital that anybody named."""
    rng = np.random.default_rng(seed)
    hospital, stratum = (place.repeat(numbers.ravel()) for place in np.indices(numbers.shape).reshape(2, -1))
    cases = len(hospital)
    places = ("", *(f"ZA{number:02d}" for number in range(1, len(numbers))))
    none: Any = None
    day = np.full(cases, date(2023, 6, 1).toordinal())
    columns = Columns((), places, hospital, day, none, none, date(2026, 1, 1))
    joined = (rng.random(len(numbers)) < 0.2) & (recent > 0)  # hospitals that have none but recent children
    denominator = (rng.random(cases) >= recent) & ~joined[hospital]
    missing = rng.random(cases) < unknown
    found = []
    for id in shipped_ids():
        exception = missing if "denominator-exception" in shipped(id).criteria else np.zeros(cases, dtype=bool)
        every, event = np.ones(cases, dtype=bool), rng.random(cases) < CHANCES[id]
        member = dict(zip(POPULATIONS, (every, denominator, ~every, exception, event & ~exception), strict=True))
        flags = Flags(member, tuple(f"condition {number}" for number in range(numbers.shape[1])), stratum)
        found.append(tally(columns, flags, shipped(id), SPAN, None, by or rules()))
    return found


Told = dict[
    tuple[str, str], np.ndarray[Any, Any]
]  # by measure ("" for what all share) and population: is the count of a cell known?


def told(tallies: list[Tally]) -> Told:
    """What the public reports say, (hospitals + 1, 1 + strata). A cell that is left out has no children."""
    shape = tallies[0].hidden.shape
    known = {(measure, code): np.zeros(shape, dtype=bool) for measure in ("", *shipped_ids()) for code in CODES}
    for each in tallies:
        for hospital in (*each.reporting(), None):
            (group,) = summarise(each, SPAN, PUBLIC, hospital)["group"]
            strata = {s["value"]["text"]: s for s in group.get("stratifier", [{"stratum": []}])[0]["stratum"]}
            for column, cell in enumerate((group, *(strata.get(name) for name in each.strata))):
                place = -1 if hospital is None else hospital, column
                counts = {p["code"]["coding"][0]["code"]: p.get("count") for p in cell["population"]} if cell else {}
                beside = {part["url"].rpartition("/")[2] for part in cell.get("extension", ())} if cell else set()
                masked = cell is not None and None in counts.values()
                assert not (
                    masked and ("measureScore" in cell or "measure-completeness" in beside or any(map(bool, counts.values())))
                )
                assert masked == ("measure-suppressed" in beside)
                for code in CODES:
                    shared = code in ("initial-population", "denominator")
                    known["" if shared else each.definition.id, code][place] |= not masked
        known[each.definition.id, "denominator-exception"] |= "denominator-exception" not in each.definition.criteria
    return known


def follows(known: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Which cells follow from the known ones, as rows are the sums of their strata and the last row is the sum of the others."""
    hospitals, columns = known.shape
    number = np.arange(known.size).reshape(known.shape)
    sums = np.zeros((hospitals + columns, known.size))
    for row in range(hospitals):
        sums[row, number[row]] = [1, *[-1] * (columns - 1)]
    for column in range(columns):
        sums[hospitals + column, number[:, column]] = [*[1] * (hospitals - 1), -1]
    free = np.flatnonzero(~known.ravel())
    _, values, vectors = np.linalg.svd(sums[:, free])
    nowhere = vectors[(values > 1e-9).sum() :]  # what can change while nothing that is told does
    found = known.ravel().copy()
    found[free] = ~(np.abs(nowhere) > 1e-9).any(axis=0)
    return found.reshape(known.shape)


def leaks(tallies: list[Tally], knowers: Iterable[tuple[int, ...]]) -> Iterator[str]:
    """The small counts that whoever knows these hospitals' rows can have."""
    public = told(tallies)
    sizes = {
        (measure, code): np.array(
            [
                [each.cell(h, column).counts.get(code, 0) for column in range(1 + len(each.strata))]
                for h in (*range(len(each.columns.hospitals)), None)
            ]
        )
        for each in tallies
        for code in CODES
        for measure in (("",) if code in CODES[:2] else (each.definition.id,))
    }
    nobody = public["", CODES[1]] & (sizes["", CODES[1]] == 0)
    for (_, code), value in public.items():
        value |= nobody if code in CODES[2:] else False
    for own in knowers:
        known = {key: value.copy() for key, value in public.items() if key in sizes}
        for value in known.values():
            value[list(own)] = True
        found = {key: follows(value) for key, value in known.items()}
        # Where nobody else has a child, whoever knows these rows knows the cell.
        of_others = sizes["", CODES[0]].copy()
        of_others[-1] -= of_others[list(own)].sum(axis=0)
        of_others[list(own)] = 0
        initial, denominator = ("", CODES[0]), ("", CODES[1])
        small: list[tuple[str, dict[tuple[str, str], int]]] = [
            ("children", {initial: 1}),
            ("children that count", {denominator: 1}),
            ("recent children", {initial: 1, denominator: -1}),
        ]
        for id in shipped_ids():
            unknown, events = (id, CODES[2]), (id, CODES[3])
            small += [(f"{id}: unknown", {unknown: 1})] if tallies[0].rules.suppress_unknown else []
            small += [
                (f"{id}: known", {denominator: 1, unknown: -1}),
                (f"{id}: events", {events: 1}),
                (f"{id}: without event", {denominator: 1, unknown: -1, events: -1}),
            ]
        for name, terms in small:
            size = sum(sign * sizes[key] for key, sign in terms.items())
            # No sum has counts of two populations, so a difference follows only where both do.
            had = np.logical_and.reduce([found[key] for key in terms])
            for place in np.argwhere(had & (size >= 1) & (size <= 7) & (of_others > 0)):
                yield f"{name} at {tuple(map(int, place))}, to {own}"


def anybody(tallies: list[Tally], pool: int = 1) -> list[tuple[int, ...]]:
    hospitals = range(len(tallies[0].columns.hospitals))
    return [own for size in range(pool + 1) for own in combinations(hospitals, size)]


@st.composite
def nations(draw: st.DrawFn, most_hospitals: int = 12) -> Integers:
    """2 to 12 hospitals, 1 to 6 conditions, from all alike to each with its own; a few children of no known hospital."""
    hospitals, conditions = draw(st.integers(2, most_hospitals)), draw(st.integers(1, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    mean = draw(st.sampled_from([4, 12, 30, 80])) * rng.uniform(0.3, 1.7, size=(hospitals, conditions))
    mean *= rng.random((hospitals, conditions)) >= draw(st.sampled_from([0, 0.1, 0.4, 0.7, 0.85]))
    nowhere = draw(st.sampled_from([0, 0, 2])) * np.ones((1, conditions))
    return rng.poisson(np.vstack([nowhere, mean]))


def hidden(known: list[list[int]], events: list[list[int]]) -> list[list[bool]]:
    """Of (hospitals, strata), as (hospitals + 1, 1 + strata)."""

    def table(counts: Integers) -> Integers:
        rows = np.hstack([counts.sum(axis=1, keepdims=True), counts])
        return np.vstack([rows, rows.sum(axis=0, keepdims=True)])

    cases, event = table(np.array(known)), table(np.array(events))
    return suppressed(np.stack([cases]), np.stack([cases, event, cases - event]), rules()).tolist()


def test_small_counts_of_children_events_or_their_absence_are_hidden_and_zeros_are_not() -> None:
    cells = [[40, 20], [40, 3], [40, 36], [40, 38], [40, 0], [40, 40], [0, 0], [40, 8]]
    found = hidden([[cases] for cases, _ in cells], [[events] for _, events in cells])
    assert [row[1] for row in found] == [False, True, True, True, False, False, False, False, False]
    assert all(row[0] is row[1] for row in found)  # the only stratum is the whole


def test_few_children_take_those_of_two_other_hospitals_with_them_whatever_else_a_measure_hides() -> None:
    numbers, few = [[40], [50], [5], [60], [70]], [[20], [25], [0], [3], [3]]
    assert [row[1] for row in hidden(numbers, [[0]] * 5)] == [True, True, True, False, False, False]
    assert [row[1] for row in hidden(numbers, few)] == [True, True, True, True, True, False]


def test_a_measure_without_strata_hides_as_if_all_were_one_stratum() -> None:
    events = np.array([[[3], [20], [20], [20], [63]]])
    cases = np.array([[[30], [40], [50], [60], [180]]])
    found = suppressed(cases, np.concatenate([cases, events, cases - events]), rules())
    assert found.tolist() == [[True], [True], [True], [False], [False]]


def test_few_unknown_outcomes_are_hidden_where_the_rules_say_so() -> None:
    for numbers, say, hides in ((90, True, True), (90, False, False), (600, True, False)):
        by = msgspec.structs.replace(rules(), suppress_unknown=say)
        (found,) = (
            each for each in counted(np.full((5, 3), numbers), unknown=0.05, by=by) if each.definition.id == "treatment-success"
        )
        assert np.any(found.hidden) == hides


def test_a_lone_small_stratum_takes_others_with_it_the_smallest_first() -> None:
    found = hidden([[30, 40, 25]] * 5, [[15, 20, 3]] + [[15, 20, 12]] * 4)
    assert np.argwhere(found).tolist() == [
        [0, 1],
        [0, 3],
        [1, 1],
        [1, 3],
        [2, 1],
        [2, 3],
    ]  # in three hospitals, for one knows its own


def test_of_two_hospitals_neither_has_the_other_from_the_whole() -> None:
    assert np.all(hidden([[40], [20]], [[32], [16]])) and not np.any(hidden([[40], [20]], [[30], [10]]))


@settings(max_examples=80, deadline=None)
@given(
    nations(),
    st.integers(0, 2**32),
    st.sampled_from([0.0, 0.0, 0.1, 0.85]),
    st.sampled_from([0.0, 0.02, 0.25, 0.7]),
    st.booleans(),
)
def test_no_small_count_can_be_had_from_all_measures_together(
    numbers: Integers, seed: int, recent: float, unknown: float, hidden: bool
) -> None:
    by = msgspec.structs.replace(rules(), suppress_unknown=hidden)
    tallies = counted(numbers, seed, recent=recent, unknown=unknown, by=by)
    assert not list(leaks(tallies, anybody(tallies)))


@settings(max_examples=15, deadline=None)
@given(nations(5), st.integers(0, 2**32))
def test_nor_by_two_hospitals_that_pool_what_they_know_where_the_rules_say_four(numbers: Integers, seed: int) -> None:
    tallies = counted(numbers, seed, by=msgspec.structs.replace(rules(), fewest_suppressed_hospitals=4))
    assert not list(leaks(tallies, anybody(tallies, 2)))


def test_the_judge_finds_what_one_hidden_cell_leaves_open() -> None:
    known = np.ones((4, 4), dtype=bool)
    known[[0, 0, 1, 1, 2], [1, 2, 1, 2, 3]] = False
    assert not follows(known)[:2, 1:3].any() and follows(known)[2, 3]


def test_a_row_and_a_report_of_a_hidden_cell_hold_no_figure() -> None:
    (each, *_) = counted(np.full((4, 3), 20))
    for hospital in each.reporting():
        whole, strata = cells(each, PUBLIC, hospital)
        rows = [row_of(each, cell, "", "") for cell in (whole, *strata)]
        assert [row.suppressed for row in rows] == each.hidden[hospital].tolist()
        figures = [
            (row.cases, row.known, row.observed, row.expected, row.ratio, row.completeness) for row in rows if row.suppressed
        ]
        assert set(figures) == {(None,) * 6}


def test_measures_that_ship_count_the_same_children() -> None:
    """What hides the children is chosen by each measure for itself: it is alike in all only as long as this holds."""
    each = [shipped(id) for id in shipped_ids()]
    said = {(*(one.criteria[code].text for code in CODES[:2]), one.stratifiers[0][1].text) for one in each}
    assert len(said) == 1
    assert not any("denominator-exclusion" in one.criteria for one in each)

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from app.measures.disclosure import suppressed
from app.measures.rules import rules

RULES = rules()


def table(hospitals: list[list[tuple[int, int]]]) -> tuple[np.ndarray, np.ndarray]:
    """Strata of (cases, events) for each hospital, with the whole in front."""
    cells = np.array(hospitals)
    whole = cells.sum(axis=1, keepdims=True)
    both = np.concatenate([whole, cells], axis=1)
    return both[:, :, 0], both[:, :, 1]


def test_small_counts_of_children_events_or_their_absence_are_hidden_and_zeros_are_not() -> None:
    hidden = suppressed(*table([[(40, 20)], [(40, 3)], [(40, 36)], [(5, 0)], [(40, 0)], [(40, 40)], [(0, 0)], [(40, 8)]]), RULES)
    assert hidden[:, 1].tolist() == [False, True, True, True, False, False, False, False]


def test_a_lone_small_stratum_takes_another_with_it() -> None:
    hidden = suppressed(*table([[(30, 15), (40, 20), (25, 3)]] * 5), RULES)
    assert not hidden[:, 0].any()
    assert hidden[:, 1:].tolist() == [[True, False, True]] * 5


def test_fewer_than_three_hidden_hospitals_take_others_with_them() -> None:
    """Else a hospital that knows its own count could have the other's from the national total."""
    hidden = suppressed(*table([[(40, 3)], [(50, 25)], [(60, 30)], [(70, 35)]]), RULES)
    assert hidden[:, 0].tolist() == [True, True, True, False]


cells = st.integers(0, 60).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n)))


@settings(max_examples=80, deadline=None)
@given(
    st.integers(1, 4).flatmap(lambda strata: st.lists(st.lists(cells, min_size=strata, max_size=strata), min_size=1, max_size=6))
)
def test_nothing_small_is_shown_or_left_alone(hospitals: list[list[tuple[int, int]]]) -> None:
    cases, events = table(hospitals)
    hidden = suppressed(cases, events, RULES)
    for counts in (cases, events, cases - events):
        assert not np.any((counts >= 1) & (counts <= 7) & ~hidden)
    for row, size in zip(hidden, cases, strict=True):
        open_strata = (~row[1:] & (size[1:] > 0)).any()
        if not row[0]:
            assert row[1:].sum() != 1 or not open_strata  # the total tells no single stratum
        else:
            assert row[1:].any() or not open_strata  # the strata do not tell the total
    for column, size in zip(hidden.T, cases.T, strict=True):
        assert column.sum() == 0 or column.sum() >= 3 or not np.any(~column & (size > 0))

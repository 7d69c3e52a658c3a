"""The checker finds what it is there to find."""

import pytest

from tests.torture.history import Event, History, anomalies


def history(*events: Event, pairs=()) -> History:
    made = History(list(events), list(pairs))
    for event in events:
        made.attempted[event.name].add(event.value)
    return made


def test_a_plain_history_is_sound() -> None:
    sound = history(
        Event("write", "r", 1, "a", 0, 1),
        Event("read", "r", 1, "a", 0.5, 1.5),  # during the write: it may be seen already
        Event("write", "r", 2, "b", 2, 5),
        Event("read", "r", 1, "a", 2, 3),  # or not yet
        Event("read", "r", 2, "b", 3.5, 4),
        pairs=[(1, 1)],
    )
    assert anomalies(sound) == []


@pytest.mark.parametrize(
    ("events", "says"),
    [
        ([Event("write", "r", 1, "a", 0, 1), Event("write", "r", 1, "b", 0, 1)], "given to 2 writes"),
        ([Event("write", "r", 2, "a", 0, 1), Event("write", "r", 1, "b", 2, 3)], "after 2 had been told"),
        ([Event("write", "r", 2, "a", 0, 1), Event("read", "r", 1, "b", 2, 3)], "after 2 had been told"),
        ([Event("read", "r", 2, "a", 0, 1), Event("read", "r", 1, "b", 2, 3)], "after 2 had been told"),
        ([Event("write", "r", 1, "a", 0, 1), Event("read", "r", 1, "b", 2, 3)], "two contents"),
    ],
)
def test_an_impossible_one_is_not(events: list[Event], says: str) -> None:
    assert any(says in found for found in anomalies(history(*events)))


def test_what_was_refused_must_not_be_there() -> None:
    refused = history(Event("read", "r", 1, "a", 0, 1))
    refused.refused["r"].add("a")
    assert anomalies(refused) == ["r: version 1 holds what was refused"]


def test_what_nobody_wrote_and_half_transactions_are_found() -> None:
    invented = History([Event("read", "r", 1, "x", 0, 1)])
    assert any("nobody wrote" in found for found in anomalies(invented))
    assert any("half" in found for found in anomalies(history(pairs=[(1, 2)])))

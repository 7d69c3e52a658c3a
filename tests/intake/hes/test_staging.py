"""Staging: every row comes back with its person, and memory does not grow with the file."""

import tracemalloc

from app.intake.hes.staging import BUCKETS, IN_MEMORY, Staging, person_of
from tests.intake.hes.builders import NUMBER, episode


def test_whom_a_row_is_about() -> None:
    assert person_of(episode("7", person="P", nhs_number=NUMBER)) == "P"
    assert person_of(episode("7", person="", nhs_number="999 000 0018")) == f"nhs {NUMBER}"
    assert person_of(episode("7", person="", nhs_number="9990000019")) == "row 7"


def test_every_row_comes_back_with_its_person() -> None:
    rows = [episode(str(n), line=n, person=f"P{n % 300}") for n in range(3000)]
    with Staging() as staging:
        for each in rows:
            staging.add(each)
        people = dict(staging.people())
    assert len(people) == 300
    assert people["P7"] == [each for each in rows if each.person == "P7"]
    assert sum(map(len, people.values())) == 3000


def test_memory_is_bounded() -> None:
    cells = tuple("x" * 20 for _ in range(30))
    count, size = 20_000, 700
    tracemalloc.start()
    with Staging() as staging:
        for n in range(count):
            staging.add(episode(str(n), person=f"P{n}", row=cells))
        assert sum(1 for _ in staging.people()) == count
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count * size > 2 * BUCKETS * IN_MEMORY, "the file must be larger than what may stay in memory, or this proves nothing"
    assert peak < count * size * 0.75

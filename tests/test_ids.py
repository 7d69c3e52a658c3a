"""Ids: never twice, whoever makes them."""

import os
import re
from concurrent.futures import ThreadPoolExecutor

from app.ids import derived_id, new_id


def test_ids_are_fhir_ids_in_order_of_making_and_never_the_same() -> None:
    made = [new_id() for _ in range(3000)]
    assert all(re.fullmatch(r"[a-z0-9]{26}", each) for each in made)
    assert [each[:9] for each in made] == sorted(each[:9] for each in made)
    assert len({each[10:] for each in made}) == 3000


def test_threads_and_children_repeat_nothing() -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: new_id()[10:], range(4000)))
    assert len(set(made)) == 4000
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.write(writing, " ".join(new_id()[10:] for _ in range(50)).encode())
        os._exit(0)
    os.wait()
    theirs = os.read(reading, 65536).decode().split()
    assert len(theirs) == 50 and not {*theirs} & {*made, *(new_id()[10:] for _ in range(300))}


def test_the_same_parts_make_the_same_id() -> None:
    assert derived_id("a", "b") == derived_id("a", "b") != derived_id("a\x1fb", "")

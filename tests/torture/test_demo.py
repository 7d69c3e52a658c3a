"""A demonstration that is broken off at random, in every way, a dozen times on one data directory, still ends equal to the truth."""

import os
import random
from pathlib import Path

import pytest

from tests.journeys.test_demo import HEAD, ends_equal, interrupted

WAYS = ("everything killed", "ctrl-c", "server killed", "player killed")


@pytest.mark.torture
async def test_stopped_at_random_a_dozen_times_it_still_ends_equal(tmp_path: Path) -> None:
    seed = int(os.environ.get("CSOR_TEST_SEED", "2026"))
    for number, head in enumerate(sorted(random.Random(seed).sample(range(1, HEAD), 12))):
        await interrupted(tmp_path, head, WAYS[number % len(WAYS)])
    await ends_equal(tmp_path)

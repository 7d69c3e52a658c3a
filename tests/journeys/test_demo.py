"""The whole loop in one command: a small nation through every door, equal to the truth, and safe to run twice."""

from pathlib import Path

import pytest

from tests.journeys.conftest import csor


@pytest.mark.slow
def test_a_small_nation_plays_equal_to_the_truth_and_twice_is_safe(tmp_path: Path) -> None:
    arguments = ("demo", "--once", "--per-year", "24", "--port", "0", "--data", str(tmp_path / "demo"))
    first = csor(*arguments, timeout=240)
    assert first.returncode == 0, first.stdout + first.stderr
    assert "every reported count are equal" in " ".join(first.stdout.split())
    assert "/fhir" in first.stdout and "/follow-up/parent_" in first.stdout and "Ratio" in first.stdout
    again = csor(*arguments, timeout=240)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "nothing is sent twice" in again.stdout

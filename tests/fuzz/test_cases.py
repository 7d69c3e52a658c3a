"""Whatever once broke a door is tried again on every run; and the fuzzer itself can find a fault."""

from pathlib import Path
from random import Random

import pytest

from app.fhir.errors import BadRequest
from tests.fuzz.mutate import TOKENS, spoil
from tests.fuzz.seeds import seeds
from tests.fuzz.targets import TARGETS, problem

NOT_JSON = ("xml", "xml-patch", "er7", "batch", "query", "fhirpath", "units", "posted")
CASES = sorted((Path(__file__).parent / "cases").glob("*.bin"))


def _target(path: Path) -> str:
    return max((name for name in TARGETS if path.name.startswith(name + "-")), key=len)


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
@pytest.mark.timeout(20)
def test_what_once_broke_does_so_no_more(path: Path) -> None:
    error = problem(TARGETS[_target(path)], path.read_bytes())
    assert error is None, repr(error)


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_every_door_takes_a_few_spoilt_inputs(name: str) -> None:
    material = seeds(None)[name]
    for number in range(40):
        random = Random(f"{name}:{number}")
        raw = spoil(
            random,
            material,
            TOKENS.get(name, TOKENS["json"]),
            is_json=name not in NOT_JSON,
        )
        error = problem(TARGETS[name], raw)
        assert error is None, (raw, repr(error))


def test_a_foreign_error_is_a_finding_and_one_of_the_family_is_not() -> None:
    def foreign(_raw: bytes) -> None:
        raise KeyError("x")

    def own(_raw: bytes) -> None:
        raise BadRequest("x")

    assert isinstance(problem(foreign, b""), KeyError)
    assert problem(own, b"") is None

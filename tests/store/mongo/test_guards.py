"""Guards between two processes' stores: whatever the two conditions, what each relies on stays true."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from app.fhir.search.types import Chain, Has, Ids, Match, Plan, ReferenceValue, TokenValue
from app.security.access import SYSTEM
from app.store.protocol import Guard, GuardFailed, Put
from tests.contract.builders import GENDER, IDENTIFIER, SUBJECT, by_family, identified, observation, of_patient, patient
from tests.support import MongoStore, open_mongo_store


@pytest.fixture
async def pair(mongodb: str) -> AsyncIterator[tuple[MongoStore, MongoStore]]:
    one, other = await open_mongo_store(mongodb), await open_mongo_store(mongodb)
    yield one, other
    await one.close()
    await other.close()


def patients(*where) -> Plan:
    return Plan(("Patient",), where)


BY_CODE = patients(Match(IDENTIFIER, (TokenValue(None, "n"),)))
BY_SYSTEM_AND_CODE = patients(Match(IDENTIFIER, (TokenValue("urn:test", "n"),)))
BY_NAME = patients(by_family("alpha"))
BY_GENDER = patients(Match(GENDER, (TokenValue(None, "male"),)))
WITH_OBSERVATION = patients(Has("Observation", SUBJECT, Match(SUBJECT, (ReferenceValue("Patient", "one"),))))
EITHER_ID = patients(Ids(("one", "other")))
OF_ONE = Plan(("Observation",), (Match(SUBJECT, (ReferenceValue("Patient", "x"),)),))
OF_ANY_TYPE = Plan(("Observation",), (Match(SUBJECT, (ReferenceValue(None, "x"),)),))

ONE = identified("one", "n", gender="male")
OTHER = identified("other", "n", gender="male")
PAIRS = {
    "the same": (BY_CODE, ONE, BY_CODE, OTHER),
    "with and without system": (BY_CODE, ONE, BY_SYSTEM_AND_CODE, OTHER),
    "an identifier and a name": (BY_CODE, ONE, BY_NAME, OTHER),
    "two without identifier": (BY_GENDER, ONE, BY_NAME, OTHER),
    "an id and an identifier": (EITHER_ID, ONE, BY_CODE, OTHER),
    "references": (OF_ONE, observation("one", "x"), OF_ANY_TYPE, observation("other", "x")),
}


@pytest.mark.parametrize("case", PAIRS)
async def test_of_two_that_exclude_each_other_one_wins(pair, case: str) -> None:
    first, one, second, other = PAIRS[case]
    for _ in range(8):
        await pair[0].empty()
        outcomes = await asyncio.gather(
            pair[0].commit(SYSTEM, [Put(one)], [Guard(first)]),
            pair[1].commit(SYSTEM, [Put(other)], [Guard(second)]),
            return_exceptions=True,
        )
        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["GuardFailed", "list"], outcomes


async def test_an_update_that_makes_a_match_is_seen_too(pair) -> None:
    """One makes a patient match by an update, the other relies on there being none."""
    for _ in range(8):
        await pair[0].empty()
        await pair[0].commit(SYSTEM, [Put(patient("one", "Beta"))])
        outcomes = await asyncio.gather(
            pair[0].commit(SYSTEM, [Put(ONE)], [Guard(BY_CODE)]),
            pair[1].commit(SYSTEM, [Put(OTHER)], [Guard(BY_NAME)]),
            return_exceptions=True,
        )
        assert sum(isinstance(outcome, GuardFailed) for outcome in outcomes) == 1, outcomes


async def test_what_a_guard_asks_of_other_resources_is_claimed_too(pair) -> None:
    """Each gives the other's child what it relies on that child not to have: by a reference from elsewhere, or by one to elsewhere."""

    def has(value: str) -> Plan:
        return patients(Match(IDENTIFIER, (TokenValue("urn:test", value),)), Has("Observation", SUBJECT, of_patient(value)))

    def chained(id: str) -> Plan:
        return Plan(("Observation",), (of_patient(id), Chain(SUBJECT, ("Patient",), Match(GENDER, (TokenValue(None, "male"),)))))

    cases = [
        (has("p1"), observation("o2", "p2"), has("p2"), observation("o1", "p1")),
        (chained("p1"), identified("p2", "p2", gender="male"), chained("p2"), identified("p1", "p1", gender="male")),
    ]
    for first, one, second, other in cases:
        for _ in range(8):
            await pair[0].empty()
            there = [identified("p1", "p1"), identified("p2", "p2")]
            if first.types == ("Observation",):
                there += [observation("o1", "p1"), observation("o2", "p2")]
            await pair[0].commit(SYSTEM, [Put(each) for each in there])
            outcomes = await asyncio.gather(
                pair[0].commit(SYSTEM, [Put(one)], [Guard(first)]),
                pair[1].commit(SYSTEM, [Put(other)], [Guard(second)]),
                return_exceptions=True,
            )
            assert sorted(type(outcome).__name__ for outcome in outcomes) == ["GuardFailed", "list"], outcomes


async def test_guards_on_different_things_all_pass(pair) -> None:
    outcomes = await asyncio.gather(
        *(
            pair[n % 2].commit(
                SYSTEM,
                [Put(identified(f"p{n}", f"n{n}"))],
                [Guard(patients(Match(IDENTIFIER, (TokenValue("urn:test", f"n{n}"),))))],
            )
            for n in range(100)
        ),
        return_exceptions=True,
    )
    assert [outcome for outcome in outcomes if not isinstance(outcome, list)] == []
    assert await pair[0].check() == []

"""One of two processes that race for the same things. `python -m tests.torture.racer URL KIND ATTEMPTS`; prints how often it won."""

import asyncio
import itertools
import sys

from app.fhir.search.types import Match, Plan, ReferenceValue, TokenValue
from app.ids import new_id
from app.security.access import SYSTEM
from app.store.open import open_store
from app.store.protocol import Guard, GuardFailed, Put, Store, VersionConflict
from tests.contract.builders import IDENTIFIER, SUBJECT, identified, observation, patient

AT_ONCE = 5  # attempts of one process at the same thing


def by(value: str) -> Plan:
    return Plan(("Patient",), (Match(IDENTIFIER, (TokenValue("urn:test", value),)),))


async def create(store: Store, n: int) -> bool:
    """Conditional create: there is one child for each number."""
    value = f"c{n // AT_ONCE}"
    try:
        await store.commit(SYSTEM, [Put(identified(new_id(), value))], [Guard(by(value))])
    except GuardFailed:
        return False
    return True


async def update(store: Store, n: int) -> bool:
    """If-Match: every success adds one to the version that it read."""
    found = await store.read(SYSTEM, "Patient", "counter")
    counted = int(found.resource["name"][0]["family"])
    try:
        await store.commit(SYSTEM, [Put(patient("counter", str(counted + 1)), if_version=found.version)])
    except VersionConflict:
        return False
    return True


async def conditional_update(store: Store, n: int) -> bool:
    """Search, then create or update what was found: one child for each number, whoever was first."""
    value = f"u{n // AT_ONCE}"
    for _ in range(50):
        found = (await store.search(SYSTEM, by(value))).matches
        id = found[0].id if found else new_id()
        try:
            await store.commit(
                SYSTEM,
                [Put(identified(id, value, multipleBirthInteger=n))],
                [Guard(by(value), frozenset(f"Patient/{one.id}" for one in found))],
            )
        except GuardFailed:
            continue
        return not found
    raise AssertionError("never came through")


async def reference(store: Store, n: int) -> bool:
    """A transaction with a conditional reference: the child if there is none, and an observation of it if that has none."""
    value = f"t{n // AT_ONCE}"
    found = (await store.search(SYSTEM, by(value))).matches
    id = found[0].id if found else new_id()
    of_child = Plan(("Observation",), (Match(SUBJECT, (ReferenceValue("Patient", id),)),))
    writes = [] if found else [Put(identified(id, value))]
    try:
        await store.commit(
            SYSTEM,
            [*writes, Put(observation(new_id(), id))],
            [Guard(by(value), frozenset(one.reference for one in found)), Guard(of_child)],
        )
    except GuardFailed:
        return False
    return True


RACES = {race.__name__: race for race in (create, update, conditional_update, reference)}


async def main(url: str, kind: str, attempts: int) -> None:
    store = open_store(url)
    await store.open()
    numbers = itertools.count()
    won = 0

    async def work() -> None:
        nonlocal won
        while (n := next(numbers)) < attempts:
            mine = await RACES[kind](store, n)  # `won += await …` would read `won` before the wait
            won += mine

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    await store.close()
    print(won)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))

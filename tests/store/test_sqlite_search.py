"""What only the SQLite store does with a search: the loop's budget, the cap on what comes along, hashes that do not collide."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.fhir.definitions import r4
from app.fhir.errors import TooCostly
from app.fhir.search.parameters import default
from app.fhir.search.types import Include, Match, Plan, TokenValue
from app.security.access import SYSTEM
from app.store.protocol import Put, Store
from app.store.sqlite import store as store_module
from app.store.sqlite.rows import hashed, param_key
from tests.contract.builders import CODE, SUBJECT, observation, patient
from tests.support import open_test_store


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await open_test_store(tmp_path)
    await opened.commit(SYSTEM, [Put(patient("p")), *(Put(observation(f"o{n}", "p")) for n in range(200))])
    yield opened
    await opened.close()


async def test_a_search_over_its_budget_gives_the_same_from_a_reader(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = Plan(("Observation",), (Match(CODE, (TokenValue(None, "a"),)),), count=150, total="accurate")
    quick = await store.search(SYSTEM, plan)
    asked: list[str] = []
    in_reader = store._in_reader  # type: ignore[attr-defined]
    monkeypatch.setattr(store_module, "LOOP_STEPS", 0)
    monkeypatch.setattr(store, "_in_reader", lambda work: asked.append("reader") or in_reader(work))
    slow = await store.search(SYSTEM, plan)
    assert asked == ["reader"]
    assert (slow.matches, slow.total) == (quick.matches, quick.total)
    assert (await store.read(SYSTEM, "Patient", "p")).version == 1


async def test_what_comes_along_is_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = Plan(("Patient",), revincludes=(Include("Observation", (SUBJECT,)),))
    assert len((await store.search(SYSTEM, plan)).included) == 200
    monkeypatch.setattr("app.store.sqlite.search.MAX_INCLUDED", 199)
    with pytest.raises(TooCostly, match="_count"):
        await store.search(SYSTEM, plan)


def test_no_two_parameters_share_a_key() -> None:
    parameters = default()
    names = {(type, code) for type in r4().types for code in parameters.of(type)}
    assert len({param_key(type, code, part) for type, code in names for part in ("", "text", "of-type")}) == 3 * len(names)
    assert len(names) > 1000


def test_hashes_stay_what_they_are() -> None:
    """They are in files: another hash is another schema."""
    assert hashed("") == 0
    assert hashed("http://loinc.org") == -100991793194450
    assert -(1 << 47) <= hashed("x") < 1 << 47

"""Whatever order messages arrive in, and however often, the child ends the same."""

import asyncio
import itertools
import random
from typing import Any

import pytest

from app.intake.hl7v2.inbox import Inbox
from app.intake.hl7v2.mllp import Event
from app.registry.identity import replaced_by
from app.security.access import SYSTEM
from app.store.protocol import Store
from tests.intake.hl7v2.messages import message, pid, pv1, result
from tests.support import open_test_store

DG1, PR1 = "DG1|1||Q39.1^Oesophageal atresia^ICD10||20240301|A", "PR1|1||G07.1^^OPCS4||20240302"
STORY = [
    message("A01", pid(f11="1 Road^^Town", f13="0123"), pv1(f10="171"), DG1, at="20240301090000"),
    message("A08", pid(f5="Example^Rose", f11='""'), pv1(f10="100"), DG1.replace("|A", "|F"), PR1, at="20240303090000"),
    message("A31", pid(f5="Example^Rosemary", f13="0999"), at="20240304090000"),
    result("OBR|1||L1|CRP|||202403030800", "OBX|1|NM|1988-5^CRP^LN||5.10|mg/L|||||F", at="20240303120000"),
    message("A03", pid(), pv1(f36="19", f45="202403101400"), PR1, at="20240310140500"),
]
MERGE = [
    message("A01", pid(mrn="T1", nhs="", f5="Example^Baby"), pv1(), DG1, at="20240301090000"),
    message("A28", pid(f5="Example^Rose"), at="20240302090000"),
    message("A40", pid(), "MRG|T1^^^RXX^MR", at="20240302091000"),
    message("A08", pid(f5="Example^Rosemary"), pv1(), PR1, at="20240303090000"),
    message("A03", pid(), pv1(f36="79", f45="202403101400"), at="20240310140500"),
]
CANCELS = [
    message("A01", pid(), pv1(), at="20240301090000"),
    message("A03", pid(), pv1(f36="79", f45="202403051400"), at="20240305140500"),
    message("A13", pid(), pv1(), at="20240305150000"),
    message("A03", pid(), pv1(f36="19", f45="202403061400"), at="20240306140500"),
    message("A11", pid(), pv1(visit="V2"), at="20240307000000"),
    message("A01", pid(), pv1(visit="V2", f44="202403061500"), at="20240306150000"),
]


async def facts(store: Store) -> Any:
    """What counts, without ids and versions: of each active child its demographics and everything about it."""
    found = [stored.resource async for stored in store.scan(SYSTEM)]
    children = {f"Patient/{each['id']}": each for each in found if each["resourceType"] == "Patient"}
    told = []
    for reference, child in children.items():
        if replaced_by(child):
            assert child["active"] is False
            continue
        about = [plain(each) for each in found if each.get("subject", {}).get("reference") == reference]
        numbers = sorted((each["system"], each["value"]) for each in child["identifier"])
        told.append((numbers, plain(child), sorted(about, key=str)))
    orphans = [each["id"] for each in found if "subject" in each and replaced_by(children[each["subject"]["reference"]])]
    assert not orphans, "something still refers to a Patient that was merged away"
    return sorted(told, key=str)


def plain(resource: dict[str, Any]) -> dict[str, Any]:
    left = {
        key: value for key, value in resource.items() if key not in ("id", "meta", "link", "identifier", "subject", "encounter")
    }
    return dict(sorted(left.items()))


async def played(messages: Any, tmp_path: Any) -> Any:
    store = await open_test_store(tmp_path)
    inbox = Inbox(store, sandbox=True)
    for raw in messages:
        [answer] = await inbox.accept(Event(raw))
        assert b"|AA|" in answer, answer
    try:
        return await facts(store)
    finally:
        await store.close()


@pytest.mark.slow
@pytest.mark.parametrize("story", [STORY, MERGE], ids=["stay", "merge"])
async def test_every_order_of_five_messages_ends_equal(story: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> None:
    expected = await played(story, tmp_path_factory.mktemp("story"))
    assert len(expected) == 1
    for order in itertools.permutations(story):
        assert await played(order, tmp_path_factory.mktemp("order")) == expected


@pytest.mark.slow
async def test_orders_of_cancelled_events_end_equal(tmp_path_factory: pytest.TempPathFactory) -> None:
    expected = await played(CANCELS, tmp_path_factory.mktemp("story"))
    statuses = sorted(each["status"] for each in expected[0][2])
    assert statuses == ["cancelled", "finished"]
    assert "deceasedDateTime" not in expected[0][1]
    chooser = random.Random(7)
    for _ in range(60):
        order = chooser.sample(CANCELS, len(CANCELS))
        assert await played(order, tmp_path_factory.mktemp("order")) == expected


async def test_repeats_change_nothing(tmp_path_factory: pytest.TempPathFactory) -> None:
    expected = await played(MERGE, tmp_path_factory.mktemp("once"))
    chooser = random.Random(3)
    for _ in range(10):
        order = chooser.sample(MERGE * 2, len(MERGE) * 2)
        assert await played(order, tmp_path_factory.mktemp("twice")) == expected


async def test_the_story_says_what_it_should(tmp_path: Any) -> None:
    [(numbers, child, about)] = await played(MERGE, tmp_path)
    assert [value for _, value in numbers] == ["9990000018", "M1", "T1"] or {v for _, v in numbers} == {"9990000018", "M1", "T1"}
    assert child["name"][0]["given"] == ["Baby"]  # the discharge says so last
    assert child["deceasedDateTime"] == "2024-03-10T14:00:00+00:00"
    assert sorted(each["resourceType"] for each in about) == ["Condition", "Encounter", "Procedure"]


async def test_messages_at_the_same_moment_over_many_connections_end_equal(tmp_path_factory: pytest.TempPathFactory) -> None:
    expected = await played(MERGE, tmp_path_factory.mktemp("one-by-one"))
    for _ in range(5):
        store = await open_test_store(tmp_path_factory.mktemp("at-once"))
        inbox = Inbox(store, sandbox=True)
        answers = await asyncio.gather(*(inbox.accept(Event(raw)) for raw in MERGE))
        assert all(b"|AA|" in answer for [answer] in answers)
        assert await facts(store) == expected
        await store.close()

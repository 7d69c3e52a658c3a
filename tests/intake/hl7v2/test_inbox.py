"""Nothing is acknowledged before it is durable, nothing is lost, nothing is mapped twice."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from app.fhir.errors import Unavailable
from app.intake.hl7v2 import senders
from app.intake.hl7v2.er7 import parse
from app.intake.hl7v2.inbox import Inbox
from app.intake.hl7v2.map import apply
from app.intake.hl7v2.mllp import Event
from app.intake.hl7v2.worker import Worker
from app.security.access import SYSTEM
from app.store.protocol import Store
from tests.intake.hl7v2.conftest import Send, only, records, resources
from tests.intake.hl7v2.messages import message, msh, pid, pv1
from tests.support import open_test_store

ADMISSION = message("A01", pid(), pv1())
ENHANCED = message("A01", pid(), pv1(), f15="AL", f16="NE")


def head(**more: str) -> bytes:
    return (msh(**more) + "\r" + pid() + "\r" + pv1() + "\r").encode()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("raw", "code", "place", "state"),
    [
        (b"hello", "AR", "MSH", "rejected"),
        (b"\x00\xff\xfe", "AR", "MSH", "rejected"),
        (b"PID|1||7", "AR", "MSH", "rejected"),
        (head(version=""), "AR", "MSH", "rejected"),
        (head(version="9.9"), "AR", "MSH", "rejected"),
        (head(control=""), "AR", "MSH", "rejected"),
        (head(event=""), "AR", "MSH", "rejected"),
        (message("A01", pid(f7="20240230"), pv1()), "AE", "PID", "error"),
        (message("A01", pid(), pv1(f44="lunchtime")), "AE", "PV1", "error"),
        (message("A01", pid(mrn="", nhs=""), pv1()), "AE", "PID", "error"),
        (message("A01", pid(mrn="", nhs="3333333333"), pv1()), "AE", "PID", "error"),
        (message("A01", pid()), "AE", "PV1", "error"),
        (message("A01", pv1()), "AE", "PID", "error"),
        (message("A01", pid(), pid(mrn="M2"), pv1()), "AE", "PID", "error"),
        (message("A40", pid()), "AE", "MRG", "error"),
        (message("A01", pid(), pv1(), "PR1|1||||20240301"), "AE", "PR1", "error"),
        (message("A01", pid(), pv1(), at="20241301"), "AE", "MSH", "error"),
    ],
)
async def test_bad_input_is_kept_and_answered_with_its_place(
    send: Send, store: Store, raw: bytes, code: str, place: str, state: str
) -> None:
    answer = await send(raw)
    assert answer["MSA-1"] == code
    assert (answer["ERR-2.1"] or answer["ERR-1.1"]) == place
    [record] = await records(store)
    assert (record.state, record.raw) == (state, raw)
    assert await resources(store, "Patient") == []


async def test_the_empty_version_is_named_in_the_error_segment(send: Send) -> None:
    answer = await send(head(version=""))
    assert [answer["ERR-1.1"], answer["ERR-1.3"]] == ["MSH", "12"]
    assert answer["MSA-3"] == "MSH-12 is empty" and answer["MSA-2"] == "1"


async def test_an_event_that_is_not_mapped_is_kept_accepted_and_shown(send: Send, store: Store) -> None:
    for event in ("A17", "P03", "R01"):
        assert (await send(message(event, pid(), pv1())))["MSA-1"] == "AA"
    assert len(await records(store, "unsupported")) == 3


async def test_unknown_senders_are_refused_outside_the_sandbox_until_they_are_registered(store: Store) -> None:
    inbox = Inbox(store)
    for _ in range(3):  # a sender that keeps trying does not fill the store
        [answer] = await inbox.accept(Event(ADMISSION))
        assert parse(answer)["MSA-1"] == "AR" and parse(answer)["ERR-1.1"] == "MSH"
    [record] = await records(store, "rejected")
    await senders.add(store, senders.Sender("PAS", "*", "RCB"))
    [answer] = await inbox.accept(Event(ADMISSION))
    assert parse(answer)["MSA-1"] == "AA"
    [stored] = [each async for each in store.scan(SYSTEM, ["Patient"])]
    assert stored.owners == {"RCB"}
    assert record.raw == ADMISSION


async def test_a_repeat_gets_the_same_answer_and_is_not_mapped_again(inbox: Inbox, store: Store) -> None:
    first = await inbox.accept(Event(ADMISSION))
    head_before = await store.feed_head()
    assert [await inbox.accept(Event(ADMISSION)) for _ in range(3)] == [first] * 3
    assert await store.feed_head() == head_before
    assert len(await records(store)) == 1


async def test_a_repeat_after_an_error_is_tried_again(inbox: Inbox, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise KeyError("a fault of ours")

    with monkeypatch.context() as patch:
        patch.setattr(apply, "plan", broken)
        [answer] = await inbox.accept(Event(ADMISSION))
    assert parse(answer)["MSA-1"] == "AE"
    [record] = await records(store, "error")
    assert "a fault of ours" not in record.body.decode()
    [answer] = await inbox.accept(Event(ADMISSION))
    assert parse(answer)["MSA-1"] == "AA"
    assert [each.state for each in await records(store)] == ["processed"]


async def test_the_same_control_id_with_other_content_is_mapped_and_flagged(inbox: Inbox, store: Store) -> None:
    await inbox.accept(Event(message("A01", pid(), pv1(), control="7")))
    [answer] = await inbox.accept(Event(message("A08", pid(f8="1"), pv1(), control="7", at="20240302000000")))
    assert parse(answer)["MSA-1"] == "AA"
    assert (await only(store, "Patient"))["gender"] == "male"
    [flagged] = await records(store, "warning")
    assert flagged.data["problems"][0][1] == "MSH-10"


async def test_the_same_message_over_two_connections_at_once_is_one(inbox: Inbox, store: Store) -> None:
    answers = await asyncio.gather(*(inbox.accept(Event(ADMISSION)) for _ in range(5)))
    assert {parse(answer)["MSA-1"] for [answer] in answers} == {"AA"}
    assert len(await records(store)) == 1
    assert len(await resources(store, "Patient")) == 1


async def test_enhanced_mode_answers_when_durable_and_the_worker_maps(inbox: Inbox, store: Store) -> None:
    [answer] = await inbox.accept(Event(ENHANCED))
    assert parse(answer)["MSA-1"] == "CA"
    assert [each.state for each in await records(store)] == ["received"]
    assert await resources(store, "Patient") == []
    assert await Worker(inbox).drain() == 1
    assert [each.state for each in await records(store)] == ["processed"]
    assert len(await resources(store, "Patient")) == 1
    assert await inbox.accept(Event(ENHANCED)) == [answer]


async def test_no_answer_where_msh_15_wants_none(inbox: Inbox, store: Store) -> None:
    assert await inbox.accept(Event(message("A01", pid(), pv1(), f15="NE", f16="NE"))) == []
    assert len(await records(store, "received")) == 1


async def test_what_was_stored_but_not_mapped_is_mapped_after_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = await open_test_store(tmp_path)

    async def power_cut(*_: Any) -> Any:
        raise asyncio.CancelledError

    with monkeypatch.context() as patch:
        patch.setattr(apply, "plan", power_cut)
        with pytest.raises(asyncio.CancelledError):
            await Inbox(store, sandbox=True).accept(Event(ADMISSION))
    await store.close()

    store = await open_test_store(tmp_path)
    assert [each.state for each in await records(store)] == ["received"]
    inbox = Inbox(store, sandbox=True)
    stop = asyncio.Event()
    running = asyncio.create_task(Worker(inbox, poll=0.01).run(stop))
    while await records(store, "received"):
        await asyncio.sleep(0.01)
    stop.set()
    await running
    assert len(await resources(store, "Patient")) == 1
    [answer] = await inbox.accept(Event(ADMISSION))  # the sender, which had no answer, sends again
    assert parse(answer)["MSA-1"] == "AA"
    assert len(await records(store)) == 1
    await store.close()


async def test_a_poisoned_message_stops_nobody(inbox: Inbox, store: Store) -> None:
    poison = message("A08", pid(f7="20240230"), pv1(), at="20240302000000", f15="AL")
    others = [message("A01", pid(mrn=f"P{n}", nhs=""), pv1(visit=f"P{n}"), control=str(n), f15="AL") for n in range(5)]
    later = message("A08", pid(f8="1"), pv1(), at="20240303000000", f15="AL")
    for raw in (poison, *others, later):
        await inbox.accept(Event(raw))
    await Worker(inbox).drain()
    assert sorted(each.state for each in await records(store)) == ["error", *["processed"] * 6]
    assert len(await resources(store, "Patient")) == 6


async def test_a_full_store_says_so_and_the_sender_may_try_again(
    inbox: Inbox, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: Any) -> Any:
        raise Unavailable("The disk is full.")

    with monkeypatch.context() as patch:
        patch.setattr(store, "commit", full)
        [answer] = await inbox.accept(Event(ADMISSION))
    assert parse(answer)["MSA-1"] == "AE" and parse(answer)["MSA-3"] == "The disk is full."
    [answer] = await inbox.accept(Event(ADMISSION))
    assert parse(answer)["MSA-1"] == "AA"


async def test_a_batch_whose_count_is_wrong_is_mapped_and_flagged(inbox: Inbox, store: Store) -> None:
    answers = await inbox.accept(Event(b"BHS|^~\\&\r" + ADMISSION + b"BTS|2\r"))
    assert [parse(answer)["MSA-1"] for answer in answers] == ["AA"]
    [flagged] = await records(store, "warning")
    assert flagged.data["problems"] == [["BTS-1 says 2 messages, the batch has 1", "BTS-1", "102", "W"]]


async def test_a_batch_gets_one_answer_for_each_message(inbox: Inbox) -> None:
    raw = b"FHS|^~\\&\rBHS|^~\\&\r" + ADMISSION + message("A08", pid(), pv1(), at="20240302000000") + b"BTS|2\rFTS|1\r"
    assert [parse(answer)["MSA-1"] for answer in await inbox.accept(Event(raw))] == ["AA", "AA"]


@pytest.mark.parametrize("fault", ["unfinished", "outside-frame", "too-long"])
async def test_a_broken_frame_is_kept_and_answered(inbox: Inbox, store: Store, fault: Any) -> None:
    [answer] = await inbox.accept(Event(ADMISSION[:80], fault))
    assert parse(answer)["MSA-1"] in ("AE", "AR")
    assert parse(answer)["MSA-2"] == "A0120240301090000"
    [record] = await records(store, "rejected")
    assert record.raw == ADMISSION[:80]


async def test_two_hospitals_share_a_child_with_a_verified_number_and_nothing_else(inbox: Inbox, store: Store) -> None:
    await inbox.accept(Event(ADMISSION))
    await inbox.accept(Event(ADMISSION.replace(b"PAS|RXX", b"PAS|RYY").replace(b"M1^^^RXX", b"Q9^^^RYY")))
    [child] = [each async for each in store.scan(SYSTEM, ["Patient"])]
    assert child.owners == {"RXX", "RYY"}
    visits = [each async for each in store.scan(SYSTEM, ["Encounter"])]
    assert sorted(sorted(each.owners) for each in visits) == [["RXX"], ["RYY"]]


async def test_a_contradiction_of_identity_waits_for_a_person(inbox: Inbox, store: Store) -> None:
    await inbox.accept(Event(ADMISSION))
    other = ADMISSION.replace(b"PAS|RXX", b"PAS|RYY").replace(b"M1^^^RXX", b"Q9^^^RYY").replace(b"|20240228|", b"|20200101|")
    [answer] = await inbox.accept(Event(other))
    assert parse(answer)["MSA-1"] == "AE" and parse(answer)["ERR-1.1"] == "PID"
    assert len(await resources(store, "Patient")) == 1


async def test_no_personal_data_reaches_the_log(inbox: Inbox, capsys: pytest.CaptureFixture[str]) -> None:
    from app import logs

    logs.configure("debug")
    for raw in (ADMISSION, ADMISSION, message("A01", pid(f7="20240230"), pv1()), b"hello Example", ENHANCED):
        await inbox.accept(Event(raw))
    await inbox.accept(Event(ADMISSION[:90], "unfinished"))
    said = capsys.readouterr().err
    assert "hl7-mapped" in said and "hl7-rejected" in said
    for private in ("Example", "9990000018", "M1", "20240228", "2024-02-28", "20240230", "V1"):
        assert f'"{private}' not in said and f" {private}" not in said

"""From a case to a letter on a real SMTP conversation, and everything that must stop one."""

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP

from app import clock
from app.registry.follow_up import answers
from app.registry.follow_up.consumer import FollowUp
from app.registry.follow_up.invitations import DAY, invite_due
from app.registry.follow_up.links import LinkClosed, WrongBirthDate, open_link, prove
from app.registry.follow_up.outbox import Outbox, Post, letters_under_way
from app.registry.follow_up.schedule import months_after, schedule
from app.security.access import SYSTEM
from app.store.protocol import Put, PutRecord, Store
from tests.support import open_test_store

BORN = date(2024, 3, 27)


class Mailbox:
    """What a mail server took. `refuse` makes it turn recipients away with that reply."""

    def __init__(self) -> None:
        self.letters: list[tuple[str, str]] = []
        self.refuse = ""

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any) -> str:
        if self.refuse:
            return self.refuse
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        self.letters.append((envelope.rcpt_tos[0], envelope.content.decode()))
        return "250 OK"

    def link(self) -> str:
        found = re.search(r"/follow-up/(\S+)", self.letters[-1][1])
        assert found
        return found[1]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await open_test_store(tmp_path)
    yield opened
    await opened.close()


@pytest.fixture
async def mailbox() -> AsyncIterator[Any]:
    """A real mail server on a free port."""
    box = Mailbox()
    server = await asyncio.get_running_loop().create_server(lambda: SMTP(box), "127.0.0.1", 0)
    box.port = server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
    yield box
    server.close()


@pytest.fixture
async def outbox(store: Store, mailbox: Any) -> AsyncIterator[Outbox]:
    box = Outbox(store, Post(f"smtp://127.0.0.1:{mailbox.port}", "csor@example.org", "https://csor.example.org"))
    yield box
    await asyncio.to_thread(box.close)


def patient(**more: Any) -> dict[str, Any]:
    contact = [{"telecom": [{"system": "email", "value": "parent@example.org"}]}]
    return {"resourceType": "Patient", "id": "child", "birthDate": BORN.isoformat(), "contact": contact} | more


def case(status: str = "active") -> dict[str, Any]:
    return {
        "resourceType": "EpisodeOfCare",
        "id": "case",
        "status": status,
        "patient": {"reference": "Patient/child"},
        "period": {"start": (clock.today() - timedelta(days=400)).isoformat()},
    }


async def ask(store: Store, **more: Any) -> None:
    """A child with a case, invited as far as that may be."""
    await store.commit(SYSTEM, [Put(patient(**more)), Put(case())])
    await FollowUp(store).drain()
    await invite_due(store)


async def states(store: Store, kind: str) -> list[str]:
    return sorted(record.state for record in await store.find_records(SYSTEM, kind))


async def given(store: Store, link: Any) -> dict[str, Any]:
    form = await answers.questionnaire_of(store, link.data.task)
    chosen = [
        {"linkId": item["linkId"], "answer": [{"valueCoding": {k: v for k, v in coding.items() if k != "extension"}}]}
        for item in form["item"]
        if item.get("answerOption")
        for coding in [item["answerOption"][1]["valueCoding"]]
    ]
    return {"item": chosen}


async def test_a_case_becomes_a_care_plan_and_a_task_for_each_time_point(store: Store) -> None:
    await store.commit(SYSTEM, [Put(patient()), Put(case())])
    await FollowUp(store).drain()
    counts = await store.counts(SYSTEM)
    assert counts["CarePlan"] == 1
    assert counts["Task"] == len(schedule().points)
    await FollowUp(store).rebuild()
    await FollowUp(store).drain()
    assert (await store.counts(SYSTEM))["Task"] == len(schedule().points), "made again, it is the same plan"


async def test_what_the_lease_leaves_no_time_for_goes_back_to_the_queue(
    store: Store, outbox: Outbox, mailbox: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ask(store)
    with monkeypatch.context() as patched:
        patched.setattr("app.registry.follow_up.outbox.LEASE", -2)
        await outbox.send_due()
    assert (await states(store, "outbox"), mailbox.letters) == (["queued"], [])
    assert await letters_under_way(store)
    await outbox.send_due()
    assert (await states(store, "outbox"), len(mailbox.letters)) == (["sent"], 1)
    assert not await letters_under_way(store)


async def test_a_due_letter_goes_out_once_and_names_nobody(store: Store, outbox: Outbox, mailbox: Any) -> None:
    await ask(store, name=[{"family": "Rowan", "given": ["Wren"]}])
    await outbox.send_due()
    await invite_due(store)
    await outbox.send_due()
    assert [address for address, _ in mailbox.letters] == ["parent@example.org"]
    text = mailbox.letters[0][1]
    assert "Rowan" not in text and "Wren" not in text and BORN.isoformat() not in text
    assert (await store.counts(SYSTEM))["Communication"] == 1
    record = (await store.find_records(SYSTEM, "outbox"))[0]
    assert record.state == "sent" and "token" not in record.data, "the link's secret is forgotten once it is sent"


async def test_a_reminder_follows_until_the_parent_answers(store: Store, outbox: Outbox, mailbox: Any, monkeypatch: Any) -> None:
    await ask(store)
    await outbox.send_due()
    real = clock.micros
    monkeypatch.setattr(clock, "micros", lambda moment=None: real(moment) + (0 if moment else 8 * DAY))
    await invite_due(store)
    await outbox.send_due()
    assert len(mailbox.letters) == 2 and "Reminder" in mailbox.letters[1][1]


@pytest.mark.parametrize("when", ["before the letter", "between outbox and wire"])
@pytest.mark.parametrize("said", [{"deceasedBoolean": True}, {"deceasedDateTime": "2024-09-01"}])
async def test_nothing_is_sent_about_a_child_who_died(
    store: Store, outbox: Outbox, mailbox: Any, when: str, said: dict[str, Any]
) -> None:
    if when == "before the letter":
        await store.commit(SYSTEM, [Put(patient(**said)), Put(case())])
        await FollowUp(store).drain()
        await invite_due(store)
    else:
        await ask(store)
        await store.commit(SYSTEM, [Put(patient(**said))])
    await outbox.send_due()
    assert mailbox.letters == []
    await FollowUp(store).drain()
    assert "queued" not in await states(store, "outbox") and "open" not in await states(store, "link")
    statuses = {task.resource["status"] async for task in store.scan(SYSTEM, ["Task"])}
    assert statuses <= {"cancelled"}


async def test_death_told_of_the_record_that_this_one_was_merged_into_counts(store: Store, outbox: Outbox, mailbox: Any) -> None:
    await ask(store)
    merged = patient(active=False, link=[{"other": {"reference": "Patient/kept"}, "type": "replaced-by"}])
    await store.commit(SYSTEM, [Put(patient(id="kept", deceasedDateTime="2024-09-01")), Put(merged)])
    await outbox.send_due()
    assert mailbox.letters == []


async def test_without_an_address_the_invitation_waits_for_one(
    store: Store, outbox: Outbox, mailbox: Any, monkeypatch: Any
) -> None:
    await ask(store, contact=[])
    assert await states(store, "outbox") == []
    await store.commit(SYSTEM, [Put(patient())])
    real = clock.micros
    monkeypatch.setattr(clock, "micros", lambda moment=None: real(moment) + (0 if moment else 2 * DAY))
    await invite_due(store)
    await outbox.send_due()
    assert len(mailbox.letters) == 1


async def test_an_address_that_does_not_exist_ends_the_letter_and_a_busy_server_does_not(
    store: Store, outbox: Outbox, mailbox: Any
) -> None:
    await ask(store)
    mailbox.refuse = "450 later"
    await outbox.send_due()
    assert await states(store, "outbox") == ["queued"]
    mailbox.refuse = "550 no such mailbox"
    record = (await store.find_records(SYSTEM, "outbox"))[0]
    record.due = 0
    await store.commit(SYSTEM, [PutRecord(record)])
    await outbox.send_due()
    assert await states(store, "outbox") == ["failed"]


async def test_two_senders_send_a_letter_once(store: Store, mailbox: Any) -> None:
    await ask(store)
    post = Post(f"smtp://127.0.0.1:{mailbox.port}", "csor@example.org", "https://csor.example.org")
    boxes = [Outbox(store, post) for _ in range(4)]
    await asyncio.gather(*(box.send_due() for box in boxes))
    for box in boxes:
        await asyncio.to_thread(box.close)
    assert len(mailbox.letters) == 1


async def test_answers_change_everything_in_one_commit_and_only_once(store: Store, outbox: Outbox, mailbox: Any) -> None:
    await ask(store)
    await outbox.send_due()
    token = mailbox.link()
    link = await open_link(store, token)
    response = await given(store, link)
    outcomes = await asyncio.gather(*(answers.submit(store, link, response) for _ in range(5)), return_exceptions=True)
    assert sum(isinstance(outcome, str) for outcome in outcomes) == 1
    assert all(isinstance(outcome, str | LinkClosed) for outcome in outcomes)
    counts = await store.counts(SYSTEM)
    assert (counts["QuestionnaireResponse"], counts["Consent"], counts["Observation"]) == (1, 1, 1)
    observation = await anext(store.scan(SYSTEM, ["Observation"]))
    assert observation.resource["valueInteger"] == 1, "five answers of 1 make a total of 5"
    with pytest.raises(LinkClosed):
        await open_link(store, token)


async def test_who_refuses_is_not_written_to_again(store: Store, outbox: Outbox, mailbox: Any) -> None:
    await ask(store)
    await outbox.send_due()
    await answers.refuse(store, await open_link(store, mailbox.link()))
    assert set(await states(store, "invitation")) == {"ended"}
    consent = await anext(store.scan(SYSTEM, ["Consent"]))
    assert consent.resource["provision"]["type"] == "deny"


async def test_five_wrong_dates_of_birth_lock_the_link(store: Store, outbox: Outbox, mailbox: Any) -> None:
    await ask(store)
    await outbox.send_due()
    token = mailbox.link()
    for _ in range(4):
        with pytest.raises(WrongBirthDate):
            await prove(store, token, date(2020, 1, 1), BORN.isoformat())
    with pytest.raises(LinkClosed):
        await prove(store, token, date(2020, 1, 1), BORN.isoformat())
    with pytest.raises(LinkClosed):
        await prove(store, token, BORN, BORN.isoformat())


@pytest.mark.parametrize("token", ["", "parent_forged", "x" * 5000])
async def test_forged_links_open_nothing(store: Store, token: str) -> None:
    with pytest.raises(LinkClosed):
        await open_link(store, token)


@pytest.mark.parametrize(
    ("day", "months", "then"),
    [
        (date(2024, 1, 31), 1, date(2024, 2, 29)),
        (date(2024, 11, 30), 3, date(2025, 2, 28)),
        (date(2023, 5, 6), 12, date(2024, 5, 6)),
    ],
)
def test_months_are_calendar_months(day: date, months: int, then: date) -> None:
    assert months_after(day, months) == then

"""`csor hl7` as an integration engineer uses it."""

import asyncio
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from app.commands.hl7 import hl7
from app.intake.hl7v2.inbox import KIND, Inbox
from app.intake.hl7v2.mllp import Event
from app.security.access import SYSTEM
from app.store.open import open_store
from tests.intake.hl7v2.messages import message, pid, pv1

GOOD = message("A01", pid(), pv1())
BAD = message("A01", pid(mrn="M2", nhs="", f7="20240230"), pv1(visit="V2"), control="bad")


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'csor.db'}"


def csor(*arguments: str) -> Result:
    return CliRunner().invoke(hl7, list(arguments), catch_exceptions=False)


def received(url: str, *messages: bytes, sandbox: bool = True) -> list[tuple[str, str]]:
    """Hand messages to a store of their own; (state, key) of all that it holds."""

    async def run() -> list[tuple[str, str]]:
        store = open_store(url)
        await store.open()
        try:
            inbox = Inbox(store, sandbox=sandbox)
            for raw in messages:
                await inbox.accept(Event(raw))
            return [(record.state, record.key) for record in await store.find_records(SYSTEM, KIND)]
        finally:
            await store.close()

    return asyncio.run(run())


def test_a_sender_is_registered_and_listed(url: str) -> None:
    assert "PAS|RXX may send for RXX." in csor("sender", "add", "PAS", "RXX", "--hospital", "rxx", "--store", url).output
    assert "RXX" in csor("sender", "list", "--store", url).output
    assert received(url, GOOD, sandbox=False)[0][0] == "processed"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("PAS", "RXX", "--hospital", "not a code"), "is not an ODS code"),
        (("*", "*", "--hospital", "RXX"), "would take anybody"),
        (("PAS", "RXX", "--hospital", "RXX", "--zone", "Moon/Base"), "is not a time zone"),
    ],
)
def test_a_sender_that_makes_no_sense_is_refused_with_a_sentence(url: str, arguments: tuple[str, ...], sentence: str) -> None:
    result = csor("sender", "add", *arguments, "--store", url)
    assert result.exit_code == 1 and sentence in result.output


def test_the_work_list_shows_and_replays(url: str) -> None:
    [(_, good), (_, bad)] = received(url, GOOD, BAD)
    listed = csor("errors", "--store", url)
    assert listed.exit_code == 1
    assert bad in listed.output and good not in listed.output and "PID-7" in listed.output
    assert "processed 1" in listed.output and "error 1" in listed.output
    shown = csor("errors", "--show", bad, "--store", url)
    assert "PID|1||M2" in shown.output and "state" in shown.output
    assert csor("errors", "--show", "nothing", "--store", url).exit_code == 1
    replayed = csor("replay", "--all-errors", "--store", url)
    assert replayed.exit_code == 1 and "0 mapped, 1 not." in replayed.output
    again = csor("replay", good, "--store", url)
    assert again.exit_code == 0 and "1 mapped, 0 not." in again.output


def test_a_rejected_message_maps_once_its_sender_is_registered(url: str) -> None:
    [(state, key)] = received(url, GOOD, sandbox=False)
    assert state == "rejected"
    csor("sender", "add", "PAS", "RXX", "--hospital", "RXX", "--store", url)
    result = csor("replay", key, "--store", url)
    assert result.exit_code == 0 and "processed" in result.output
    assert received(url) == [("processed", key)]


def test_parse_shows_paths_and_deletions(tmp_path: Path) -> None:
    path = tmp_path / "m.hl7"
    path.write_bytes(message("A08", pid(f11='""'), "ZZZ|1|kept"))
    shown = csor("parse", str(path)).output
    assert "PID-11" in shown and "(delete)" in shown and "ZZZ" in shown and "PID-3[2]" in shown
    path.write_bytes(b"no message")
    result = csor("parse", str(path))
    assert result.exit_code == 1 and "Error" in result.output


def test_lint_reports_and_says_what_is_not_mapped(tmp_path: Path) -> None:
    pytest.importorskip("hl7apy")
    path = tmp_path / "m.hl7"
    path.write_bytes(message("A01", pid(), "ZZZ|1"))
    result = csor("lint", str(path))
    assert result.exit_code == 1 and "kept and not mapped: ZZZ" in result.output


def test_lint_without_its_library_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hl7apy.consts", None)
    path = tmp_path / "m.hl7"
    path.write_bytes(GOOD)
    result = csor("lint", str(path))
    assert result.exit_code == 1 and "not installed" in result.output


def test_send_to_nobody_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "m.hl7"
    path.write_bytes(GOOD)
    result = csor("send", str(path), "--to", "127.0.0.1:9")
    assert result.exit_code == 1 and "Nobody answers" in result.output
    for wrong in ("nowhere", "127.0.0.1:²"):
        assert csor("send", str(path), "--to", wrong).exit_code == 2


@pytest.mark.parametrize(
    "command", [[], ["sender"], ["sender", "add"], ["sender", "list"], ["errors"], ["replay"], ["send"], ["parse"], ["lint"]]
)
def test_every_help_has_examples(command: list[str]) -> None:
    assert "Examples:" in csor(*command, "--help").output

"""The right acknowledgement, in the sender's own terms."""

import pytest

from app.intake.hl7v2 import ack, er7
from app.intake.hl7v2.ack import Problem
from tests.intake.hl7v2.conftest import Send
from tests.intake.hl7v2.messages import message, msh, pid

PROBLEM = Problem("This is no date", "PID[1]-7", ack.DATA_TYPE)


def answer(
    raw: bytes, verdict: ack.Verdict = "accept", problems: tuple[Problem, ...] = (), mode: ack.Mode = "auto"
) -> er7.Message:
    built = ack.build(er7.parse(raw), verdict, problems, mode=mode)
    assert built.endswith(b"\r")
    return er7.parse(built)


@pytest.mark.parametrize(
    ("fifteen", "sixteen", "mode", "code"),
    [
        ("", "", "auto", "AA"),
        ("AL", "NE", "auto", "CA"),
        ("", "AL", "auto", "CA"),
        ("AL", "NE", "original", "AA"),
        ("", "", "enhanced", "CA"),
    ],
)
def test_mode_by_header_with_override(fifteen: str, sixteen: str, mode: ack.Mode, code: str) -> None:
    assert answer(message("A01", pid(), f15=fifteen, f16=sixteen), mode=mode)["MSA-1"] == code


@pytest.mark.parametrize(("verdict", "codes"), [("accept", ("AA", "CA")), ("error", ("AE", "CE")), ("reject", ("AR", "CR"))])
def test_verdicts_in_both_modes(verdict: ack.Verdict, codes: tuple[str, str]) -> None:
    raw = message("A01", pid())
    assert (answer(raw, verdict, (PROBLEM,))["MSA-1"], answer(raw, verdict, (PROBLEM,), "enhanced")["MSA-1"]) == codes


def test_it_copies_what_belongs_to_the_sender_and_has_its_own_control_id() -> None:
    raw = message("A01", pid(), control="ABC-1", version="2.5.1")
    first, second = answer(raw), answer(raw)
    assert (first["MSA-2"], first["MSH-11"], first["MSH-12"]) == ("ABC-1", "T", "2.5.1")
    assert (first["MSH-3"], first["MSH-5"], first["MSH-6"]) == ("CSOR", "PAS", "RXX")
    assert first["MSH-9.1"] == "ACK" and first["MSH-9.2"] == "A01"
    assert first["MSH-10"] and first["MSH-10"] != second["MSH-10"]


def test_the_error_segment_has_the_form_of_the_version() -> None:
    modern = answer(message("A01", pid(), version="2.5"), "error", (PROBLEM,))
    assert [modern[f"ERR-2.{at}"] for at in (1, 2, 3, 4)] == ["PID", "1", "7", "1"]
    assert (modern["ERR-3.1"], modern["ERR-4"], modern["ERR-8"]) == ("102", "E", "This is no date")
    old = answer(message("A01", pid(), version="2.3"), "error", (PROBLEM,))
    assert [old["ERR-1.1"], old["ERR-1.2"], old["ERR-1.3"], old["ERR-1.4.1"]] == ["PID", "1", "7", "102"]


def test_warnings_ride_on_an_acceptance_only_where_the_version_can_say_so() -> None:
    warning = Problem("Unknown code", "PV1-4", ack.UNKNOWN_CODE, "W")
    assert answer(message("A01", pid(), version="2.5"), problems=(warning,))["ERR-4"] == "W"
    assert answer(message("A01", pid(), version="2.4"), problems=(warning,)).first("ERR") is None


def test_its_text_is_escaped_in_the_sender_s_separators_and_charset() -> None:
    raw = "MSH*:+!@*Zoë*B***1**ADT:A01*7*T*2.5******8859/1".encode("latin-1")
    built = ack.build(er7.parse(raw), "error", [Problem("a*b:c", "PID-3")])
    assert "Zoë".encode("latin-1") in built
    assert er7.parse(built)["ERR-8"] == "a*b:c"


def test_bytes_without_a_header_get_an_answer_too() -> None:
    built = er7.parse(ack.build(None, "reject", [Problem("No MSH segment", "MSH")]))
    assert (built["MSA-1"], built["MSA-2"]) == ("AR", "")


@pytest.mark.parametrize(
    ("condition", "accepted", "failed"), [("AL", True, True), ("NE", False, False), ("ER", False, True), ("SU", True, False)]
)
def test_msh_15_says_which_answers_are_wanted(condition: str, accepted: bool, failed: bool) -> None:
    parsed = er7.parse(msh(f15=condition).encode())
    assert (ack.wanted(parsed, "accept"), ack.wanted(parsed, "reject")) == (accepted, failed)


@pytest.mark.parametrize("version", ["2.²", "².5", "2." + "9" * 5000, "2", "."])
async def test_a_version_that_is_no_number_is_answered(send: Send, version: str) -> None:
    assert (await send(message("A01", pid(), version=version)))["MSA-1"] in ("AA", "AR")

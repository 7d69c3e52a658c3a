"""The parser loses nothing and reads what senders really write."""

import hl7
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.fhir.errors import Malformed
from app.intake.hl7v2 import batch, er7

HEADER = b"MSH|^~\\&|PAS|RXX|||20240301||ADT^A01|1|T|2.4"


def one(rest: bytes, header: bytes = HEADER) -> er7.Message:
    return er7.parse(header + b"\r" + rest)


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_any_bytes_after_a_header_come_back(tail: bytes) -> None:
    raw = HEADER + tail
    try:
        message = er7.parse(raw)
    except Malformed:
        return
    assert message.encode() == raw


@given(
    st.lists(st.text(st.sampled_from('AB1|^~\\&\r\n" é\u2026\x0b'), max_size=30), max_size=8),
    st.sampled_from(["utf-8", "cp1252"]),
)
@settings(max_examples=200, deadline=None)
def test_any_segments_in_any_charset_come_back(lines: list[str], charset: str) -> None:
    raw = HEADER + b"\r" + "\r".join(lines).encode(charset)
    assert er7.parse(raw).encode() == raw


@pytest.mark.parametrize("end", [b"\r", b"\n", b"\r\n"])
def test_every_line_end_separates_segments(end: bytes) -> None:
    raw = end.join([HEADER, b"EVN|A01", b"PID|1||7", b""])
    message = er7.parse(raw)
    assert [segment.name for segment in message.segments] == ["MSH", "EVN", "PID"]
    assert message["PID-3"] == "7"
    assert message.encode() == raw


def test_a_line_feed_inside_text_stays_in_its_field() -> None:
    message = one(b"OBX|1|TX|a||first\nsecond line\rOBX|2|TX|b||x")
    assert message["OBX-5"] == "first\nsecond line"
    assert message["OBX[2]-5"] == "x"


def test_paths_reach_repetitions_components_and_subcomponents() -> None:
    message = one(b"PID|1||a^b^^AUTH&1.2&ISO~c^d||Smith&van^Ann^^^\rPID|2||z")
    assert message["PID-3.4.2"] == "1.2"
    assert message["PID-3[2].2"] == "d"
    assert message["PID[2]-3"] == "z"
    assert message["PID-3[3].1"] == message["PID-99"] == message["ZZZ-1"] == message["PID[3]-3"] == ""
    assert message["PID-5.1.2"] == "van"
    assert message["MSH-1"] == "|" and message["MSH-2"] == "^~\\&" and message["MSH-9.2"] == "A01"


def test_paths_that_mean_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="is not a path"):
        one(b"PID|1")["pid.5"]


def test_empty_and_delete_are_told_apart() -> None:
    segment = one(b'PID|1|""||""^x').first("PID")
    assert segment is not None
    assert segment.deletes(2) and not segment.deletes(3) and not segment.deletes(4)
    assert segment.value(2) == "" and segment.value(4) == "" and segment.value(4, 2) == "x"
    assert segment.repeats(2) == []


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("a\\F\\b\\S\\c\\T\\d\\R\\e\\E\\f", "a|b^c&d~e\\f"),
        ("line\\.br\\next", "line\nnext"),
        ("\\H\\bold\\N\\", "bold"),
        ("\\X0D\\", "\r"),
        ("\\XC3A9\\", "é"),
        ("\\XE9\\", "é"),
        ("\\E\\.br\\E\\", "\\.br\\"),
        ("C:\\temp", "C:\\temp"),
        ("\\Zlocal\\", "\\Zlocal\\"),
        ("\\X0\\", "\\X0\\"),
        ("\\.sp2\\", "\n\n"),
        ("\\.sp²\\", "\n"),
    ],
)
def test_escapes_are_read_once_and_unknown_ones_kept(written: str, read: str) -> None:
    assert one(f"OBX|1|TX|a||{written}".encode())["OBX-5.1"] == read


def test_five_encoding_characters_and_unusual_separators() -> None:
    assert one(b"PID|1||a^b", header=b"MSH|^~\\&#|A|B|||1||ADT^A01|1|T|2.5")["PID-3.2"] == "b"
    message = er7.parse(b"MSH*:+!@*A*B***1**ADT:A01*1*T*2.3\rPID*1**a:b+c!S!d")
    assert (message["PID-3.2"], message["PID-3[2]"], message["MSH-9.2"]) == ("b", "c:d", "A01")


@pytest.mark.parametrize(
    ("field", "raw", "text", "guessed"),
    [
        (b"", "Zoë".encode(), "Zoë", False),
        (b"8859/1", "Zoë".encode("latin-1"), "Zoë", False),
        (b"UNICODE UTF-8", "Zoë".encode(), "Zoë", False),
        (b"", "Zoë".encode("cp1252"), "Zoë", True),
        (b"UNICODE UTF-8", "Zoë\x81".encode("latin-1"), "Zoë\x81", True),
    ],
)
def test_charset_by_header_then_by_the_bytes(field: bytes, raw: bytes, text: str, guessed: bool) -> None:
    message = one(b"PID|1||||" + raw, header=HEADER + b"||||||" + field)
    assert (message["PID-5"], message.guessed) == (text, guessed)
    assert message.encode() == HEADER + b"||||||" + field + b"\rPID|1||||" + raw


@pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16"])
def test_byte_order_marks(codec: str) -> None:
    raw = "MSH|^~\\&|A|B|||1||ADT^A01|1|T|2.4\rPID|1||||Zoë".encode(codec)
    message = er7.parse(raw)
    assert message["PID-5"] == "Zoë"
    assert message.encode() == raw


@pytest.mark.parametrize(
    "raw", [b"", b"hello", b"PID|1", b"MSH", b"MSH|", b"MSH|\r", b"MSHA^~", b"MSH|^^~\\&|A", b"MSH|^~\\&#%!|A", b"\xff\xfe\x00"]
)
def test_what_has_no_header_is_refused_with_a_sentence(raw: bytes) -> None:
    with pytest.raises(Malformed, match="MSH"):
        er7.parse(raw)


def test_another_parser_agrees() -> None:
    text = 'MSH|^~\\&|PAS|RXX|||1||ADT^A01|1|T|2.4\rPID|1||a^b~c^d&e||F^G||||||x\rZXX|1|^^z|""\rPV1||I'
    ours, theirs = er7.parse(text.encode()), hl7.parse(text)
    for mine, other in zip(ours.segments, theirs, strict=True):
        for number in range(3 if mine.name == "MSH" else 1, len(mine.fields)):
            assert mine.raw(number) == str(other[number])


def test_a_batch_falls_apart_into_its_messages_and_its_counts_are_checked() -> None:
    raw = b"FHS|^~\\&\rBHS|^~\\&\r" + HEADER + b"\rPID|1\r" + HEADER + b"\rPID|2\rBTS|3\rFTS|1\r"
    messages, problems = batch.split_batch(raw)
    assert messages == [HEADER + b"\rPID|1\r", HEADER + b"\rPID|2\r"]
    assert problems == ["BTS-1 says 3 messages, the batch has 2"]
    assert (
        batch.split_batch(raw.replace(b"BTS|3", b"BTS|002"))[1]
        == batch.split_batch(raw.replace(b"BTS|3", "BTS|²".encode()))[1]
        == []
    )
    assert len(batch.split_batch(raw.replace(b"BTS|3", b"BTS|" + b"9" * 5000))[1]) == 1
    assert batch.split_batch(HEADER + b"\rPID|1") == ([HEADER + b"\rPID|1"], [])


@pytest.mark.parametrize("filler", [b"\r", b"\n", b"|", b"\r|"])
def test_separators_alone_do_not_become_gigabytes(filler: bytes) -> None:
    with pytest.raises(Malformed, match="more segments or fields"):
        er7.parse(HEADER + b"\r" + filler * 2_000_000)
    assert len(batch.split_batch(HEADER + b"\r" + filler * 2_000_000)[0]) == 1
